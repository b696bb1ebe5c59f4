// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/clock.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

namespace vigia::vf {
namespace {

// How long the first calibration takes: with looks that are right to 1 ns the rate is right to 0.03 ppm after it.
constexpr std::chrono::milliseconds kFirstInterval{50};
// The rate is measured over up to this long: long against the width of a look, short against temperature.
constexpr double kRateWindowNs = 16e9;
constexpr std::uint64_t kStepNs = 10'000'000;
constexpr double kMaxSlew = 500e-6;   // what adjtime and NTP use
constexpr double kMaxSlewBack = 0.1;  // after the real clock was set back

std::uint64_t scaled(double ns_per_tick) {
  return static_cast<std::uint64_t>(std::llround(std::ldexp(ns_per_tick, ClockLine::kShift)));
}

}  // namespace

ClockModel::ClockModel(const ClockSample& first, const ClockSample& second) : anchor_(first) {
  check(second.ticks > first.ticks && second.real_ns > first.real_ns);
  ns_per_tick_ = static_cast<double>(second.real_ns - first.real_ns) / static_cast<double>(second.ticks - first.ticks);
  line_ = {second.ticks, second.real_ns, scaled(ns_per_tick_)};
  first_ns_per_tick_ = ns_per_tick_;
  bound_ns_ = uncertainty_ns_ = half_width_ns(second);
}

std::uint64_t ClockModel::half_width_ns(const ClockSample& sample) const noexcept {
  return static_cast<std::uint64_t>(static_cast<double>(sample.width_ticks) * ns_per_tick_ / 2) + 1;
}

void ClockModel::measure_rate(const ClockSample& sample) noexcept {
  // Subtracted as integers: a double tells nanoseconds since 1970 apart by 256.
  const auto span = static_cast<double>(static_cast<std::int64_t>(sample.real_ns - anchor_.real_ns));
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
  last_offset_ns_ = error;
  uncertainty_ns_ = half_width_ns(sample);
  last_error_ns_ = static_cast<std::uint64_t>(std::abs(error)) + uncertainty_ns_;
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

Result<ClockOptions> parse_clock_options(std::string_view text) {
  const auto fault = [text](std::string_view why) {
    return input_error(fmt::format(
        "clock \"{}\": {}; want POLICY[,ticks=tsc|monotonic][,reference=/dev/ptpN] with kpt, udts, wdts or hybrid",
        text, why));
  };
  ClockOptions options;
  options.asked = text;
  std::string_view rest = text;
  for (bool first = true; first || !rest.empty(); first = false) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view part = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    constexpr std::string_view kTicks = "ticks=", kReference = "reference=";
    if (first) {
      const auto policy = policy_of(part);
      if (!policy) return fault(fmt::format("no policy is called \"{}\"", part));
      options.policy = *policy;
    } else if (part == "ticks=tsc") {
      options.ticks = TickSource::tsc;
    } else if (part == "ticks=monotonic") {
      options.ticks = TickSource::monotonic;
    } else if (part.starts_with(kTicks)) {
      return fault(fmt::format("no ticks are called \"{}\"", part.substr(kTicks.size())));
    } else if (part.starts_with(kReference) && part.size() > kReference.size()) {
      options.reference = part.substr(kReference.size());
    } else {
      return fault(fmt::format("\"{}\" is not known", part));
    }
  }
  return options;
}

std::string ClockReport::text() const {
  if (!port.empty())
    return fmt::format("clock: {}; policy port; error bound unknown: how late it was is not told", port);
  return fmt::format(
      "clock: {} calibrated against {}; policy {}; error bound {} ns (offset {} +- {} ns, drift {:.3f} ppm){}{}",
      source, reference, policy, error_bound_ns, offset_ns, uncertainty_ns, drift_ppm,
      steps ? fmt::format("; the reference was set {} times", steps) : "",
      failed_calibrations ? fmt::format("; it could not be read {} times", failed_calibrations) : "");
}

namespace {

Result<ClockModel> first_model(ReferenceClock& reference, TickSource source) {
  const auto first = reference.sample(source);
  if (!first) return first.error();
  std::this_thread::sleep_for(kFirstInterval);
  const auto second = reference.sample(source);
  if (!second) return second.error();
  if (second->ticks <= first->ticks || second->real_ns <= first->real_ns) {
    return work_error(fmt::format("calibrate {} against {}: one of them stands still or was set back meanwhile; again?",
                                  describe(source), reference.name()));
  }
  return ClockModel(*first, *second);
}

// CLOCK_REALTIME can always be read; one that is set just then is read again.
ClockModel first_real_time_model(TickSource source) {
  for (;;) {
    if (auto model = first_model(*real_time_reference(), source)) return *model;
  }
}

}  // namespace

Clock::Clock(std::unique_ptr<ReferenceClock> reference, TickSource source, ClockPolicy policy, const ClockModel& model)
    : ClockView(source, policy, model.line()), reference_(std::move(reference)), model_(model) {
  last_update_ns_ = line().ns0;
}

Clock::Clock(TickSource source, ClockPolicy policy)
    : Clock(real_time_reference(), source, policy, first_real_time_model(source)) {}

Result<std::unique_ptr<Clock>> Clock::create(std::unique_ptr<ReferenceClock> reference, TickSource source,
                                             ClockPolicy policy) {
  const auto model = first_model(*reference, source);
  if (!model) return model.error();
  return std::unique_ptr<Clock>(new Clock(std::move(reference), source, policy, *model));
}

Result<std::unique_ptr<Clock>> Clock::open(const ClockOptions& options) {
  if (options.ticks == TickSource::tsc && best_tick_source() != TickSource::tsc) {
    return input_error(
        "clock: ticks=tsc: this processor, or the host behind it, does not promise that the counter runs evenly "
        "(CPUID 80000007H:EDX[8]); leave it away or use ticks=monotonic");
  }
  auto reference = real_time_reference();
  if (!options.reference.empty()) {
    auto ptp = open_ptp_reference(options.reference);
    if (!ptp) return ptp.error();
    reference = std::move(*ptp);
  }
  return create(std::move(reference), options.ticks.value_or(best_tick_source()), options.policy);
}

ClockView& Clock::add_view() {
  return *more_views_.emplace_back(std::make_unique<ClockView>(source(), policy(), model_.line()));
}

void Clock::calibrate() {
  const auto all_taken = [&] {
    return taken() && std::all_of(more_views_.begin(), more_views_.end(), [](auto& view) { return view->taken(); });
  };
  if (!all_taken()) return;
  const auto sample = reference_->sample(source());
  // Two looks at the same moment, or a moment before the last one, say nothing of the rate.
  if (!sample || sample->ticks <= model_.line().tick0) {
    ++failed_calibrations_;
    return;
  }
  const std::uint64_t now = model_.line().ns_at(sample->ticks);
  const ClockLine& line = model_.update(*sample, now - std::min(now, last_update_ns_));
  last_update_ns_ = now;
  ++calibrations_;
  offer(line);
  for (auto& view : more_views_) view->offer(line);
}

void ClockView::offer(const ClockLine& line) noexcept {
  offered_ = line;
  // Release: the line is written before the engine sees the flag.
  handed_.store(true, std::memory_order_release);
}

void ClockView::take_line() noexcept {
  line_ = offered_;
  // Release: our read of the line is done before the next one is offered.
  handed_.store(false, std::memory_order_release);
}

ClockReport Clock::report() const {
  ClockReport report;
  report.source = describe(source());
  if (source() == TickSource::tsc) report.source += fmt::format(" {:.3f} GHz", model_.ticks_per_second() / 1e9);
  report.reference = reference_->name();
  report.policy = port_.empty() ? name_of(policy()) : "port";
  report.port = port_;
  report.error_bound_ns = model_.error_bound_ns();
  report.steps = model_.steps();
  report.offset_ns = model_.last_offset_ns();
  report.uncertainty_ns = model_.uncertainty_ns();
  report.drift_ppm = model_.drift_ppm();
  report.calibrations = calibrations_;
  report.failed_calibrations = failed_calibrations_;
  return report;
}

}  // namespace vigia::vf
