// SPDX-License-Identifier: Apache-2.0
// Time stamps (architecture 5.5): a counter of the processor, converted to CLOCK_REALTIME by a straight line that is
// measured at start and measured again while running. Stamps never go backwards.
#pragma once

#include <x86intrin.h>

#include <atomic>
#include <cstdint>
#include <ctime>
#include <string>

#include "vfdriver/record.h"

namespace vigia::vf {

enum class TickSource {
  tsc,       // the processor's time stamp counter, where it is invariant
  monotonic  // CLOCK_MONOTONIC_RAW, nanoseconds: about twice the cost per stamp
};

// Ticks of a source, any thread.
inline std::uint64_t read_ticks(TickSource source) noexcept {
  if (source == TickSource::tsc) [[likely]]
    return __rdtsc();
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}
// What this machine can do: tsc if CPUID calls it invariant.
TickSource best_tick_source();

// Nanoseconds since 1970 as a straight line over ticks: a multiplication and a shift.
struct ClockLine {
  // 44 bits of fraction: the factor of a 1 GHz counter still fits 64 bits a million times over, and rounding it costs
  // less than a nanosecond in ten minutes.
  static constexpr unsigned kShift = 44;

  std::uint64_t tick0 = 0, ns0 = 0;
  std::uint64_t factor = 0;  // nanoseconds per tick, times 2^kShift

  std::uint64_t ns_at(std::uint64_t ticks) const noexcept {
    __extension__ using Wide = __int128;
    const Wide distance = static_cast<std::int64_t>(ticks - tick0);
    return ns0 +
           static_cast<std::uint64_t>(static_cast<std::int64_t>((distance * static_cast<Wide>(factor)) >> kShift));
  }
};

// One simultaneous look at both clocks: ticks were read before and after, width apart; the real time belongs to the
// middle, give or take half of width.
struct ClockSample {
  std::uint64_t ticks = 0, real_ns = 0, width_ticks = 0;
};
// The narrowest of several looks at CLOCK_REALTIME.
ClockSample take_clock_sample(TickSource source);

// The calibration, without any clock: samples in, lines out. Pure, so that drift and steps are tested as tables.
class ClockModel {
 public:
  // From two samples some time apart; second.ticks > first.ticks.
  ClockModel(const ClockSample& first, const ClockSample& second);

  const ClockLine& line() const noexcept { return line_; }
  // Takes a new sample and returns the line from there on. It continues the old one without a jump and meets the real
  // clock about interval_ns later, at most 500 ppm faster or slower than measured. A real clock that was set ahead by
  // more than 10 ms is followed at once; one that was set back is approached at 10 % slower, never backwards.
  const ClockLine& update(const ClockSample& sample, std::uint64_t interval_ns);

  // The largest error seen: at each update the distance between line and clock, plus what the looks cannot tell.
  std::uint64_t error_bound_ns() const noexcept { return bound_ns_; }
  std::uint64_t last_error_ns() const noexcept { return last_error_ns_; }
  std::uint64_t steps() const noexcept { return steps_; }  // times the real clock was set by more than 10 ms
  double ticks_per_second() const noexcept { return 1e9 / ns_per_tick_; }

 private:
  std::uint64_t half_width_ns(const ClockSample& sample) const noexcept;
  void measure_rate(const ClockSample& sample) noexcept;

  ClockSample anchor_;  // start of the interval over which the rate is measured
  double ns_per_tick_;
  ClockLine line_;
  std::uint64_t bound_ns_ = 0, last_error_ns_ = 0, steps_ = 0;
};

// What a file and an operator are told.
struct ClockReport {
  std::string source;  // "tsc 2.445 GHz"
  std::string policy;  // "kpt: ..."
  std::uint64_t error_bound_ns = 0, steps = 0;
  std::string text() const;
};

// The clock of one engine. calibrate() from one control thread, a few times a second; stamp() from the engine's thread.
class Clock {
 public:
  // Calibrates for about 50 ms before it returns.
  explicit Clock(TickSource source = best_tick_source());

  // Takes a new look at the real clock and hands the engine a new line, unless it has not picked up the last one yet.
  void calibrate();
  ClockReport report() const;

  // Engine's thread, once per burst: picks up a new line.
  void refresh() noexcept {
    // Acquire: pairs with the release in calibrate(); the line is written.
    if (handed_.load(std::memory_order_acquire)) [[unlikely]]
      take_line();
  }
  // Engine's thread: now. Never before an earlier stamp.
  Stamp stamp() noexcept {
    const std::uint64_t ns = line_.ns_at(read_ticks(source_));
    if (ns > last_ns_) [[likely]]
      last_ns_ = ns;
    const std::uint64_t in_second = last_ns_ - second_start_ns_;
    if (in_second >= 1'000'000'000) [[unlikely]]
      return new_second();
    return {second_, static_cast<std::uint32_t>(in_second)};
  }

 private:
  void take_line() noexcept;
  Stamp new_second() noexcept;

  const TickSource source_;
  ClockModel model_;                  // control thread
  std::uint64_t last_update_ns_ = 0;  // control thread
  ClockLine offered_;                 // written while !handed_, read while handed_
  std::atomic<bool> handed_{false};

  ClockLine line_;  // engine's thread, as everything below
  std::uint64_t last_ns_ = 0, second_start_ns_ = 0;
  std::uint32_t second_ = 0;
};

}  // namespace vigia::vf
