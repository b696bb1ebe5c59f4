// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/frame_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
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

// The rate is as exact as the samples, which are told in nanoseconds since 1970: more than a double can hold.
TEST(ClockModel, ASteadyCounterIsMetToTheNanosecond) {
  for (const double first : {0.05, 0.0501, 0.0537}) {
    const World world{.ppm = 12.3};
    ClockModel model(world.at(0), world.at(first));
    for (int i = 1; i < 100; ++i) {
      model.update(world.at(first + 0.25 * i), 250'000'000);
      // What 50 ms leave of a nanosecond's rounding shows in the first updates.
      EXPECT_LE(std::abs(model.last_offset_ns()), i < 4 ? 8 : 2) << first << ", update " << i;
    }
  }
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

TEST(ClockModel, TellsOffsetUncertaintyAndDrift) {
  World world;
  ClockModel model(world.at(0, 100), world.at(0.05, 100));
  EXPECT_EQ(model.last_offset_ns(), 0);
  EXPECT_EQ(model.uncertainty_ns(), 21u);
  EXPECT_DOUBLE_EQ(model.drift_ppm(), 0);
  world.ppm = 40;  // ticks come faster: each is shorter than it was
  for (double t = 0.3; t < 30; t += 0.25) model.update(world.at(t, 50), 250'000'000);
  EXPECT_NEAR(model.drift_ppm(), -40, 0.5);
  EXPECT_NEAR(static_cast<double>(model.uncertainty_ns()), 10.5, 0.5) << "half of 50 ticks, rounded up";
  World late = world;
  late.set_by = -3'000;
  model.update(late.at(31), 1'000'000'000);
  EXPECT_NEAR(static_cast<double>(model.last_offset_ns()), -3'000, 400);
  EXPECT_EQ(model.steps(), 0u) << "3 us are slewed";
}

TEST(ClockModel, AnOutlierIsSlewedAndForgottenByTheLineButNotByTheBound) {
  World world;
  ClockModel model(world.at(0), world.at(0.05));
  for (double t = 0.3; t < 5; t += 0.25) model.update(world.at(t), 250'000'000);
  // The thread was away between reading the clock and the ticks: 2 ms, and the look is as wide.
  ClockSample away = world.at(5, 5'000'000);
  away.real_ns -= 1'000'000;
  model.update(away, 250'000'000);
  EXPECT_GE(model.error_bound_ns(), 2'000'000u);
  for (double t = 5.25; t < 30; t += 0.25) model.update(world.at(t), 250'000'000);
  EXPECT_LT(model.last_error_ns(), 1'000u);
  EXPECT_GE(model.error_bound_ns(), 2'000'000u);
}

TEST(ClockOptions, WhatMayBeSaid) {
  const auto all = parse_clock_options("wdts,ticks=monotonic,reference=/dev/ptp1");
  ASSERT_TRUE(all) << all.error().text;
  EXPECT_EQ(all->policy, ClockPolicy::wdts);
  EXPECT_EQ(all->ticks, TickSource::monotonic);
  EXPECT_EQ(all->reference, "/dev/ptp1");
  const auto plain = parse_clock_options("udts");
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->ticks);
  EXPECT_TRUE(plain->reference.empty());
  for (const char* wrong :
       {"", "ticks=tsc", "kpt,ticks=hpet", "kpt,reference=", "kpt,kpt", "KPT", "kpt ", ",kpt", "kpt,,ticks=tsc"}) {
    const auto refused = parse_clock_options(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().exit_status(), 2);
    EXPECT_NE(refused.error().text.find("want POLICY"), std::string::npos) << refused.error().text;
  }
}

TEST(Clock, WrongReferencesAreInputErrors) {
  for (const char* path : {"/nonexistent/ptp0", "/dev/null"}) {
    const auto refused = Clock::open({ClockPolicy::kpt, {}, path});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().exit_status(), 2);
    EXPECT_NE(refused.error().text.find(path), std::string::npos) << refused.error().text;
  }
}

// A reference that follows its script.
class Script final : public ReferenceClock {
 public:
  explicit Script(std::vector<std::optional<ClockSample>> samples) : samples_(std::move(samples)) {}
  Result<ClockSample> sample(TickSource) override {
    check(next_ < samples_.size());
    if (const auto& s = samples_[next_++]) return *s;
    return work_error("read the reference: gone");
  }
  std::string name() const override { return "a script"; }

 private:
  std::vector<std::optional<ClockSample>> samples_;
  std::size_t next_ = 0;
};

TEST(Clock, AReferenceThatFailsIsCountedAndTheLineGoesOn) {
  const World world;
  auto clock = Clock::create(std::make_unique<Script>(std::vector<std::optional<ClockSample>>{
                                 world.at(0), world.at(0.05), std::nullopt, world.at(0.04), world.at(0.5)}),
                             TickSource::monotonic, ClockPolicy::wdts);
  ASSERT_TRUE(clock) << clock.error().text;
  const auto ns_at_one = (*clock)->line().ns_at(world.at(1).ticks);
  (*clock)->calibrate();
  (*clock)->calibrate();  // a moment before the last one
  (*clock)->refresh();
  EXPECT_EQ((*clock)->line().ns_at(world.at(1).ticks), ns_at_one);
  (*clock)->calibrate();
  const ClockReport report = (*clock)->report();
  EXPECT_EQ(report.failed_calibrations, 2u);
  EXPECT_EQ(report.calibrations, 2u);
  EXPECT_EQ(report.reference, "a script");
  EXPECT_EQ(report.policy, "wdts");
  EXPECT_NE(report.text().find("could not be read 2 times"), std::string::npos) << report.text();
}

TEST(Clock, AReferenceThatStandsStillIsRefused) {
  const World world;
  auto clock =
      Clock::create(std::make_unique<Script>(std::vector<std::optional<ClockSample>>{world.at(0), world.at(0)}),
                    TickSource::tsc, ClockPolicy::kpt);
  ASSERT_FALSE(clock);
  EXPECT_EQ(clock.error().exit_status(), 1);
}

TEST(FrameClock, StampsAreMonotonicAcrossCalibrationsAndNearTheRealClock) {
  const std::array<std::byte, 60> frame{};
  const RxSegment segment{frame.data(), frame.size(), true};
  for (const ClockPolicy policy : {ClockPolicy::kpt, ClockPolicy::hybrid}) {
    for (const TickSource source : {best_tick_source(), TickSource::monotonic}) {
      Clock clock(source, policy);
      FrameClock stamps(clock, 10'000);
      std::atomic<bool> stop{false};
      std::thread control([&] {
        while (!stop) {
          clock.calibrate();
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
      });
      Stamp last{};
      std::uint64_t worst = 0;
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
      while (std::chrono::steady_clock::now() < end) {
        stamps.look();
        stamps.nothing();
        stamps.look();
        const Stamp now = stamps.found(count_of({&segment, 1}), false).next(60);
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
      EXPECT_NE(clock.report().text().find("policy " + std::string(name_of(policy))), std::string::npos);
    }
  }
}

TEST(FrameClock, FramesOfSeveralPiecesHaveOneStampEach) {
  const std::array<std::byte, 60> bytes{};
  const auto piece = [&](bool end, std::uint16_t beyond) {
    return RxSegment{bytes.data(), bytes.size(), end, 0, beyond};
  };
  const std::array segments{piece(false, 0), piece(true, 1000), piece(true, 0), piece(false, 0)};
  Clock clock;
  FrameClock stamps(clock, 10'000);
  stamps.look();
  const BurstCount count = count_of(segments);
  EXPECT_EQ(count.frames, 3u);
  EXPECT_EQ(count.bytes, 4 * 60u + 1000) << "what the port does not hold was on the wire all the same";
  EXPECT_FALSE(count.plain);
  BurstStamps burst = stamps.found(count, false);
  const std::uint64_t first = burst.next(1120).total_ns(), second = burst.next(60).total_ns();
  EXPECT_LE(first, second);
  EXPECT_LE(second, burst.next(60).total_ns());
}

TEST(Clock, EveryEngineGetsTheSameLine) {
  Clock clock;
  ClockView& second = clock.add_view();
  EXPECT_EQ(second.line().factor, clock.line().factor);
  clock.calibrate();
  clock.refresh();
  const ClockLine line = clock.line();
  EXPECT_NE(second.line().tick0, line.tick0);
  clock.calibrate();
  clock.refresh();
  EXPECT_EQ(clock.line().tick0, line.tick0) << "no new line while the second engine has not picked up the last";
  second.refresh();
  EXPECT_EQ(second.line().tick0, line.tick0);
  EXPECT_EQ(second.line().ns0, line.ns0);
  EXPECT_EQ(second.line().factor, line.factor);
}

TEST(FrameClock, PromisesAreALittleBackAndKept) {
  Clock clock(best_tick_source(), ClockPolicy::udts);
  FrameClock stamps(clock, 10'000);
  const std::byte data[60]{};
  const RxSegment one{data, 60, true};
  const auto take = [&] {
    stamps.look();
    return stamps.found(count_of({&one, 1}), false).next(60).total_ns();
  };
  const std::uint64_t first = take();
  std::uint64_t promised = 0;
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    stamps.look();
    stamps.nothing();
    EXPECT_GE(stamps.promise(), promised);
    promised = stamps.promise();
  }
  EXPECT_GT(promised, first);
  const std::array pair{one, one};
  stamps.look();
  EXPECT_GE(stamps.found(count_of(pair), false).next(60).total_ns(), promised)
      << "alone it would lie in the middle of the pause";
}

TEST(BurstCount, ABurstIsPlainWhenEverySegmentIsAGoodFrame) {
  const std::array<std::byte, 60> bytes{};
  const RxSegment good{bytes.data(), 60, true}, bad{bytes.data(), 60, true, RxError::mac};
  EXPECT_TRUE(count_of(std::array{good, good}).plain);
  EXPECT_FALSE(count_of(std::array{good, bad}).plain);
}

TEST(FrameClock, ABurstWithoutAnEndIsOneFrame) {
  const std::array<std::byte, 60> bytes{};
  const RxSegment half{bytes.data(), bytes.size(), false};
  Clock clock;
  FrameClock stamps(clock, 10'000);
  stamps.look();
  const BurstCount count = count_of({&half, 1});
  EXPECT_EQ(count.frames, 1u);
  EXPECT_EQ(count.bytes, 60u);
  EXPECT_FALSE(count.plain);
  EXPECT_NE(stamps.found(count, false).next(60).total_ns(), 0u);
}

TEST(Clock, APortThatStampsItselfIsNamedInItsPlace) {
  Clock clock;
  clock.stamped_by_port("the kernel's CLOCK_REALTIME");
  const ClockReport report = clock.report();
  EXPECT_EQ(report.policy, "port");
  EXPECT_EQ(report.text().find("clock: the kernel's CLOCK_REALTIME; policy port; error bound unknown"), 0u)
      << report.text();
}

}  // namespace
}  // namespace vigia::vf
