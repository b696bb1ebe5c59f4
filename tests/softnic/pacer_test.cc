// SPDX-License-Identifier: Apache-2.0
#include "softnic/pacer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vigia::softnic {
namespace {

using Kind = Rate::Kind;
using Times = std::vector<std::uint64_t>;

struct PacerCase {
  std::string name;
  Rate rate;
  std::uint32_t train;
  std::vector<std::uint32_t> lengths;  // without FCS
  Times expected;
};

TEST(Pacer, Table) {
  const std::vector<std::uint32_t> small(4, 60), mixed{60, 1514, 60, 590};
  const PacerCase cases[] = {
      {"as fast as possible", {}, 1, mixed, {0, 0, 0, 0}},
      {"1000 frames per second", {Kind::packets, 1000}, 1, mixed, {0, 1'000'000, 2'000'000, 3'000'000}},
      {"3 mpps: rounded down from the total", {Kind::packets, 3e6}, 1, small, {0, 333, 666, 1000}},
      // 84 bytes at layer 1 are 67.2 ns: 14.88 million a second (reference 16.1).
      {"10 Gb/s, 64-byte frames", {Kind::bits, 10e9}, 1, small, {0, 67, 134, 201}},
      {"10 Gb/s, mixed frames", {Kind::bits, 10e9}, 1, mixed, {0, 67, 1297, 1364}},
      {"1 Gb/s", {Kind::bits, 1e9}, 1, mixed, {0, 672, 12976, 13648}},
      {"pairs at 1 Gb/s: twice the gap, none inside", {Kind::bits, 1e9}, 2, small, {0, 67, 1344, 1411}},
      {"pairs at 1000 per second", {Kind::packets, 1000}, 2, small, {0, 67, 2'000'000, 2'000'067}},
      {"trains do not overlap", {Kind::packets, 14e6}, 2, {1514, 1514, 60, 60}, {0, 1230, 2460, 2528}},
      {"a train at line rate is no train", {Kind::bits, 10e9}, 3, small, {0, 67, 134, 201}},
  };
  for (const PacerCase& c : cases) {
    SCOPED_TRACE(c.name);
    Pacer pacer(c.rate, c.train);
    Times times;
    for (const std::uint32_t length : c.lengths) times.push_back(pacer.depart(length));
    ASSERT_EQ(times.size(), c.expected.size());
    for (std::size_t i = 0; i < times.size(); ++i) EXPECT_NEAR(double(times[i]), double(c.expected[i]), 1) << i;
  }
}

TEST(Pacer, OriginalTimesAreKeptOrDivided) {
  const std::uint64_t day = 86'400'000'000'000, odd = day * 20'000 + 1;  // more than 53 bits
  EXPECT_EQ((Pacer({Kind::original, 1}).depart(60, odd)), odd);
  EXPECT_EQ((Pacer({Kind::original, 2}).depart(60, 3'000)), 1'500u);
  EXPECT_EQ((Pacer({Kind::original, 0.5}).depart(60, 3'000)), 6'000u);
}

TEST(Pacer, DoesNotDrift) {
  Pacer pacer({Kind::bits, 10e9});
  std::uint64_t last = 0;
  for (int i = 0; i <= 10'000'000; ++i) last = pacer.depart(60);
  EXPECT_EQ(last, 672'000'000u);
}

TEST(Pacer, NeverOverflows) {
  Pacer pacer({Kind::packets, 1e-3});
  EXPECT_EQ(pacer.depart(60), 0u);
  EXPECT_EQ(pacer.depart(60), 1'000'000'000'000u);
  EXPECT_EQ((Pacer({Kind::original, 1e-3}).depart(60, ~0ull)), 9'000'000'000'000'000'000u);
}

TEST(WireClock, NothingIsDueBeforeTheStart) {
  const WireClock clock;
  EXPECT_FALSE(clock.due(0, 1'000'000));
  EXPECT_EQ(clock.until(0, 1'000'000), ~0ull);
}

TEST(WireClock, Table) {
  WireClock clock;
  clock.start(1'000);
  const struct {
    std::uint64_t departure, now, until;
  } rows[] = {
      {0, 1'000, 0},   {0, 5'000, 0},   {1, 1'000, 1}, {500, 1'400, 100},
      {500, 1'500, 0}, {500, 1'501, 0}, {0, 999, 0},  // a clock read before the start on another core
      {7, 10, 7},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(testing::Message() << row.departure << " at " << row.now);
    EXPECT_EQ(clock.until(row.departure, row.now), row.until);
    EXPECT_EQ(clock.due(row.departure, row.now), row.until == 0);
  }
}

}  // namespace
}  // namespace vigia::softnic
