// SPDX-License-Identifier: Apache-2.0
// The stamps of an engine: its clock's ticks at each look, made into a time for each frame by the clock's policy.
//
// Ticks are read twice per burst, never per frame. That serves kpt too: receive() reads the done bits of a burst one
// after the other and copies nothing, so each frame's moment lies between the two readings, in their order.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "vfdriver/clock.h"
#include "vfdriver/port.h"
#include "vfdriver/record.h"
#include "vfdriver/stamp_policy.h"

namespace vigia::vf {

// The engine's thread alone. The clock outlives it.
class FrameClock {
 public:
  static constexpr std::size_t kMaxBurst = 64;

  // link_mbps: 0 where it is unknown.
  FrameClock(ClockView& clock, unsigned link_mbps) noexcept : clock_(clock), policy_(clock.policy(), link_mbps) {}

  // Before each look at a queue.
  void look() noexcept {
    clock_.refresh();
    begin_ = read_ticks(clock_.source());
  }
  // The look found nothing.
  void nothing() noexcept { empty_ = begin_; }
  // After a look that found nothing: a moment, in nanoseconds since 1970, that no later stamp is before. It lies a
  // little back, so that a policy may still spread the next burst over the time in which it came.
  std::uint64_t promise() noexcept {
    const std::uint64_t looked = clock_.line().ns_at(begin_);
    policy_.promise(looked - std::min(looked, kPromiseLag));
    return policy_.promised();
  }
  // The look found these, at most kMaxBurst, full: as many as there was room for. Returns how many frames and bytes of
  // the wire they are; stamp(i) is the stamp of the i-th frame.
  Look found(std::span<const RxSegment> segments, bool full) noexcept {
    const std::uint64_t end = read_ticks(clock_.source());
    const ClockLine& line = clock_.line();
    Look look{line.ns_at(begin_), line.ns_at(end), 0, 0, full};
    std::uint32_t bytes = 0;
    for (const RxSegment& segment : segments) {
      bytes += segment.length + segment.beyond;
      lengths_[look.frames] = bytes;
      if (!segment.end_of_frame) continue;
      look.bytes += std::exchange(bytes, 0);
      ++look.frames;
    }
    if (!segments.empty() && !segments.back().end_of_frame) {  // a port that breaks its word
      look.bytes += bytes;
      ++look.frames;
    }
    if (empty_ != 0) policy_.found_nothing(line.ns_at(empty_));
    empty_ = 0;
    policy_.found(look);
    policy_.stamp(std::span(lengths_).first(look.frames), ns_.data());
    return look;
  }
  // Of the frames found last; never before an earlier one. In their order: once for each.
  Stamp stamp(std::size_t i) noexcept {
    const std::uint64_t ns = ns_[i];
    const std::uint64_t in_second = ns - second_start_ns_;
    if (in_second >= 1'000'000'000) [[unlikely]]
      return new_second(ns);
    return {second_, static_cast<std::uint32_t>(in_second)};
  }

 private:
  // Above the time that a burst takes on a cable of 10 Gb/s, far below the sleep of an idle engine.
  static constexpr std::uint64_t kPromiseLag = 200'000;

  Stamp new_second(std::uint64_t ns) noexcept {
    const Stamp stamp = Stamp::of_ns(ns);
    second_ = stamp.seconds;
    second_start_ns_ = ns - stamp.nanoseconds;
    return stamp;
  }

  ClockView& clock_;
  StampPolicy policy_;
  std::uint64_t begin_ = 0, empty_ = 0;  // ticks; empty_ 0: the last look found frames
  std::array<std::uint32_t, kMaxBurst> lengths_{};
  std::array<std::uint64_t, kMaxBurst> ns_{};
  std::uint64_t second_start_ns_ = 0;
  std::uint32_t second_ = 0;
};

}  // namespace vigia::vf
