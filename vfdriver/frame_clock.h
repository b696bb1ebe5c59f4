// SPDX-License-Identifier: Apache-2.0
// The stamps of an engine: its clock's ticks at each look, made into a time for each frame by the clock's policy.
//
// Ticks are read twice per burst, never per frame. That serves kpt too: receive() reads the done bits of a burst one
// after the other and copies nothing, so each frame's moment lies between the two readings, in their order.
#pragma once

#include <cstdint>
#include <span>

#include "vfdriver/clock.h"
#include "vfdriver/port.h"
#include "vfdriver/record.h"
#include "vfdriver/stamp_policy.h"

namespace vigia::vf {

// What the segments of a burst, one or more, are together.
struct BurstCount {
  std::uint32_t frames = 0, bytes = 0;  // on the wire, without FCS
  bool plain = false;                   // every segment is a whole frame with nothing wrong
};
inline BurstCount count_of(std::span<const RxSegment> segments) noexcept {
  BurstCount count;
  std::uint32_t errors = 0;
  for (const RxSegment& segment : segments) {
    count.bytes += segment.length + segment.beyond;
    count.frames += segment.end_of_frame;
    errors |= segment.error;
  }
  count.plain = count.frames == segments.size() && errors == 0;
  count.frames += !segments.back().end_of_frame;  // a port that breaks its word
  return count;
}

// The engine's thread alone. The clock outlives it.
class FrameClock {
 public:
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
  // The look found these; full: as many as there was room for. Their stamps: next() with the bytes of each frame on the
  // wire in turn; none is before one of an earlier look.
  BurstStamps found(const BurstCount& count, bool full) noexcept {
    const std::uint64_t end = read_ticks(clock_.source());
    const ClockLine& line = clock_.line();
    if (empty_ != 0) policy_.found_nothing(line.ns_at(empty_));
    empty_ = 0;
    return policy_.found({line.ns_at(begin_), line.ns_at(end), count.frames, count.bytes, full});
  }

 private:
  // Above the time that a burst takes on a cable of 10 Gb/s, far below the sleep of an idle engine.
  static constexpr std::uint64_t kPromiseLag = 200'000;

  ClockView& clock_;
  StampPolicy policy_;
  std::uint64_t begin_ = 0, empty_ = 0;  // ticks; empty_ 0: the last look found frames
};

}  // namespace vigia::vf
