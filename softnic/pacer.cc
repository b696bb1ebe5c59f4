// SPDX-License-Identifier: Apache-2.0
#include "softnic/pacer.h"

#include <algorithm>

#include "hw/result.h"

namespace vigia::softnic {
namespace {

constexpr double kLineNsPerByte = 8e9 / kLineRateBits;

// Some 285 years: further would not fit the integer, and nobody waits for it.
std::uint64_t to_ns(double ns) { return static_cast<std::uint64_t>(std::min(ns, 9e18)); }

}  // namespace

Pacer::Pacer(const Rate& rate, std::uint32_t train) : rate_(rate), train_(train) {
  check(rate.value > 0 && train > 0);
  if (rate.kind == Rate::Kind::packets) ns_per_unit_ = 1e9 / rate.value;
  if (rate.kind == Rate::Kind::bits) ns_per_unit_ = 8e9 / rate.value;
}

std::uint64_t Pacer::depart(std::uint32_t bytes, std::uint64_t capture_ns) noexcept {
  if (rate_.kind == Rate::Kind::maximum) return 0;
  if (rate_.kind == Rate::Kind::original) {
    // Without a factor the capture's integer stays as it is, beyond a double's 53 bits too.
    return rate_.value == 1.0 ? capture_ns : to_ns(static_cast<double>(capture_ns) / rate_.value);
  }
  if (position_ == 0) {
    const std::uint64_t units = rate_.kind == Rate::Kind::packets ? frames_ : bytes_;
    train_start_ = static_cast<double>(units) * ns_per_unit_;
    // Frames of mixed sizes: a train of long ones may last longer than the average slot of a train.
    if (train_ > 1) train_start_ = std::max(train_start_, train_end_);
    train_end_ = train_start_;
  }
  const double departure = train_end_;
  train_end_ += (bytes + kLayer1Overhead) * kLineNsPerByte;
  ++frames_;
  bytes_ += bytes + kLayer1Overhead;
  if (++position_ == train_) position_ = 0;
  return to_ns(departure);
}

void WireClock::start(std::uint64_t now_ns) noexcept {
  started_ = true;
  start_ns_ = now_ns;
}

bool WireClock::due(std::uint64_t departure_ns, std::uint64_t now_ns) const noexcept {
  return until(departure_ns, now_ns) == 0;
}

std::uint64_t WireClock::until(std::uint64_t departure_ns, std::uint64_t now_ns) const noexcept {
  if (!started_) return ~std::uint64_t{0};
  const std::uint64_t elapsed = now_ns - std::min(now_ns, start_ns_);
  return departure_ns - std::min(departure_ns, elapsed);
}

}  // namespace vigia::softnic
