// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rx/pauses.h"

#include <fmt/core.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <ctime>
#include <thread>

#include "benchmarks/rx/bench.h"

namespace vigia::bench {
namespace {

constexpr std::size_t kMost = 1 << 16;

double seconds_of(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

PauseMeter::PauseMeter(const vf::ClockView& clock)
    : source_(clock.source()),
      us_per_tick_(static_cast<double>(clock.line().factor) / static_cast<double>(1ull << vf::ClockLine::kShift) *
                   1e-3),
      least_(static_cast<std::uint64_t>(kLeastUs / us_per_tick_)) {
  pauses_.reserve(kMost);  // touched now: keeping a pause must not make one
  pauses_.resize(kMost);
  pauses_.clear();
}

void PauseMeter::begin() noexcept {
  wall_ = seconds_of(CLOCK_MONOTONIC);
  cpu_ = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  last_ = vf::read_ticks(source_);
}

void PauseMeter::note(std::uint64_t now) noexcept {
  const double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  const double off = (wall - wall_) - (cpu - cpu_);
  wall_ = wall;
  cpu_ = cpu;
  if (pauses_.size() < kMost) pauses_.push_back({now, now - last_, std::max(off, 0.0)});
}

std::string PauseMeter::json(std::uint64_t from, std::uint64_t to) const {
  std::uint64_t count = 0, longest = 0, sum = 0;
  double off_cpu = 0;
  for (const Pause& p : pauses_) {
    if (p.end < from || p.end > to) continue;
    ++count;
    sum += p.ticks;
    longest = std::max(longest, p.ticks);
    off_cpu += p.off_cpu;
  }
  return fmt::format("{{\"pauses\": {}, \"longest_us\": {:.0f}, \"sum_us\": {:.0f}, \"off_cpu_us\": {:.0f}}}", count,
                     microseconds(longest), microseconds(sum), off_cpu * 1e6);
}

bool before_others(int priority) {
  sched_param wanted{};
  wanted.sched_priority = priority;
  return ::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &wanted) == 0;
}

void pin_to(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set);  // a machine with fewer cores runs as it can
}

void measure_pauses(double seconds) {
  vf::Clock clock;
  std::vector<PauseMeter> meters(std::min(2u, std::thread::hardware_concurrency()), PauseMeter(clock));
  std::vector<std::thread> threads;
  std::vector<std::uint64_t> begins(meters.size());
  for (unsigned cpu = 0; cpu < meters.size(); ++cpu) {
    threads.emplace_back([&, cpu] {
      pin_to(cpu);
      PauseMeter& meter = meters[cpu];
      meter.begin();
      begins[cpu] = meter.last();
      while (meter.microseconds(meter.last() - begins[cpu]) < seconds * 1e6) meter.turn();
    });
  }
  std::string text;
  for (unsigned cpu = 0; cpu < meters.size(); ++cpu) {
    threads[cpu].join();
    text +=
        fmt::format("{}\"cpu{}\": {}", cpu == 0 ? "" : ", ", cpu, meters[cpu].json(begins[cpu], meters[cpu].last()));
  }
  fmt::print("{{\"seconds\": {}, {}}}\n", seconds, text);
}

}  // namespace vigia::bench
