// SPDX-License-Identifier: Apache-2.0
// When did each frame of a burst arrive? The polling thread knows when it looked, when it saw the done bits, and how
// long the frames are; a policy makes a time of it for each frame (T, 4.2). Pure arithmetic in nanoseconds, without a
// clock of its own, so that policies are compared on modelled arrivals (tests/vfdriver/stamp_policy_test.cc).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vfdriver/record.h"

namespace vigia::vf {

enum class ClockPolicy : std::uint8_t {
  kpt,    // the moment at which the polling thread saw the frame's done bit
  udts,   // a burst is spread evenly over the time since the last stamp
  wdts,   // ... in proportion to the frames' time on the wire
  hybrid  // kpt while the link is idle, wdts while it is saturated, between them what the looks leave open
};
// "kpt", "udts", "wdts", "hybrid".
std::string_view name_of(ClockPolicy policy) noexcept;
std::optional<ClockPolicy> policy_of(std::string_view name) noexcept;
// One sentence for people who read a file: what its stamps mean.
std::string_view meaning_of(ClockPolicy policy) noexcept;

// What a frame occupies on the cable beside its bytes: FCS 4, preamble 8, gap 12 (IEEE 802.3).
constexpr std::uint32_t kWireOverhead = 24;

// A look at a queue that found frames. Nanoseconds of one clock that never runs backwards.
struct Look {
  std::uint64_t begin_ns = 0, end_ns = 0;  // just before and just after the done bits were read
  std::uint32_t frames = 0;                // 1 and more
  std::uint64_t bytes = 0;                 // of all of them, without FCS
  bool full = false;                       // the burst had no more room: others may wait behind it
};

// The stamps of one look's frames, first to last: a value that lives in registers while frames are copied, when any
// byte stored might be a member for what the compiler knows.
class BurstStamps {
 public:
  BurstStamps() = default;
  // The first frame is per_frame + per_byte * its bytes after start_ns, each other as much after the one before;
  // nanoseconds in units of 2^-kShift. All together less than kLongestNs.
  BurstStamps(std::uint64_t start_ns, std::uint64_t per_frame, std::uint64_t per_byte) noexcept
      : at_((start_ns % kSecond << kShift) + kHalf),
        per_frame_(per_frame),
        per_byte_(per_byte),
        second_(static_cast<std::uint32_t>(start_ns / kSecond)) {}

  // The next frame, of so many bytes on the wire without FCS.
  Stamp next(std::uint32_t bytes) noexcept {
    at_ += per_frame_ + per_byte_ * bytes;
    const std::uint64_t ns = at_ >> kShift;
    if (ns >= kSecond) [[unlikely]]
      return {second_ + static_cast<std::uint32_t>(ns / kSecond), static_cast<std::uint32_t>(ns % kSecond)};
    return {second_, static_cast<std::uint32_t>(ns)};
  }

  static constexpr unsigned kShift = 20;
  static constexpr std::uint64_t kHalf = std::uint64_t{1} << (kShift - 1);  // added to round
  static constexpr std::uint64_t kLongestNs = std::uint64_t{1} << 42;       // 73 minutes

 private:
  static constexpr std::uint64_t kSecond = 1'000'000'000;

  std::uint64_t at_ = 0, per_frame_ = 0, per_byte_ = 0;
  std::uint32_t second_ = 0;
};

// The stamps of one queue, in order. One thread, the engine's. With several queues in one ring one policy serves them
// all: a ring has one order of stamps.
class StampPolicy {
 public:
  // link_mbps: of the cable; 0: unknown, then hybrid never takes the link for saturated.
  explicit StampPolicy(ClockPolicy policy, unsigned link_mbps = 0) noexcept;

  // A look that began then found nothing: whatever is found later was not there yet.
  void found_nothing(std::uint64_t begin_ns) noexcept { not_before_ = begin_ns; }
  // Gives the word that no later stamp is before ns, which is not in the future: others may merge by it.
  void promise(std::uint64_t ns) noexcept { promised_ = std::max(promised_, ns); }
  std::uint64_t promised() const noexcept { return promised_; }
  // A look found frames. Their stamps, for as many frames and bytes as the look says: none before an earlier one, none
  // after the look's end.
  BurstStamps found(const Look& look) noexcept;

  ClockPolicy policy() const noexcept { return policy_; }
  // Share of the link's capacity in use lately, 0 to 1 and a little more; 0 where the link's rate is unknown.
  double load() const noexcept { return lately_.value(); }
  // Hybrid: how long the device seems to hold finished frames back to report them together, nanoseconds.
  double hold_ns() const noexcept { return hold_; }

 private:
  BurstStamps spread(double from, double to, const Look& look) noexcept;
  BurstStamps found_hybrid(const Look& look) noexcept;
  std::optional<double> counted(const Look& look, double late, double behind) noexcept;
  void begin_window() noexcept;
  void learn_silence(double wire, double gap) noexcept;
  void learn_load(double wire, double gap, bool full, double late) noexcept;
  void learn_hold(double beyond_first, double since_empty) noexcept;

  const ClockPolicy policy_;
  const std::uint64_t per_frame_, per_byte_;  // a frame's share of its burst: per_frame_ + per_byte_ * bytes
  const double wire_ns_per_byte_;             // 0: unknown

  std::uint64_t limit_ = 0;       // of this burst: its end
  std::uint64_t last_ = 0;        // the last stamp
  std::uint64_t not_before_ = 0;  // when the queue was last seen empty
  std::uint64_t seen_ = 0;        // end of the last look that found frames
  std::uint64_t promised_ = 0;    // no stamp is before it

  // Hybrid
  // A part of so much time, both nanoseconds; the older half fades when there is more than a window of it.
  struct Share {
    double part = 0, time = 0;
    double value() const noexcept { return time > 0 ? part / time : 0; }
    bool reaches(double share) const noexcept { return part >= share * time; }
    void add(double more_part, double more_time, double window_ns) noexcept;
  };
  Share lately_;  // wire time
  Share waited_;  // ... of full bursts in a row, not known yet
  Share silent_;  // for long: what bursts came later than the load explains
  unsigned full_in_a_row_ = 0;
  bool was_full_ = false;
  double hold_ = 0;

  // A saturated link
  Share all_, unbroken_;  // wire time for long; unbroken_: without silences
  bool saturated_ = false;
  std::uint64_t window_ = 0;  // begin of this window of the count
  unsigned looks_ = 0;        // of this window
  double least_late_ = 0;     // of them
  unsigned far_behind_ = 0;   // looks in a row that found the count so
};

}  // namespace vigia::vf
