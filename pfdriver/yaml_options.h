// SPDX-License-Identifier: Apache-2.0
// A schema as one table: the parser, its ranges, the defaults shown and the printed explanation come from the same
// rows, so they cannot drift apart. T is the struct that one mapping fills.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>
#include <string>
#include <string_view>

#include "hw/values.h"
#include "pfdriver/yaml_fields.h"

namespace vigia::pf::yaml {

template <class T>
struct Option {
  std::string_view key;
  std::string_view fallback;  // shown as the default; "required" makes absence a fault
  std::string_view meaning;
  std::uint64_t least = 0, most = 0;
  std::span<const std::string_view> words = {};
  std::string (*form)(const Option&) = nullptr;  // "1..63"
  void (*read)(Map&, const Option&, T&) = nullptr;
};

// Makers, one per kind of value. Member is a pointer to the member that takes it.
template <auto Member, class T>
constexpr Option<T> integer(std::string_view key, std::uint64_t least, std::uint64_t most, std::string_view fallback,
                            std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          least,
          most,
          {},
          [](const Option<T>& o) { return fmt::format("{}..{}", o.least, o.most); },
          [](Map& map, const Option<T>& o, T& out) {
            using Value = typename std::remove_cvref_t<decltype(out.*Member)>;
            if (const auto v = map.integer(o.key, o.least, o.most)) out.*Member = static_cast<Value>(*v);
          }};
}

// For members of type std::optional<integer>.
template <auto Member, class T>
constexpr Option<T> optional_integer(std::string_view key, std::uint64_t least, std::uint64_t most,
                                     std::string_view fallback, std::string_view meaning) {
  Option<T> option = integer<Member, T>(key, least, most, fallback, meaning);
  option.read = [](Map& map, const Option<T>& o, T& out) {
    using Value = typename std::remove_cvref_t<decltype(out.*Member)>::value_type;
    if (const auto v = map.integer(o.key, o.least, o.most)) out.*Member = static_cast<Value>(*v);
  };
  return option;
}

template <auto Member, class T>
constexpr Option<T> boolean(std::string_view key, std::string_view fallback, std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          0,
          0,
          {},
          [](const Option<T>&) { return std::string("true|false"); },
          [](Map& map, const Option<T>& o, T& out) {
            if (const auto v = map.boolean(o.key)) out.*Member = *v;
          }};
}

template <auto Member, class T>
constexpr Option<T> text(std::string_view key, std::string_view fallback, std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          0,
          0,
          {},
          [](const Option<T>&) { return std::string("text"); },
          [](Map& map, const Option<T>& o, T& out) {
            if (auto v = map.text(o.key)) out.*Member = std::move(*v);
          }};
}

// words in the order of the enumeration that Member has.
template <auto Member, class T>
constexpr Option<T> choice(std::string_view key, std::span<const std::string_view> words, std::string_view fallback,
                           std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          0,
          0,
          words,
          [](const Option<T>& o) { return fmt::format("{}", fmt::join(o.words, "|")); },
          [](Map& map, const Option<T>& o, T& out) {
            using Value = typename std::remove_cvref_t<decltype(out.*Member)>;
            if (const auto v = map.choice(o.key, o.words)) out.*Member = static_cast<Value>(*v);
          }};
}

template <auto Member, class T>
constexpr Option<T> mac(std::string_view key, std::string_view fallback, std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          0,
          0,
          {},
          [](const Option<T>&) { return std::string("\"02:00:00:00:00:01\""); },
          [](Map& map, const Option<T>& o, T& out) {
            if (const auto v = map.mac(o.key)) out.*Member = *v;
          }};
}

// Bytes.
template <auto Member, class T>
constexpr Option<T> size(std::string_view key, std::uint64_t least, std::uint64_t most, std::string_view fallback,
                         std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          least,
          most,
          {},
          [](const Option<T>& o) { return fmt::format("{}..{}", hw::size_word(o.least), hw::size_word(o.most)); },
          [](Map& map, const Option<T>& o, T& out) {
            if (const auto v = map.size(o.key, o.least, o.most)) out.*Member = *v;
          }};
}

// For members of type std::optional<integer>; the word auto leaves them empty.
template <auto Member, class T>
constexpr Option<T> integer_or_auto(std::string_view key, std::uint64_t least, std::uint64_t most,
                                    std::string_view fallback, std::string_view meaning) {
  Option<T> option = optional_integer<Member, T>(key, least, most, fallback, meaning);
  option.form = [](const Option<T>& o) { return fmt::format("auto|{}..{}", o.least, o.most); };
  option.read = [](Map& map, const Option<T>& o, T& out) {
    const auto given = map.text(o.key);
    if (given && *given != "auto") optional_integer<Member, T>("", 0, 0, "", "").read(map, o, out);
  };
  return option;
}

template <auto Member, class T>
constexpr Option<T> integers(std::string_view key, std::uint64_t least, std::uint64_t most, std::string_view fallback,
                             std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          least,
          most,
          {},
          [](const Option<T>& o) { return fmt::format("[{0}..{1}, ..]", o.least, o.most); },
          [](Map& map, const Option<T>& o, T& out) {
            using Value = typename std::remove_cvref_t<decltype(out.*Member)>::value_type;
            if (const auto list = map.integers(o.key, o.least, o.most)) {
              for (const std::uint64_t v : *list) (out.*Member).push_back(static_cast<Value>(v));
            }
          }};
}

template <auto Member, class T>
constexpr Option<T> texts(std::string_view key, std::string_view fallback, std::string_view meaning) {
  return {key,
          fallback,
          meaning,
          0,
          0,
          {},
          [](const Option<T>&) { return std::string("[name, ..]"); },
          [](Map& map, const Option<T>& o, T& out) {
            if (auto v = map.texts(o.key)) out.*Member = std::move(*v);
          }};
}

// Reads every option of the table. The caller calls map.finish() when it has asked for its nested keys too.
template <class T>
void read_options(Map& map, std::span<const Option<T>> options, T& out) {
  for (const Option<T>& option : options) {
    if (option.fallback == "required") map.require(option.key, option.form(option));
    option.read(map, option, out);
  }
}

// One line per option: key, form, default, meaning.
template <class T>
std::string explain_options(std::span<const Option<T>> options, std::string_view indent) {
  std::string out;
  for (const Option<T>& o : options) {
    const bool must = o.fallback.starts_with("required");
    out += fmt::format("{}{:<18} {:<21} {} ({}{})\n", indent, fmt::format("{}:", o.key), o.form(o), o.meaning,
                       must ? "" : "default: ", o.fallback);
  }
  return out;
}

}  // namespace vigia::pf::yaml
