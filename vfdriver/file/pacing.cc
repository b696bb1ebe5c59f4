// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/file/pacing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace vigia::vf::file {
namespace {

// A positive number at the start of text; what follows it goes to rest.
bool number(std::string_view text, double& value, std::string& rest) {
  const std::string copy(text);
  char* end = nullptr;
  value = std::strtod(copy.c_str(), &end);
  rest = end;
  return end != copy.c_str() && std::isfinite(value) && value > 0 && value <= 1e10;
}

}  // namespace

Result<Rate> parse_rate(const std::string& spec, std::string_view text) {
  if (text == "original") return Rate{};
  if (text == "max") return Rate{Rate::Kind::maximum, 0};
  double value = 0;
  std::string rest;
  if (text.starts_with("x") && number(text.substr(1), value, rest) && rest.empty()) {
    return Rate{Rate::Kind::original, value};
  }
  if (number(text, value, rest)) {
    if (rest == "pps") return Rate{Rate::Kind::packets, value};
    if (rest == "kpps") return Rate{Rate::Kind::packets, value * 1e3};
    if (rest == "Mpps") return Rate{Rate::Kind::packets, value * 1e6};
  }
  return input_error(fmt::format(
      "device '{}': rate '{}'; want original, max, a speed as x2.5, or a rate as 200000pps, 200kpps, 1.5Mpps", spec,
      text));
}

std::uint64_t Pacing::due(std::uint64_t stamp_ns) noexcept {
  const std::uint64_t index = frames_++;
  if (rate_.kind == Rate::Kind::maximum) return 0;
  if (rate_.kind == Rate::Kind::packets) {
    return static_cast<std::uint64_t>(std::llround(static_cast<double>(index) * 1e9 / rate_.value));
  }
  if (first_of_turn_) {
    first_of_turn_ = false;
    base_stamp_ = stamp_ns;
    // index frames took last_due_ so far: one mean distance more.
    base_due_ = index < 2 ? last_due_ : last_due_ + last_due_ / (index - 1);
  }
  const std::uint64_t after = stamp_ns - std::min(stamp_ns, base_stamp_);
  const auto scaled = static_cast<std::uint64_t>(static_cast<double>(after) / rate_.value);
  last_due_ = std::max(last_due_, base_due_ + scaled);
  return last_due_;
}

void Pacing::rewind() noexcept { first_of_turn_ = true; }

}  // namespace vigia::vf::file
