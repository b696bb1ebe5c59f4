// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/stamp_policy.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/vfdriver/stamp_model.h"

namespace vigia::vf {
namespace {

using namespace vigia::vf::test;

constexpr std::uint64_t kT = 1'700'000'000'000'000'000;
constexpr std::array kAll{ClockPolicy::kpt, ClockPolicy::udts, ClockPolicy::wdts, ClockPolicy::hybrid};

// Stamps of a burst after kT, in nanoseconds after it.
std::vector<std::uint64_t> stamps(StampPolicy& policy, std::uint64_t begin, std::uint64_t end,
                                  const std::vector<std::uint32_t>& sizes, bool full = false) {
  Look look{kT + begin, kT + end, static_cast<std::uint32_t>(sizes.size()), 0, full};
  for (const auto s : sizes) look.bytes += s;
  BurstStamps burst = policy.found(look);
  std::vector<std::uint64_t> out;
  for (const auto s : sizes) out.push_back(burst.next(s).total_ns() - kT);
  return out;
}
using Stamps = std::vector<std::uint64_t>;

TEST(StampPolicy, NamesAreRead) {
  for (const ClockPolicy policy : kAll) {
    EXPECT_EQ(policy_of(name_of(policy)), policy);
    EXPECT_FALSE(meaning_of(policy).empty());
  }
  EXPECT_FALSE(policy_of("KPT"));
  EXPECT_FALSE(policy_of(""));
}

TEST(StampPolicy, KptStampsEachFrameAsItsDoneBitWasRead) {
  StampPolicy kpt(ClockPolicy::kpt);
  EXPECT_EQ(stamps(kpt, 0, 4, {60}), (Stamps{4}));
  EXPECT_EQ(stamps(kpt, 1000, 1016, {60, 1514, 60, 60}), (Stamps{1004, 1008, 1012, 1016}));
}

TEST(StampPolicy, UdtsSpreadsEvenlySinceTheLastStamp) {
  StampPolicy udts(ClockPolicy::udts);
  EXPECT_EQ(stamps(udts, 0, 0, {60}), (Stamps{0}));
  EXPECT_EQ(stamps(udts, 390, 400, {60, 1514, 60, 60}), (Stamps{100, 200, 300, 400}));
}

TEST(StampPolicy, WdtsSpreadsByTimeOnTheWire) {
  StampPolicy wdts(ClockPolicy::wdts);
  EXPECT_EQ(stamps(wdts, 0, 0, {60}), (Stamps{0}));
  // 84, 168 and 252 bytes on the wire.
  EXPECT_EQ(stamps(wdts, 595, 600, {60, 144, 228}), (Stamps{100, 300, 600}));
}

TEST(StampPolicy, HybridOnAnIdleLinkIsTheMomentOfTheLook) {
  StampPolicy hybrid(ClockPolicy::hybrid, 10'000);
  EXPECT_EQ(stamps(hybrid, 0, 4, {60}), (Stamps{4}));
  hybrid.found_nothing(kT + 99'960);
  EXPECT_EQ(stamps(hybrid, 100'000, 100'004, {60}), (Stamps{100'004}));
  // Two that came since the last look, which was 100 us after the frame before: not spread over those.
  hybrid.found_nothing(kT + 200'000);
  EXPECT_EQ(stamps(hybrid, 200'190, 200'200, {60, 60}), (Stamps{200'100, 200'200}));
}

TEST(StampPolicy, HybridOnAFullLinkCountsTheWiresTime) {
  StampPolicy hybrid(ClockPolicy::hybrid, 10'000);
  // 67.2 ns a frame; the looks are early and late by 40 ns.
  stamps(hybrid, 0, 0, {60});
  std::uint64_t last = 0;
  for (std::uint64_t k = 1; k <= 2000; ++k) {
    const std::uint64_t end = k * 672 + (k % 2 == 0 ? 0 : 40);
    const Stamps s = stamps(hybrid, end - 40, end, std::vector<std::uint32_t>(10, 60));
    if (k > 100) {
      for (const std::uint64_t stamp : s) {
        ASSERT_NEAR(static_cast<double>(stamp - last), 67.2, 6) << k;
        last = stamp;
      }
    }
    last = s.back();
  }
  EXPECT_GT(hybrid.load(), 0.97);
}

// Bursts of ten frames of 60 bytes, one each 672 ns, on a link that has long been full.
class FullLink {
 public:
  FullLink() {
    stamps(hybrid_, 0, 0, {60});
    while (k_ < 2000) look();
  }
  // The last stamp of the next burst, beside the end of its last frame on the wire. The burst arrives `silence` later
  // than it would, as all after it; its look is `late` by so much.
  double look(std::uint64_t late = 0, std::int64_t silence = 0) {
    silences_ += static_cast<std::uint64_t>(silence);
    const std::uint64_t arrived = ++k_ * 672 + silences_, end = arrived + 40 + late;
    return static_cast<double>(stamps(hybrid_, end - 30, end, std::vector<std::uint32_t>(10, 60)).back()) -
           static_cast<double>(arrived);
  }

 private:
  StampPolicy hybrid_{ClockPolicy::hybrid, 10'000};
  std::uint64_t k_ = 0, silences_ = 0;
};

TEST(StampPolicy, ALateLookMovesNoStampsOfAFullLink) {
  for (const std::uint64_t late : {50, 300, 600}) {
    FullLink link;
    const double before = link.look();
    EXPECT_NEAR(link.look(late), before, 2) << late;
    for (int i = 0; i < 40; ++i) EXPECT_NEAR(link.look(), before, 2) << late;
  }
}

TEST(StampPolicy, ASilenceOfAFullLinkIsFollowed) {
  {
    FullLink link;
    const double before = link.look();
    EXPECT_NEAR(link.look(0, 10'000), before, 700) << "at once, when no look is that late";
    EXPECT_NEAR(link.look(), before, 2);
  }
  for (const std::int64_t silence : {1'000, 4'500}) {
    FullLink link;
    const double before = link.look();
    EXPECT_NEAR(link.look(0, silence), before - static_cast<double>(silence), 2) << "it might be a late look";
    for (int i = 0; i < 48; ++i) link.look();
    EXPECT_NEAR(link.look(), before, 2) << "but not so many";
  }
}

// A full link whose device was away and catches up, faster than any link; then it is half full, and soon nothing is
// counted on any more.
TEST(StampPolicy, ALinkThatIsFullNoMoreIsNotCountedOn) {
  FullLink link;
  for (int i = 0; i < 1500; ++i) link.look(0, -112);
  for (int i = 0; i < 30; ++i) link.look(0, 672);
  for (int i = 0; i < 2000; ++i) EXPECT_GT(link.look(0, 672), -100) << i;
}

TEST(StampPolicy, ALinkThatGetsSlowerIsFollowedBeforeItIsTakenForNotFull) {
  FullLink link;
  for (int i = 0; i < 60; ++i) EXPECT_GT(link.look(0, 224), -3'500) << i;  // three quarters of its rate
}

// A thread that keeps up with a full link, and then is a little too slow for it: one frame of 170 is lost, and the
// queue never empty.
TEST(StampPolicy, StampsOfAFullLinkDoNotStayBehindWhatWasLost) {
  StampPolicy hybrid(ClockPolicy::hybrid, 10'000);
  stamps(hybrid, 0, 0, {60});
  std::uint64_t end = 0, last = 0;  // tenths of a nanosecond; nanoseconds
  for (std::uint64_t k = 1; k < 100'000; ++k) {
    end += 32 * (k < 10'000 ? 672 : 676);
    last = stamps(hybrid, end / 10 - 30, end / 10, std::vector<std::uint32_t>(32, 60), true).back();
  }
  EXPECT_LT(end / 10 - last, 20'000u) << "of 200 ms, in which 1 ms of frames was lost";
}

TEST(StampPolicy, HybridNeedsNoLinkRate) {
  StampPolicy hybrid(ClockPolicy::hybrid);
  stamps(hybrid, 0, 0, {60});
  EXPECT_EQ(stamps(hybrid, 590, 600, {60, 144, 228}), (Stamps{100, 300, 600}));
  EXPECT_EQ(hybrid.load(), 0);
  hybrid.found_nothing(kT + 200'000);
  EXPECT_EQ(stamps(hybrid, 200'190, 200'200, {60, 60}), (Stamps{200'100, 200'200})) << "not spread over the silence";
}

TEST(StampPolicy, FramesThatWaitedGetTheRateAtWhichTheyCameBefore) {
  StampPolicy hybrid(ClockPolicy::hybrid, 10'000);
  const std::vector<std::uint32_t> full(32, 60);
  stamps(hybrid, 0, 0, {60});
  // Half load: a frame every 134 ns, one a look.
  for (std::uint64_t k = 1; k <= 1000; ++k) {
    hybrid.found_nothing(kT + k * 134 - 20);
    stamps(hybrid, k * 134, k * 134, {60});
  }
  // The thread was away for 100 us; the first burst of what waits is the oldest 32 of some 750.
  const std::uint64_t before = 134'000;
  const Stamps s = stamps(hybrid, before + 100'000, before + 100'100, full, true);
  EXPECT_NEAR(static_cast<double>(s.back()), static_cast<double>(before + 32 * 134), 300);
  StampPolicy kpt(ClockPolicy::kpt, 10'000);
  EXPECT_GT(stamps(kpt, before + 100'000, before + 100'100, full, true).front(), before + 100'000);
}

// What was promised while the queue was idle holds, whatever the policy would have said.
TEST(StampPolicy, NoStampIsBeforeThePromise) {
  struct Case {
    ClockPolicy policy;
    std::uint64_t promised, begin, end;
    Stamps without, with;  // of three frames of 60 bytes after one at 0
  };
  const Case cases[] = {
      {ClockPolicy::kpt, 900, 1000, 1030, {1010, 1020, 1030}, {1010, 1020, 1030}},
      {ClockPolicy::udts, 700, 990, 1000, {333, 667, 1000}, {800, 900, 1000}},
      {ClockPolicy::wdts, 700, 990, 1000, {333, 667, 1000}, {800, 900, 1000}},
      {ClockPolicy::udts, 100, 990, 1000, {333, 667, 1000}, {400, 700, 1000}},
      // A new line of the clock begins behind what was promised by the old one.
      {ClockPolicy::kpt, 1040, 1000, 1030, {1010, 1020, 1030}, {1040, 1040, 1040}},
      {ClockPolicy::udts, 1040, 1000, 1030, {343, 687, 1030}, {1040, 1040, 1040}},
  };
  for (const Case& c : cases) {
    StampPolicy free(c.policy), bound(c.policy);
    for (StampPolicy* policy : {&free, &bound}) stamps(*policy, 0, 0, {60});
    bound.promise(kT + c.promised);
    bound.promise(kT);  // never taken back
    EXPECT_EQ(bound.promised(), kT + c.promised);
    EXPECT_EQ(stamps(free, c.begin, c.end, {60, 60, 60}), c.without) << name_of(c.policy) << " " << c.promised;
    EXPECT_EQ(stamps(bound, c.begin, c.end, {60, 60, 60}), c.with) << name_of(c.policy) << " " << c.promised;
  }
}

// Whatever the looks and lengths are: in order, and never later than seen.
TEST(StampPolicy, NeverBackwardsAndNeverLaterThanSeen) {
  std::mt19937_64 dice(5);
  for (const ClockPolicy name : kAll) {
    for (const unsigned link : {0u, 100u, 10'000u, 400'000u}) {
      StampPolicy policy(name, link);
      std::uint64_t now = kT, last = 0, latest = 0;
      for (int i = 0; i < 20'000; ++i) {
        now += dice() % (std::uint64_t{1} << dice() % 34);
        // A clock that was set back a little: its new line begins behind the old one.
        if (dice() % 50 == 0) now -= dice() % 2000;
        if (dice() % 2 == 0) policy.found_nothing(now);
        if (dice() % 4 == 0) {
          policy.promise(now - dice() % 300'000);
          latest = std::max(latest, policy.promised());
        }
        now += dice() % 500;
        Look look{now, now + dice() % 300, 1 + static_cast<std::uint32_t>(dice() % 32), 0, dice() % 4 == 0};
        std::vector<std::uint32_t> sizes;
        for (std::uint32_t k = 0; k < look.frames; ++k) sizes.push_back(static_cast<std::uint32_t>(dice() % 9728));
        for (const auto s : sizes) look.bytes += s;
        now = look.end_ns;
        latest = std::max(latest, now);
        BurstStamps burst = policy.found(look);
        for (const auto s : sizes) {
          const std::uint64_t stamp = burst.next(s).total_ns();
          ASSERT_GE(stamp, last) << name_of(name) << " " << i;
          ASSERT_GE(stamp, policy.promised()) << name_of(name) << " " << i;
          ASSERT_LE(stamp, latest) << name_of(name) << " " << i;
          last = stamp;
        }
      }
    }
  }
}

struct NamedMachine {
  const char* name;
  Machine machine;
};
// A device that shows each frame, with and without jitter; one that goes round its work as vigia-softnic does, quickly,
// slowly, and away for 3 us every 200 us; a polling thread that is slow, and one that is away for 30 us every 2 ms.
const NamedMachine kMachines[] = {
    {"prompt", {}},
    {"jitter", {.device_jitter = 120}},
    {"rounds of 150 ns", {.device_base = 150, .device_frame = 30, .batches = true}},
    {"rounds of 1 us", {.device_base = 1000, .device_frame = 20, .batches = true}},
    {"pauses of the device",
     {.device_base = 150, .device_frame = 30, .batches = true, .pause_every = 200e3, .pause = 3e3}},
    {"slow thread", {.burst = 300, .frame = 50}},
    {"stalls", {.device_base = 150, .device_frame = 30, .batches = true, .stall_every = 2e6, .stall = 30e3}},
};
struct NamedTraffic {
  const char* name;
  std::vector<Arrival> (*make)(double load, std::size_t count);
};
const NamedTraffic kTraffic[] = {
    {"64 bytes", [](double load, std::size_t n) { return constant(60, load, n); }},
    {"1514 bytes", [](double load, std::size_t n) { return constant(1514, load, n); }},
    {"imix", imix},
    {"trains", trains},
};

class OnMachine : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(StampPolicyModel, OnMachine, testing::Range<std::size_t>(0, std::size(kMachines)));

// The goal of the clock: whatever the load, hybrid is no worse than 1.1 times the best of the others (2 ns are what
// rounding to whole nanoseconds leaves).
TEST_P(OnMachine, HybridIsAsGoodAsTheBestAtAnyLoad) {
  const NamedMachine& m = kMachines[GetParam()];
  for (const NamedTraffic& t : kTraffic) {
    for (const double load : {0.01, 0.03, 0.1, 0.25, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0}) {
      // Two short frames after a gap may both have come just now: no look proves that the device was away.
      if (m.machine.pause > 0 && t.make == imix && load < 0.5) continue;
      const auto arrivals = t.make(load, 20'000);
      double best = 1e18;
      std::string table;
      for (const ClockPolicy policy : {ClockPolicy::kpt, ClockPolicy::udts, ClockPolicy::wdts}) {
        const Errors e = judge(policy, arrivals, m.machine);
        best = std::min(best, e.sd);
        table += std::string(name_of(policy)) + " " + std::to_string(e.sd) + "  ";
      }
      const double hybrid = judge(ClockPolicy::hybrid, arrivals, m.machine).sd;
      EXPECT_LE(hybrid, 1.1 * best + 2) << m.name << ", " << t.name << ", load " << load << ": " << table << "hybrid "
                                        << hybrid;
    }
  }
}

// Beside the published errors (T 4.2): 111 ns saturated, 1093 ns on a trace at its own speed.
TEST(StampPolicyModel, BelowThePublishedErrorsAtBothEnds) {
  for (const NamedMachine& m : kMachines) {
    if (m.machine.stall > 0) continue;  // theirs had cores of their own
    for (const NamedTraffic& t : kTraffic) {
      EXPECT_LT(judge(ClockPolicy::hybrid, t.make(0.05, 20'000), m.machine).sd, 1093) << m.name << ", " << t.name;
      if (m.machine.batches && m.machine.device_base > 500) continue;  // a device that sits on frames for 1 us
      EXPECT_LT(judge(ClockPolicy::hybrid, t.make(1, 20'000), m.machine).sd, 111) << m.name << ", " << t.name;
    }
  }
}

}  // namespace
}  // namespace vigia::vf
