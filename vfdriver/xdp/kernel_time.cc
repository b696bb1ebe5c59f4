// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/xdp/kernel_time.h"

#include <time.h>

#include <algorithm>

namespace vigia::vf::xdp {
namespace {

constexpr unsigned kFirstLooks = 8;  // one of them is not interrupted

std::uint64_t now(clockid_t clock) noexcept {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace

ClockReadings read_clocks() noexcept {
  ClockReadings readings{};
  readings.before = now(CLOCK_MONOTONIC);
  readings.real = now(CLOCK_REALTIME);
  readings.after = now(CLOCK_MONOTONIC);
  return readings;
}

KernelTime::KernelTime(Read read) noexcept : read_(read) {
  for (unsigned i = 0; i < kFirstLooks; ++i) nothing();
}

void KernelTime::nothing() noexcept {
  looked_ = look().before >> kNoteShift;
  earliest_ = looked_ - kSlack;
}

ClockReadings KernelTime::look() noexcept {
  const ClockReadings readings = read_();
  const auto least = static_cast<std::int64_t>(readings.real - readings.after);
  const auto most = static_cast<std::int64_t>(readings.real - readings.before);
  least_ = std::max(least_, least);
  most_ = std::min(most_, most);
  if (least_ > most_) {  // no offset explains all looks: it has changed
    least_ = least;
    most_ = most;
  }
  offset_ = static_cast<std::uint64_t>(least_ + (most_ - least_) / 2) + (std::uint64_t{1} << kNoteShift) / 2;
  return readings;
}

}  // namespace vigia::vf::xdp
