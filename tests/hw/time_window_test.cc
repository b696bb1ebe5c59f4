// SPDX-License-Identifier: Apache-2.0
#include "hw/time_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vigia::hw {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kNow = 1'795'237'200ull * kSecond;  // 2026-11-21T05:00:00Z

TEST(TimeWindow, Spans) {
  const std::pair<const char*, std::uint64_t> good[] = {{"1ns", 1},
                                                        {"10us", 10'000},
                                                        {"500ms", kSecond / 2},
                                                        {"10s", 10 * kSecond},
                                                        {"5m", 300 * kSecond},
                                                        {"1m30s", 90 * kSecond},
                                                        {"2h", 7200 * kSecond},
                                                        {"1d", 86400 * kSecond},
                                                        {"0m1s", kSecond},
                                                        {"36600d", kSecond * 36600 * 86400}};
  for (const auto& [text, ns] : good) {
    const auto got = parse_span(text);
    ASSERT_TRUE(got) << text << ": " << got.error().text;
    EXPECT_EQ(*got, ns) << text;
  }
  for (const char* bad : {"",
                          "0",
                          "0s",
                          "10",
                          "s",
                          "-1s",
                          "+1s",
                          "1.5s",
                          "1 s",
                          "10S",
                          "1w",
                          "1s ",
                          " 1s",
                          "36601d",
                          "36600d36600d",
                          "18446744073709551615s",
                          "18446744073709551616ns",
                          "1s1",
                          "ms",
                          "1e3s"}) {
    const auto got = parse_span(bad);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().exit_status(), 2);
    EXPECT_THAT(got.error().text, HasSubstr(bad));
  }
}

TEST(TimeWindow, Times) {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"now", kNow},
      {"now-30s", kNow - 30 * kSecond},
      {"now-36600d", 0},
      {"2026-11-21T05:00:00Z", kNow},
      {"2026-11-21 05:00:00Z", kNow},
      {"2026-11-21t05:00:00z", kNow},
      {"2026-11-21T05:00:00.5Z", kNow + kSecond / 2},
      {"2026-11-21T05:00:00.123456789Z", kNow + 123'456'789},
      {"2026-11-21T05:00:00.1234567899999999999999Z", kNow + 123'456'789},
      {"2026-11-21T06:00:00+01:00", kNow},
      {"2026-11-20T23:30:00-05:30", kNow},
      {"2026-11-21T04:59:60Z", kNow},
      {"2024-02-29T00:00:00Z", 1'709'164'800ull * kSecond},
      {"1971-01-01T00:00:00+23:59", (365ull * 86400 - 86340) * kSecond},
      {"2500-12-31T23:59:59Z", 16'756'761'599ull * kSecond}};
  for (const auto& [text, ns] : good) {
    const auto got = parse_time(text, kNow);
    ASSERT_TRUE(got) << text << ": " << got.error().text;
    EXPECT_EQ(*got, ns) << text;
  }
  for (const char* bad : {"",
                          "yesterday",
                          "now+1s",
                          "now-",
                          "now-x",
                          "2026-11-21",
                          "2026-11-21T05:00:00",
                          "2026-11-21T05:00Z",
                          "2025-02-29T00:00:00Z",
                          "2026-13-01T00:00:00Z",
                          "2026-11-31T00:00:00Z",
                          "2026-11-21T24:00:00Z",
                          "2026-11-21T05:60:00Z",
                          "2026-11-21T05:00:61Z",
                          "2026-11-21T05:00:00.Z",
                          "2026-11-21T05:00:00+1:00",
                          "2026-11-21T05:00:00+01",
                          "2026-11-21T05:00:00+01:60",
                          "2026-11-21T05:00:00+24:00",
                          "2026-11-21T05:00:00Zx",
                          "1970-01-01T00:00:00Z",
                          "2501-01-01T00:00:00Z",
                          "12026-11-21T05:00:00Z",
                          "2026-1-21T05:00:00Z"}) {
    const auto got = parse_time(bad, kNow);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().exit_status(), 2);
  }
}

TEST(TimeWindow, Windows) {
  const auto last = parse_window("10s", "", "", kNow);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->last_ns, 10 * kSecond);
  EXPECT_FALSE(last->from_ns || last->to_ns);
  const auto all = parse_window("", "", "", kNow);
  ASSERT_TRUE(all);
  EXPECT_FALSE(all->last_ns || all->from_ns || all->to_ns);
  const auto both = parse_window("", "now-10s", "now-5s", kNow);
  ASSERT_TRUE(both);
  EXPECT_EQ(*both->to_ns - *both->from_ns, 5 * kSecond);
  const auto open = parse_window("", "", "now", kNow);
  ASSERT_TRUE(open);
  EXPECT_EQ(open->to_ns, kNow);
  struct Case {
    const char *last, *from, *to, *says;
  };
  for (const Case& c :
       {Case{"10s", "now", "", "neither"}, Case{"10s", "", "now", "neither"}, Case{"", "now", "now", "window is empty"},
        Case{"", "now", "now-1s", "window is empty"}, Case{"x", "", "", "time \"x\""}, Case{"", "y", "", "time \"y\""},
        Case{"", "", "z", "time \"z\""}}) {
    const auto got = parse_window(c.last, c.from, c.to, kNow);
    ASSERT_FALSE(got) << c.says;
    EXPECT_THAT(got.error().text, HasSubstr(c.says));
  }
}

}  // namespace
}  // namespace vigia::hw
