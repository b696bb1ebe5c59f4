// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

namespace vigia::vf {
namespace {

constexpr std::uint64_t kStart = 1'700'000'000'000'000'000;
constexpr std::uint64_t kTicks = 123'456'789'000;

// A counter of 2.5 GHz that is off by so many ppm, and a real clock that may be set.
struct World {
  double ppm = 0;
  std::int64_t set_by = 0;
  ClockSample at(double seconds, std::uint64_t width = 50) const {
    return {kTicks + static_cast<std::uint64_t>(std::llround(seconds * 2.5e9 * (1 + ppm * 1e-6))),
            kStart + static_cast<std::uint64_t>(std::llround(seconds * 1e9)) + static_cast<std::uint64_t>(set_by),
            width};
  }
  std::uint64_t real(double seconds) const { return at(seconds).real_ns; }
};

TEST(ClockModel, ConvertsByMultiplicationAndShift) {
  const World world;
  const ClockModel model(world.at(0), world.at(0.05));
  for (const double t : {0.05, 0.1, 1.0, 60.0, 600.0}) {
    const auto ns = model.line().ns_at(world.at(t).ticks);
    EXPECT_LE(std::abs(static_cast<double>(ns) - static_cast<double>(world.real(t))), 256.0)
        << t;  // double's own grain
  }
  EXPECT_EQ(model.line().ns_at(world.at(0.04).ticks), world.real(0.04)) << "before the line's origin too";
  EXPECT_NEAR(model.ticks_per_second(), 2.5e9, 1);
}

TEST(ClockModel, BoundsAreMeasured) {
  const World world;
  const ClockModel model(world.at(0, 100), world.at(0.05, 100));
  EXPECT_EQ(model.error_bound_ns(), 21u) << "half of 100 ticks of 0.4 ns, rounded up";
}

TEST(ClockModel, FollowsADriftWithoutJumps) {
  World world;
  ClockModel model(world.at(0), world.at(0.05));
  world.ppm = 40;  // the oscillator warms up
  double t = 0.05;
  std::uint64_t last = 0;
  for (int i = 0; i < 400; ++i) {
    for (int k = 0; k < 10; ++k) {
      const std::uint64_t ns = model.line().ns_at(world.at(t + 0.025 * k).ticks);
      ASSERT_GT(ns, last);
      last = ns;
    }
    t += 0.25;
    const std::uint64_t before = model.line().ns_at(world.at(t).ticks);
    model.update(world.at(t), 250'000'000);
    EXPECT_EQ(model.line().ns_at(world.at(t).ticks), before) << "the new line continues the old one";
  }
  EXPECT_LT(model.last_error_ns(), 1000u);
  EXPECT_EQ(model.steps(), 0u);
  EXPECT_GT(model.error_bound_ns(), 5'000u) << "40 ppm over 0.25 s were seen once, and are not forgotten";
}

TEST(ClockModel, ClockSetAheadIsFollowedAtOnce) {
  World world;
  ClockModel model(world.at(0), world.at(0.05));
  world.set_by = 3'600'000'000'000;
  model.update(world.at(1), 950'000'000);
  EXPECT_EQ(model.line().ns_at(world.at(1).ticks), world.real(1));
  EXPECT_EQ(model.steps(), 1u);
  model.update(world.at(2), 1'000'000'000);
  EXPECT_LT(model.last_error_ns(), 1'000u);
  EXPECT_EQ(model.steps(), 1u);
}

TEST(ClockModel, ClockSetBackIsApproachedAndNeverRunsBackwards) {
  World world;
  ClockModel model(world.at(0), world.at(0.05));
  world.set_by = -200'000'000;
  std::uint64_t last = model.line().ns_at(world.at(0.05).ticks);
  double t = 0.05;
  for (int i = 0; i < 40; ++i) {
    t += 0.25;
    model.update(world.at(t), 250'000'000);
    const std::uint64_t ns = model.line().ns_at(world.at(t).ticks);
    ASSERT_GT(ns, last);
    last = ns;
  }
  EXPECT_LT(model.last_error_ns(), 10'000u);
  EXPECT_EQ(model.steps(), 1u) << "one setting, however long it takes to follow";
}

TEST(Clock, StampsAreMonotonicAcrossCalibrationsAndNearTheRealClock) {
  for (const TickSource source : {best_tick_source(), TickSource::monotonic}) {
    Clock clock(source);
    std::atomic<bool> stop{false};
    std::thread control([&] {
      while (!stop) {
        clock.calibrate();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    });
    Stamp last{};
    std::uint64_t worst = 0;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
    while (std::chrono::steady_clock::now() < end) {
      clock.refresh();
      const Stamp now = clock.stamp();
      ASSERT_GE(now.total_ns(), last.total_ns());
      ASSERT_LT(now.nanoseconds, 1'000'000'000u);
      last = now;
      timespec t{};
      ::clock_gettime(CLOCK_REALTIME, &t);
      const auto real = static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
      // Later by what the call takes; only a stamp of the future would be wrong.
      if (now.total_ns() > real) worst = std::max(worst, now.total_ns() - real);
    }
    stop = true;
    control.join();
    EXPECT_LE(worst, clock.report().error_bound_ns + 1'000) << clock.report().text();
    EXPECT_NE(clock.report().text().find("policy kpt"), std::string::npos);
  }
}

}  // namespace
}  // namespace vigia::vf
