// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/reference_clock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/ptp_clock.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace vigia::vf {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
// A PTP clock that keeps TAI and is off by some more.
constexpr std::uint64_t kAhead = 37 * kSecond + 123'456;

std::uint64_t now(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * kSecond + static_cast<std::uint64_t>(t.tv_nsec);
}
ptp_clock_time ptp(std::uint64_t ns) {
  return {static_cast<std::int64_t>(ns / kSecond), static_cast<std::uint32_t>(ns % kSecond), 0};
}

// A PTP device of the imagination: which questions it answers, and which it was asked.
struct Device {
  bool precise = false, extended = false;
  std::vector<unsigned long> asked;

  int operator()(unsigned long request, void* argument) {
    asked.push_back(request);
    if (request == PTP_SYS_OFFSET_PRECISE && precise) {
      auto& p = *static_cast<ptp_sys_offset_precise*>(argument);
      const std::uint64_t real = now(CLOCK_REALTIME);
      p.sys_monoraw = ptp(now(CLOCK_MONOTONIC_RAW));
      p.device = ptp(real + kAhead);
      return 0;
    }
    if (request == PTP_SYS_OFFSET_EXTENDED && extended) {
      auto& p = *static_cast<ptp_sys_offset_extended*>(argument);
      for (unsigned i = 0; i < p.n_samples; ++i) {
        // All but one were interrupted: 5 ms between the looks, and the device's time anywhere.
        const bool narrow = i == 3;
        const std::uint64_t real = now(CLOCK_REALTIME);
        p.ts[i][0] = ptp(real - (narrow ? 100 : 5'000'000));
        p.ts[i][1] = ptp(real + kAhead + (narrow ? 0 : 2'000'000));
        p.ts[i][2] = ptp(real + (narrow ? 100 : 5'000'000));
      }
      return 0;
    }
    errno = EOPNOTSUPP;
    return -1;
  }
};

// How far the sample's time is from what the imagined clock shows at the sample's ticks; both are looked at again now.
double error_of(const ClockSample& sample, TickSource source) {
  const auto now_sample = real_time_reference()->sample(source);
  EXPECT_TRUE(now_sample);
  // Between the two looks, at the ticks' rate over 20 ms.
  timespec nap{0, 20'000'000};
  ::nanosleep(&nap, nullptr);
  const auto later = real_time_reference()->sample(source);
  const double rate =
      static_cast<double>(later->real_ns - now_sample->real_ns) / static_cast<double>(later->ticks - now_sample->ticks);
  const double back = static_cast<double>(static_cast<std::int64_t>(now_sample->ticks - sample.ticks)) * rate;
  return static_cast<double>(static_cast<std::int64_t>(sample.real_ns - kAhead - now_sample->real_ns)) + back;
}

TEST(MiddleOf, NarrowLooksAreAveragedAndTheOthersLeftOut) {
  constexpr std::uint64_t kReal = 1'790'000'000'000'000'000, kHour = 3600 * kSecond;
  struct Case {
    std::vector<ClockSample> looks;
    ClockSample middle;
  };
  const Case cases[] = {
      {{{1000, kReal, 52}}, {1000, kReal, 52}},
      {{{1000, kReal, 78}, {1100, kReal + 50, 52}, {1200, kReal + 70, 52}}, {1100, kReal + 40, 52}},
      {{{1000, kReal, 52}, {1100, kReal + 900, 79}}, {1000, kReal, 52}},  // too wide
      // The clock is set between two looks, back and ahead; the narrowest tells which side counts.
      {{{1000, kReal, 52}, {1100, kReal - kHour, 52}}, {1000, kReal, 52}},
      {{{1000, kReal, 78}, {1100, kReal + kHour, 52}, {1200, kReal + kHour + 40, 52}}, {1150, kReal + kHour + 20, 52}},
  };
  for (const Case& c : cases) {
    const ClockSample got = middle_of(c.looks);
    EXPECT_EQ(got.ticks, c.middle.ticks);
    EXPECT_EQ(got.real_ns, c.middle.real_ns);
    EXPECT_EQ(got.width_ticks, c.middle.width_ticks);
  }
}

TEST(PtpReference, EveryWayTellsTheDevicesTime) {
  for (const TickSource source : {best_tick_source(), TickSource::monotonic}) {
    for (const bool precise : {true, false}) {
      Device device{precise, true, {}};
      auto reference = ptp_reference(Fd(::open("/dev/null", O_RDONLY)), "/dev/ptp9", std::ref(device));
      double best = 1e18;
      std::uint64_t width = 0;
      // A machine with other work may be away between any two lines of this.
      for (int i = 0; i < 20 && best > 5'000; ++i) {
        const auto sample = reference->sample(source);
        ASSERT_TRUE(sample) << sample.error().text;
        width = sample->width_ticks;
        best = std::min(best, std::abs(error_of(*sample, source)));
      }
      EXPECT_LE(best, 5'000) << "precise " << precise;
      EXPECT_GT(width, 0u);
    }
  }
}

TEST(PtpReference, AsksNoMoreWhatWasRefused) {
  Device device{false, true, {}};
  auto reference = ptp_reference(Fd(::open("/dev/null", O_RDONLY)), "/dev/ptp9", std::ref(device));
  ASSERT_TRUE(reference->sample(TickSource::monotonic));
  ASSERT_TRUE(reference->sample(TickSource::monotonic));
  EXPECT_EQ(device.asked,
            (std::vector<unsigned long>{PTP_SYS_OFFSET_PRECISE, PTP_SYS_OFFSET_EXTENDED, PTP_SYS_OFFSET_EXTENDED}));
  EXPECT_EQ(reference->name(), "PTP clock /dev/ptp9");
}

TEST(PtpReference, OneThatCannotBeReadSaysWhich) {
  Device device;
  auto reference = ptp_reference(Fd(::open("/dev/null", O_RDONLY)), "/dev/ptp9", std::ref(device));
  const auto sample = reference->sample(TickSource::monotonic);
  ASSERT_FALSE(sample);
  EXPECT_NE(sample.error().text.find("/dev/ptp9"), std::string::npos) << sample.error().text;
}

TEST(TickSource, SaysWhatTheKernelTrusts) {
  EXPECT_EQ(describe(TickSource::tsc), "tsc");
  EXPECT_EQ(describe(TickSource::monotonic).find("CLOCK_MONOTONIC_RAW"), 0u);
}

}  // namespace
}  // namespace vigia::vf
