// SPDX-License-Identifier: Apache-2.0
// When frames leave: pure arithmetic, no clock of its own. A wire asks Pacer for departure times, the port's loop asks
// WireClock which of them are due. Open loop: a late port gets the overdue frames at once, nothing is skipped.
#pragma once

#include <cstdint>

#include "softnic/wire.h"

namespace vigia::softnic {

// What a frame costs at layer 1 beside its bytes: FCS; preamble, start delimiter and inter-frame gap (IEEE 802.3).
constexpr std::uint32_t kLayer1Overhead = kFcsBytes + 20;
// The 82599's link: 10 Gb/s is 1.25 bytes per nanosecond.
constexpr double kLineRateBits = 10e9;

// Departure times of a sequence of frames at one rate. Exact to a nanosecond however long it runs: times come from
// totals, not from sums of rounded steps.
class Pacer {
 public:
  // train: frames of one burst, back to back at 10 Gb/s, the bursts spaced such that the rate holds on average;
  // 1 spaces single frames. Only for Rate::packets and Rate::bits.
  explicit Pacer(const Rate& rate, std::uint32_t train = 1);

  // Nanoseconds after the wire's start at which a frame of `bytes` (without FCS) begins to leave, and on to the next.
  // capture_ns: the frame's time since the first one of its capture, used by Rate::original only. 0 for Rate::maximum.
  std::uint64_t depart(std::uint32_t bytes, std::uint64_t capture_ns = 0) noexcept;

 private:
  Rate rate_;
  std::uint32_t train_, position_ = 0;      // position of the next frame in its train
  double ns_per_unit_ = 0;                  // a unit is a frame (packets) or a layer-1 byte (bits)
  std::uint64_t frames_ = 0, bytes_ = 0;    // before the next frame; bytes at layer 1
  double train_start_ = 0, train_end_ = 0;  // ns; the end is where the next frame of the train begins
};

// Departure times against a monotonic clock of the caller, in nanoseconds.
class WireClock {
 public:
  // The moment that departure time 0 means. Until then nothing is due.
  void start(std::uint64_t now_ns) noexcept;
  // On the caller's clock; after start().
  std::uint64_t at(std::uint64_t departure_ns) const noexcept { return start_ns_ + departure_ns; }
  bool due(std::uint64_t departure_ns, std::uint64_t now_ns) const noexcept;
  // Nanoseconds to sleep at most before that frame is due: 0 when it is. ~0 before start().
  std::uint64_t until(std::uint64_t departure_ns, std::uint64_t now_ns) const noexcept;

 private:
  bool started_ = false;
  std::uint64_t start_ns_ = 0;
};

}  // namespace vigia::softnic
