// SPDX-License-Identifier: Apache-2.0
#include "hw/values.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace vigia::hw {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kSizes{Unit{"", 1},           Unit{"B", 1},
                            Unit{"K", 1ull << 10}, Unit{"KiB", 1ull << 10},
                            Unit{"M", 1ull << 20}, Unit{"MiB", 1ull << 20},
                            Unit{"G", 1ull << 30}, Unit{"GiB", 1ull << 30},
                            Unit{"T", 1ull << 40}, Unit{"TiB", 1ull << 40}};
constexpr std::array kTimes{Unit{"", 1000}, Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000}, Unit{"h", 3'600'000}};

template <std::size_t N>
std::optional<std::uint64_t> parse(std::string_view text, const std::array<Unit, N>& units) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  for (const Unit& u : units) {
    std::uint64_t value = 0;
    if (u.name == unit && !__builtin_mul_overflow(number, u.factor, &value)) return value;
  }
  return std::nullopt;
}

std::string scaled(double value, double step, const std::array<const char*, 5>& names) {
  std::size_t i = 0;
  while (value >= step && i + 1 < names.size()) {
    value /= step;
    ++i;
  }
  return i == 0 ? fmt::format("{:.0f}{}", value, names[0]) : fmt::format("{:.1f}{}", value, names[i]);
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  if (const auto size = parse(text, kSizes)) return *size;
  return input_error(fmt::format("size \"{}\": want a number of bytes, with K, M, G or T if you like: 256M", text));
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto ms = parse(text, kTimes);
  // A bound that keeps sums of times far from overflow: a hundred years.
  if (ms && *ms > 0 && *ms < 100ull * 366 * 24 * 3'600'000) return std::chrono::milliseconds(*ms);
  return input_error(fmt::format("time \"{}\": want a number above 0 with ms, s, m or h: 10m", text));
}

std::string size_text(std::uint64_t bytes) {
  return scaled(static_cast<double>(bytes), 1024, {" B", " KiB", " MiB", " GiB", " TiB"});
}

std::string size_word(std::uint64_t bytes) {
  constexpr std::string_view kLetters = "KMGT";
  std::size_t steps = 0;
  while (bytes != 0 && bytes % 1024 == 0 && steps < kLetters.size()) {
    bytes /= 1024;
    ++steps;
  }
  return steps == 0 ? fmt::format("{}", bytes) : fmt::format("{}{}", bytes, kLetters[steps - 1]);
}

std::string count_text(double count) { return scaled(count, 1000, {"", " k", " M", " G", " T"}); }

}  // namespace vigia::hw
