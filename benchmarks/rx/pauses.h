// SPDX-License-Identifier: Apache-2.0
// Pauses of a thread that never waits: what the machine takes from it, measured by the thread itself. A poll loop that
// calls turn() in each round sees a pause as two rounds far apart, whether the scheduler ran another thread meanwhile
// (then the thread's own processor time stands still), or an interrupt, the hypervisor or a fault of its own kept it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vfdriver/clock.h"

namespace vigia::bench {

// Of one thread, which calls begin(), then turn(); others read it when that thread has ended.
class PauseMeter {
 public:
  struct Pause {
    std::uint64_t end, ticks;  // ticks of best_tick_source()
    double off_cpu;            // share of the time since the last pause that the thread did not run, seconds
  };

  // clock: for the length of ticks; outlives the meter.
  explicit PauseMeter(const vf::ClockView& clock);

  void begin() noexcept;
  void turn() noexcept {
    const std::uint64_t now = vf::read_ticks(source_);
    if (now - last_ > least_) [[unlikely]]
      note(now);
    last_ = now;
  }
  std::uint64_t last() const noexcept { return last_; }

  // Of the pauses that end from tick `from` to tick `to`; times in microseconds. One JSON object.
  std::string json(std::uint64_t from, std::uint64_t to) const;
  double microseconds(std::uint64_t ticks) const noexcept { return static_cast<double>(ticks) * us_per_tick_; }

 private:
  static constexpr double kLeastUs = 20;  // far above a burst, far below what a descriptor ring holds
  void note(std::uint64_t now) noexcept;

  const vf::TickSource source_;
  const double us_per_tick_;
  const std::uint64_t least_;
  std::uint64_t last_ = 0;
  double wall_ = 0, cpu_ = 0;  // at the last pause, seconds
  std::vector<Pause> pauses_;
};

// Every processor of this process's first two does nothing but this for so long: what the machine takes from whoever
// runs there. One JSON object on standard output.
void measure_pauses(double seconds);

// Ask the kernel to run this thread before all ordinary ones (SCHED_FIFO). False: not allowed, nothing changed.
bool before_others(int priority);
void pin_to(unsigned cpu);

}  // namespace vigia::bench
