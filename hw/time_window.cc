// SPDX-License-Identifier: Apache-2.0
#include "hw/time_window.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <chrono>

namespace vigia::hw {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
// Bounds every sum far from overflow: a hundred years.
constexpr std::uint64_t kLongest = 100ull * 366 * 24 * 3600 * kSecond;

struct Unit {
  std::string_view name;
  std::uint64_t ns;
};
constexpr std::array kUnits{
    Unit{"ns", 1},           Unit{"us", 1000},          Unit{"ms", 1'000'000},     Unit{"s", kSecond},
    Unit{"m", 60 * kSecond}, Unit{"h", 3600 * kSecond}, Unit{"d", 86400 * kSecond}};

bool digit(char c) { return c >= '0' && c <= '9'; }

// So many digits at the front of text, taken from it.
std::optional<int> digits(std::string_view& text, std::size_t count) {
  int value = 0;
  if (text.size() < count) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    if (!digit(text[i])) return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<std::uint64_t> fraction(std::string_view& text) {
  if (!take(text, '.')) return 0;
  std::uint64_t ns = 0, unit = kSecond / 10;
  if (text.empty() || !digit(text.front())) return std::nullopt;
  for (; !text.empty() && digit(text.front()); text.remove_prefix(1), unit /= 10) {
    ns += unit * static_cast<std::uint64_t>(text.front() - '0');
  }
  return ns;
}

// Seconds east of Greenwich.
std::optional<std::int64_t> zone(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  const bool west = !text.empty() && text.front() == '-';
  if (!west && (text.empty() || text.front() != '+')) return std::nullopt;
  text.remove_prefix(1);
  const auto hours = digits(text, 2);
  const bool colon = take(text, ':');
  const auto minutes = digits(text, 2);
  if (!hours || !colon || !minutes || !text.empty() || *hours > 23 || *minutes > 59) return std::nullopt;
  return (west ? -60 : 60) * (*hours * 60 + *minutes);
}

std::optional<std::uint64_t> rfc3339(std::string_view text) {
  const auto year = digits(text, 4);
  const bool dash1 = take(text, '-');
  const auto month = digits(text, 2);
  const bool dash2 = take(text, '-');
  const auto day = digits(text, 2);
  const bool t = take(text, 'T') || take(text, 't') || take(text, ' ');
  const auto hour = digits(text, 2);
  const bool colon1 = take(text, ':');
  const auto minute = digits(text, 2);
  const bool colon2 = take(text, ':');
  const auto second = digits(text, 2);
  if (!year || !dash1 || !month || !dash2 || !day || !t || !hour || !colon1 || !minute || !colon2 || !second) {
    return std::nullopt;
  }
  const auto part = fraction(text);
  const auto east = zone(text);
  const std::chrono::year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!part || !east || !date.ok() || *year < 1971 || *year > 2500 || *hour > 23 || *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + *hour) * 60 + *minute) * 60 + *second - *east;
  return static_cast<std::uint64_t>(seconds) * kSecond + *part;
}

}  // namespace

Result<std::uint64_t> parse_span(std::string_view text) {
  const Error wrong = input_error(fmt::format("time \"{}\": want a number above 0 with ms, s, m, h or d: 10s", text));
  std::uint64_t sum = 0;
  for (std::string_view left = text; !left.empty();) {
    std::uint64_t number = 0, value = 0;
    const auto [end, failed] = std::from_chars(left.data(), left.data() + left.size(), number);
    if (failed != std::errc{}) return wrong;
    left.remove_prefix(static_cast<std::size_t>(end - left.data()));
    std::size_t letters = 0;
    while (letters < left.size() && !digit(left[letters])) ++letters;
    const Unit* unit = nullptr;
    for (const Unit& u : kUnits) {
      if (u.name == left.substr(0, letters)) unit = &u;
    }
    if (!unit || __builtin_mul_overflow(number, unit->ns, &value) || value > kLongest) return wrong;
    sum += value;
    left.remove_prefix(letters);
    if (sum > kLongest) return wrong;
  }
  if (sum == 0) return wrong;
  return sum;
}

Result<std::uint64_t> parse_time(std::string_view text, std::uint64_t now_ns) {
  if (text == "now") return now_ns;
  if (text.starts_with("now-")) {
    const auto back = parse_span(text.substr(4));
    if (!back) return back.error();
    return now_ns - std::min(now_ns, *back);
  }
  if (const auto ns = rfc3339(text)) return *ns;
  return input_error(fmt::format(
      "time \"{}\": want now, now-30s, or a date with time and zone: 2026-11-21T05:00:00Z, 2026-11-21T06:00:00.5+01:00",
      text));
}

Result<TimeWindow> parse_window(std::string_view last, std::string_view from, std::string_view to,
                                std::uint64_t now_ns) {
  TimeWindow window;
  if (!last.empty()) {
    if (!from.empty() || !to.empty()) return input_error("--last goes with neither --from nor --to");
    const auto span = parse_span(last);
    if (!span) return span.error();
    window.last_ns = *span;
  }
  for (const bool begin : {true, false}) {
    const std::string_view text = begin ? from : to;
    if (text.empty()) continue;
    const auto time = parse_time(text, now_ns);
    if (!time) return time.error();
    (begin ? window.from_ns : window.to_ns) = *time;
  }
  if (window.from_ns && window.to_ns && *window.from_ns >= *window.to_ns) {
    return input_error(fmt::format("--to {} is not after --from {}: the window is empty", to, from));
  }
  return window;
}

}  // namespace vigia::hw
