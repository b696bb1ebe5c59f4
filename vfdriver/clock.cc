// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/clock.h"

#include <cpuid.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "hw/result.h"

namespace vigia::vf {
namespace {

// How long the first calibration takes: with looks of 50 ns the rate is right to 1 ppm after it.
constexpr std::chrono::milliseconds kFirstInterval{50};
// The rate is measured over up to this long: long against the width of a look, short against temperature.
constexpr double kRateWindowNs = 16e9;
constexpr std::uint64_t kStepNs = 10'000'000;
constexpr double kMaxSlew = 500e-6;   // what adjtime and NTP use
constexpr double kMaxSlewBack = 0.1;  // after the real clock was set back
constexpr int kLooks = 32;
constexpr std::uint64_t kSecond = 1'000'000'000;

std::uint64_t real_now() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * kSecond + static_cast<std::uint64_t>(t.tv_nsec);
}

ClockModel first_model(TickSource source) {
  const ClockSample first = take_clock_sample(source);
  std::this_thread::sleep_for(kFirstInterval);
  return ClockModel(first, take_clock_sample(source));
}

std::uint64_t scaled(double ns_per_tick) {
  return static_cast<std::uint64_t>(std::llround(std::ldexp(ns_per_tick, ClockLine::kShift)));
}

}  // namespace

TickSource best_tick_source() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  // Intel SDM vol. 3, 18.17.1: CPUID.80000007H:EDX[8], invariant TSC.
  if (__get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1u << 8) != 0) return TickSource::tsc;
  return TickSource::monotonic;
}

ClockSample take_clock_sample(TickSource source) {
  ClockSample best;
  for (int i = 0; i < kLooks; ++i) {
    const std::uint64_t before = read_ticks(source);
    const std::uint64_t real = real_now();
    const std::uint64_t after = read_ticks(source);
    if (i == 0 || after - before < best.width_ticks) best = {before + (after - before) / 2, real, after - before};
  }
  return best;
}

ClockModel::ClockModel(const ClockSample& first, const ClockSample& second) : anchor_(first) {
  check(second.ticks > first.ticks && second.real_ns > first.real_ns);
  ns_per_tick_ = static_cast<double>(second.real_ns - first.real_ns) / static_cast<double>(second.ticks - first.ticks);
  line_ = {second.ticks, second.real_ns, scaled(ns_per_tick_)};
  bound_ns_ = half_width_ns(second);
}

std::uint64_t ClockModel::half_width_ns(const ClockSample& sample) const noexcept {
  return static_cast<std::uint64_t>(static_cast<double>(sample.width_ticks) * ns_per_tick_ / 2) + 1;
}

void ClockModel::measure_rate(const ClockSample& sample) noexcept {
  const double span = static_cast<double>(sample.real_ns) - static_cast<double>(anchor_.real_ns);
  ns_per_tick_ = span / static_cast<double>(sample.ticks - anchor_.ticks);
  if (span > kRateWindowNs) {
    // The anchor moves along the line just measured, half a window behind.
    const auto back_ticks = static_cast<std::uint64_t>(kRateWindowNs / 2 / ns_per_tick_);
    anchor_.ticks = sample.ticks - back_ticks;
    anchor_.real_ns = sample.real_ns - static_cast<std::uint64_t>(kRateWindowNs / 2);
  }
}

const ClockLine& ClockModel::update(const ClockSample& sample, std::uint64_t interval_ns) {
  check(sample.ticks > line_.tick0);
  const std::uint64_t predicted = line_.ns_at(sample.ticks);
  const auto error = static_cast<std::int64_t>(sample.real_ns - predicted);
  const bool was_off = last_error_ns_ > kStepNs;
  last_error_ns_ = static_cast<std::uint64_t>(std::abs(error)) + half_width_ns(sample);
  bound_ns_ = std::max(bound_ns_, last_error_ns_);
  if (last_error_ns_ > kStepNs) {
    // The clock was set. The rate of the counter has not changed: measure it afresh from here.
    if (!was_off) ++steps_;
    anchor_ = sample;
  } else if (sample.ticks > anchor_.ticks) {
    measure_rate(sample);
  }
  const bool set_ahead = error > static_cast<std::int64_t>(kStepNs);
  const double wanted =
      set_ahead ? 0 : static_cast<double>(error) / static_cast<double>(std::max<std::uint64_t>(interval_ns, 1));
  const double slowest = error < -static_cast<std::int64_t>(kStepNs) ? kMaxSlewBack : kMaxSlew;
  line_ = {sample.ticks, set_ahead ? sample.real_ns : predicted,
           scaled(ns_per_tick_ * (1 + std::clamp(wanted, -slowest, kMaxSlew)))};
  return line_;
}

std::string ClockReport::text() const {
  return fmt::format("clock: {} calibrated against CLOCK_REALTIME; policy {}; error bound {} ns{}", source, policy,
                     error_bound_ns, steps ? fmt::format("; the system clock was set {} times", steps) : "");
}

Clock::Clock(TickSource source) : source_(source), model_(first_model(source)), line_(model_.line()) {
  last_update_ns_ = line_.ns0;
  last_ns_ = line_.ns0;
  new_second();
}

void Clock::calibrate() {
  // Acquire: pairs with the release in take_line(); the engine has read the offered line.
  if (handed_.load(std::memory_order_acquire)) return;
  const ClockSample sample = take_clock_sample(source_);
  const std::uint64_t now = model_.line().ns_at(sample.ticks);
  offered_ = model_.update(sample, now - std::min(now, last_update_ns_));
  last_update_ns_ = now;
  // Release: the line is written before the engine sees the flag.
  handed_.store(true, std::memory_order_release);
}

void Clock::take_line() noexcept {
  line_ = offered_;
  // Release: our read of the line is done before calibrate() writes the next.
  handed_.store(false, std::memory_order_release);
}

Stamp Clock::new_second() noexcept {
  const Stamp stamp = Stamp::of_ns(last_ns_);
  second_ = stamp.seconds;
  second_start_ns_ = last_ns_ - stamp.nanoseconds;
  return stamp;
}

ClockReport Clock::report() const {
  ClockReport report;
  report.source = source_ == TickSource::tsc ? fmt::format("tsc {:.3f} GHz", model_.ticks_per_second() / 1e9)
                                             : std::string("CLOCK_MONOTONIC_RAW (no invariant tsc)");
  report.policy = "kpt (each frame stamped when the polling thread takes it)";
  report.error_bound_ns = model_.error_bound_ns();
  report.steps = model_.steps();
  return report;
}

}  // namespace vigia::vf
