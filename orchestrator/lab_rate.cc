// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_rate.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace vigia::orch {
namespace {

struct Unit {
  std::string_view suffix;
  LabRate::Kind kind;
  double factor;
};
constexpr std::array kUnits{
    Unit{"x", LabRate::Kind::original, 1},     Unit{"pps", LabRate::Kind::packets, 1},
    Unit{"kpps", LabRate::Kind::packets, 1e3}, Unit{"mpps", LabRate::Kind::packets, 1e6},
    Unit{"bps", LabRate::Kind::bits, 1},       Unit{"kbps", LabRate::Kind::bits, 1e3},
    Unit{"mbps", LabRate::Kind::bits, 1e6},    Unit{"gbps", LabRate::Kind::bits, 1e9},
};

// A frame of the largest size that the 82599 takes (15.5 KiB), with preamble and gap.
constexpr double kMostBitsOfAFrame = 8.0 * (15872 + 24);
// A day: beyond it nobody waits, and the arithmetic stays far from its limits.
constexpr double kLongestNs = 86'400e9;

}  // namespace

std::optional<LabRate> parse_rate(std::string_view text) {
  if (text == "max") return LabRate{};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || !(value > 0) || value > 1e12) return std::nullopt;
  const std::string_view suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.suffix == suffix; });
  if (unit == kUnits.end()) return std::nullopt;
  return LabRate{unit->kind, value * unit->factor};
}

std::chrono::milliseconds longest_silence(const LabRate& rate, std::uint64_t longest_gap_ns) {
  double ns = 0;
  if (rate.kind == LabRate::Kind::original) ns = static_cast<double>(longest_gap_ns) / rate.value;
  if (rate.kind == LabRate::Kind::packets) ns = 1e9 / rate.value;
  if (rate.kind == LabRate::Kind::bits) ns = 1e9 * kMostBitsOfAFrame / rate.value;
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::min(ns, kLongestNs) / 1e6));
}

}  // namespace vigia::orch
