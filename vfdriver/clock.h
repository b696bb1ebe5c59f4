// SPDX-License-Identifier: Apache-2.0
// Time (architecture 5.5): a counter of the processor, converted to CLOCK_REALTIME or a PTP clock by a straight line
// that is measured at start and measured again while running.
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/result.h"
#include "vfdriver/reference_clock.h"
#include "vfdriver/stamp_policy.h"
#include "vfdriver/ticks.h"

namespace vigia::vf {

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
  // At the last update: the real clock minus the line; what of it the look could not tell, to either side; how much
  // faster the real clock ran against the ticks than in the first interval, in millionths.
  std::int64_t last_offset_ns() const noexcept { return last_offset_ns_; }
  std::uint64_t uncertainty_ns() const noexcept { return uncertainty_ns_; }
  double drift_ppm() const noexcept { return (ns_per_tick_ / first_ns_per_tick_ - 1) * 1e6; }

 private:
  std::uint64_t half_width_ns(const ClockSample& sample) const noexcept;
  void measure_rate(const ClockSample& sample) noexcept;

  ClockSample anchor_;  // start of the interval over which the rate is measured
  double ns_per_tick_, first_ns_per_tick_;
  ClockLine line_;
  std::uint64_t bound_ns_ = 0, last_error_ns_ = 0, steps_ = 0, uncertainty_ns_ = 0;
  std::int64_t last_offset_ns_ = 0;
};

// Where stamps come from and what they mean: of an engine.
struct ClockOptions {
  ClockPolicy policy = ClockPolicy::hybrid;
  std::optional<TickSource> ticks;  // empty: the best of this machine
  std::filesystem::path reference;  // a PTP device, /dev/ptp0; empty: CLOCK_REALTIME
  std::string asked = {};           // the words that somebody wished for; empty: nobody did
};
// "POLICY[,ticks=tsc|monotonic][,reference=/dev/ptpN]": "hybrid", "kpt,reference=/dev/ptp0". Input errors.
Result<ClockOptions> parse_clock_options(std::string_view text);

// What a file and an operator are told.
struct ClockReport {
  std::string source;     // "tsc 2.445 GHz"
  std::string reference;  // "CLOCK_REALTIME"
  std::string policy;     // "kpt"
  std::uint64_t error_bound_ns = 0, steps = 0;
  std::int64_t offset_ns = 0;        // of the reference to the stamps at the last calibration
  std::uint64_t uncertainty_ns = 0;  // of that offset
  double drift_ppm = 0;              // of the ticks since the first calibration
  std::uint64_t calibrations = 0, failed_calibrations = 0;
  std::string port;  // how the port stamps frames itself; not empty: nothing above is about their stamps
  std::string text() const;
};

// What an engine sees of a clock: the line in use, until a new one is handed over.
class ClockView {
 public:
  ClockView(TickSource source, ClockPolicy policy, const ClockLine& line)
      : source_(source), policy_(policy), line_(line) {}
  ClockView(const ClockView&) = delete;
  ClockView& operator=(const ClockView&) = delete;

  ClockPolicy policy() const noexcept { return policy_; }
  TickSource source() const noexcept { return source_; }

  // Engine's thread: picks up a new line.
  void refresh() noexcept {
    // Acquire: pairs with the release in offer(); the line is written.
    if (handed_.load(std::memory_order_acquire)) [[unlikely]]
      take_line();
  }
  // Engine's thread. A new line may begin behind where the last one was read: who needs order keeps it.
  const ClockLine& line() const noexcept { return line_; }

 private:
  friend class Clock;
  // Control thread. Whether the engine has picked up the last line; the next one, when it has. Acquire: pairs with the
  // release in take_line(); the engine has read the offered line.
  bool taken() const noexcept { return !handed_.load(std::memory_order_acquire); }
  void offer(const ClockLine& line) noexcept;
  void take_line() noexcept;

  const TickSource source_;
  const ClockPolicy policy_;
  ClockLine offered_;  // written while !handed_, read while handed_
  std::atomic<bool> handed_{false};

  ClockLine line_;  // engine's thread
};

// The clock of one engine, or of several: itself the first one's view. calibrate() and report() on one control thread,
// a few times a second.
class Clock : public ClockView {
 public:
  // Calibrates against CLOCK_REALTIME, for about 50 ms before it returns.
  explicit Clock(TickSource source = best_tick_source(), ClockPolicy policy = ClockPolicy::hybrid);
  // Likewise against any reference; an error: it cannot be read.
  static Result<std::unique_ptr<Clock>> create(std::unique_ptr<ReferenceClock> reference, TickSource source,
                                               ClockPolicy policy);
  // As the options say. Ticks that this machine cannot promise are an input error, as is a reference that is none.
  static Result<std::unique_ptr<Clock>> open(const ClockOptions& options);

  // For one engine more, before any of them runs; the clock owns it.
  ClockView& add_view();

  // Takes a new look at the reference and hands every engine the same new line, unless one of them has not picked up
  // the last one yet. A reference that refuses is counted; the line goes on as it was.
  void calibrate();
  ClockReport report() const;
  // The port has stamps of its own (PortInfo::stamps): this clock's are not used, and the report says so.
  void stamped_by_port(std::string how) { port_ = std::move(how); }

 private:
  Clock(std::unique_ptr<ReferenceClock> reference, TickSource source, ClockPolicy policy, const ClockModel& model);

  // Control thread.
  const std::unique_ptr<ReferenceClock> reference_;
  ClockModel model_;
  std::uint64_t last_update_ns_ = 0;
  std::uint64_t calibrations_ = 1, failed_calibrations_ = 0;
  std::vector<std::unique_ptr<ClockView>> more_views_;
  std::string port_;
};

}  // namespace vigia::vf
