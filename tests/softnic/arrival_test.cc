// SPDX-License-Identifier: Apache-2.0
// When frames have arrived: the cable's arithmetic, the log, and both through a device.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "softnic/arrival_log.h"
#include "softnic/timing.h"
#include "tests/softnic/device_kit.h"
#include "tests/temp_dir.h"

namespace vigia::softnic::kit {
namespace {

using test::TempDir;

constexpr std::uint32_t kSmall = 60 + 24;  // at layer 1: 67.2 ns, of which 9.6 are the gap

std::vector<ArrivalEntry> entries_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<ArrivalEntry> entries;
  ArrivalEntry e;
  while (in.read(reinterpret_cast<char*>(&e), sizeof(e))) entries.push_back(e);
  return entries;
}

TEST(LineRate, AFrameHasArrivedWhenItsLastByteHas) {
  LineRate line;
  EXPECT_EQ(line.arrival_ns(100'000, 99'000, kSmall), 99'058u) << "57.6 ns, rounded up";
  line.take(100'000, 99'000, kSmall);
  EXPECT_EQ(line.arrival_ns(100'000, 99'000, kSmall), 99'125u) << "behind the first and its gap";
  EXPECT_EQ(line.arrival_ns(100'000, 99'500, kSmall), 99'558u) << "ready after the cable was free";
}

TEST(LineRate, WhoComesLateIsServedTwentyMicrosecondsOfThePast) {
  LineRate line;
  EXPECT_EQ(line.arrival_ns(1'000'000, 0, kSmall), 980'058u);
  line.take(1'000'000, 0, kSmall);
  EXPECT_EQ(line.arrival_ns(1'000'000, 0, kSmall), 980'125u);
}

TEST(LineRate, KeepsTheRateHoweverOftenItIsAsked) {
  LineRate line;
  std::uint64_t now = 1'000'000, frames = 0;
  for (; now < 2'000'000; now += 37) {
    while (line.arrival_ns(now, 1'000'000, kSmall) <= now) {
      line.take(now, 1'000'000, kSmall);
      ++frames;
    }
  }
  EXPECT_NEAR(static_cast<double>(frames), 1e6 / 67.2, 2);
}

TEST(ArrivalLog, WritesWhatItWasToldAndNoMoreThanAnnounced) {
  const TempDir dir;
  auto log = ArrivalLog::create(dir / "a", 2);
  ASSERT_TRUE(log) << log.error().text;
  log->add(1000, 60, true);
  log->add(2000, 1514, false);
  log->begin_round(2500);
  log->add(3000, 60, true);
  ASSERT_TRUE(log->close());
  const auto entries = entries_of(dir / "a");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].epoch_ns - entries[0].epoch_ns, 1000u);
  EXPECT_EQ(entries[1].bytes, 1514u);
  EXPECT_EQ(entries[0].delivered, 1u + 1500u) << "the round was over 1500 ns after it had arrived";
  EXPECT_EQ(entries[1].delivered, 0u);
}

TEST(ArrivalLog, APathThatCannotBeWrittenIsAnInputError) {
  const auto log = ArrivalLog::create("/nonexistent/a", 2);
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().exit_status(), 2);
  EXPECT_NE(log.error().text.find("--arrivals /nonexistent/a"), std::string::npos) << log.error().text;
}

TEST(ArrivalLog, ThroughADeviceFramesFollowEachOtherAtTheCablesRate) {
  constexpr unsigned kFrames = 500;
  const TempDir dir;
  auto log = ArrivalLog::create(dir / "a", kFrames);
  ASSERT_TRUE(log);
  DeviceOptions options;
  options.vfs = 1;
  options.timing = Timing::intel_82599;
  std::vector<Frame> frames(kFrames - 1, make_frame(mac_of(0), kOutside, 60));
  frames.push_back(make_frame(mac_of(9), kOutside, 60));  // nobody's
  Lab lab(options, frames, Rate::Kind::packets);
  lab.device->keep_arrivals(*log);
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 1024, 1);
  ring.give(1023);
  lab.run(200);
  ASSERT_EQ(lab.account("wire.sent"), kFrames);
  ASSERT_TRUE(log->close());
  const auto entries = entries_of(dir / "a");
  ASSERT_EQ(entries.size(), kFrames);
  for (unsigned i = 1; i < kFrames; ++i) {
    EXPECT_NEAR(static_cast<double>(entries[i].epoch_ns - entries[0].epoch_ns), 67.2 * i, 1.0);
  }
  EXPECT_GT(entries[0].delivered, 1u);
  EXPECT_EQ(entries.back().delivered, 0u);
}

}  // namespace
}  // namespace vigia::softnic::kit
