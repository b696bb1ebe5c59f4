// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/json_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hw/spelling.h"
#include "vfdriver/cli_values.h"

namespace vigia::vf {
namespace {

// Foreign text goes into a message and from there to a terminal: escaped, and not endlessly.
std::string shown(const std::string& text) {
  const auto quoted = nlohmann::json(text.substr(0, 64)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

struct JsonFields::State {
  nlohmann::json object = nlohmann::json::object();
  std::string what, path;
  std::vector<std::string> asked;
  std::vector<std::string> own_faults;
  std::vector<std::string>* faults = &own_faults;  // of the outermost

  const nlohmann::json* find(std::string_view key) {
    asked.emplace_back(key);
    const auto at = object.find(std::string(key));
    return at == object.end() || at->is_null() ? nullptr : &*at;
  }
};

JsonFields::JsonFields(std::string_view text, std::string what) : state_(std::make_unique<State>()) {
  state_->what = std::move(what);
  auto parsed = nlohmann::json::parse(text, nullptr, false);
  if (parsed.is_object()) {
    state_->object = std::move(parsed);
  } else {
    state_->faults->push_back(state_->what + ": not a JSON object");
  }
}
JsonFields::JsonFields(std::unique_ptr<State> state) : state_(std::move(state)) {}
JsonFields::JsonFields(JsonFields&&) noexcept = default;
JsonFields::~JsonFields() = default;

void JsonFields::fault(std::string_view key, std::string_view text) {
  state_->faults->push_back(fmt::format("{}: {}{}: {}", state_->what, state_->path, key, text));
}

std::optional<std::uint64_t> JsonFields::integer(std::string_view key, std::uint64_t least, std::uint64_t most) {
  const auto* value = state_->find(key);
  if (!value) return std::nullopt;
  if (value->is_number_unsigned() && value->get<std::uint64_t>() >= least && value->get<std::uint64_t>() <= most) {
    return value->get<std::uint64_t>();
  }
  fault(key, fmt::format("want a whole number from {} to {}", least, most));
  return std::nullopt;
}

std::optional<bool> JsonFields::boolean(std::string_view key) {
  const auto* value = state_->find(key);
  if (!value) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  fault(key, "want true or false");
  return std::nullopt;
}

std::optional<std::string> JsonFields::word(std::string_view key) {
  const auto* value = state_->find(key);
  if (!value) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  fault(key, "want a text in quotes");
  return std::nullopt;
}

std::optional<std::string> JsonFields::choice(std::string_view key, const std::vector<std::string>& words) {
  auto given = word(key);
  if (!given || std::find(words.begin(), words.end(), *given) != words.end()) return given;
  const std::string_view near = hw::nearest(*given, words);
  fault(key, fmt::format("\"{}\" is none of: {}{}", shown(*given), fmt::join(words, ", "),
                         near.empty() ? "" : fmt::format("; did you mean {}?", near)));
  return std::nullopt;
}

std::optional<std::uint64_t> JsonFields::size(std::string_view key) {
  const auto* value = state_->find(key);
  if (!value) return std::nullopt;
  if (value->is_number_unsigned()) return value->get<std::uint64_t>();
  const auto size = parse_size(value->is_string() ? value->get<std::string>() : value->dump());
  if (size) return *size;
  fault(key, size.error().text);
  return std::nullopt;
}

JsonFields JsonFields::object(std::string_view key) {
  auto inner = std::make_unique<State>();
  inner->what = state_->what;
  inner->path = fmt::format("{}{}.", state_->path, key);
  inner->faults = state_->faults;
  if (const auto* value = state_->find(key); value && value->is_object()) {
    inner->object = *value;
  } else if (value) {
    fault(key, "want an object in braces");
  }
  return JsonFields(std::move(inner));
}

Result<Done> JsonFields::finish() {
  for (const auto& [key, value] : state_->object.items()) {
    if (std::find(state_->asked.begin(), state_->asked.end(), key) != state_->asked.end()) continue;
    const std::string_view near = hw::nearest(key, state_->asked);
    fault(shown(key), near.empty() ? fmt::format("unknown key; known here: {}", fmt::join(state_->asked, ", "))
                                   : fmt::format("unknown key; did you mean {}?", near));
  }
  if (state_->faults->empty()) return Done{};
  return input_error(fmt::format("{}", fmt::join(*state_->faults, "\n")));
}

}  // namespace vigia::vf
