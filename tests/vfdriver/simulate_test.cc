// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/simulate.h"

#include <gtest/gtest.h>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/raw_files.h"
#include "vfdriver/reader.h"
#include "vfdriver/simulated_port.h"

namespace vigia::vf {
namespace {

CaptureOptions small(const std::filesystem::path& raw, std::uint64_t frames) {
  CaptureOptions o;
  o.name = "try";
  o.ring.data_bytes = 8 << 20;
  o.ring.segment_bytes = 4 << 20;
  o.raw = raw;
  o.max_frames = frames;
  return o;
}

std::uint64_t frames_in(const std::filesystem::path& path, std::uint32_t size) {
  auto reader = must(open_capture(path));
  FrameView frame;
  while (must(reader->next(frame))) EXPECT_EQ(frame.bytes.size(), size);
  EXPECT_TRUE(reader->report().remarks.empty());
  return reader->report().frames;
}

TEST(Simulate, FramesAreWhatToolsCallWhole) {
  for (const std::uint32_t bytes : {60u, 61u, 1514u, 9018u}) {
    const auto frame = simulated_frame(bytes, 7);
    ASSERT_EQ(frame.size(), bytes);
    std::uint32_t sum = 0;
    for (std::size_t i = 14; i < 34; i += 2) {
      sum += std::to_integer<std::uint32_t>(frame[i]) << 8 | std::to_integer<std::uint32_t>(frame[i + 1]);
    }
    EXPECT_EQ((sum & 0xffff) + (sum >> 16), 0xffffu) << "RFC 1071: a header with its checksum sums to all ones";
    EXPECT_EQ(std::to_integer<unsigned>(frame[16]) << 8 | std::to_integer<unsigned>(frame[17]), bytes - 14);
  }
  EXPECT_NE(simulated_frame(60, 1), simulated_frame(60, 2));
}

TEST(Simulate, CaptureLosesNothingAndCleansUp) {
  for (const bool keep : {true, false}) {
    TempDir dir;
    std::filesystem::create_directories(dir / "raw");
    spill(dir / "raw/try-00000003.raw", {});
    StopRequest stop;
    CaptureOptions options = small(dir / "raw", 20'000);
    options.quota = 64 << 20;
    const auto report = must(simulate(Simulation::capture, options, 600, keep, stop));
    EXPECT_EQ(report.frames, 20'000u);
    EXPECT_EQ(report.lost, 0u);
    EXPECT_EQ(report.disk_bytes, 20'000u * 612);
    EXPECT_GT(report.seconds, 0);
    EXPECT_EQ(report.way.files, 3u);
    if (keep) {
      EXPECT_EQ(frames_in(dir / "raw", 600), 20'000u);
    } else {
      EXPECT_EQ(list_raw_files(dir / "raw").size(), 1u) << "what was there before stays";
    }
    EXPECT_NE(text_of(report).find("20000 frames of 600 bytes"), std::string::npos) << text_of(report);
  }
}

TEST(Simulate, CaptureWithoutAStoreAndIntoOneFile) {
  TempDir dir;
  StopRequest stop;
  CaptureOptions options = small({}, 50'000);
  EXPECT_EQ(must(simulate(Simulation::capture, options, 60, false, stop)).frames, 50'000u);
  options.out = dir / "a.pcapng";
  const auto report = must(simulate(Simulation::capture, options, 60, false, stop));
  EXPECT_EQ(report.lost, 0u);
  EXPECT_EQ(frames_in(dir / "a.pcapng", 60), 50'000u);
}

TEST(Simulate, StoreWritesFilesThatCanBeRead) {
  TempDir dir;
  StopRequest stop;
  CaptureOptions options = small(dir / "raw", 30'000);
  options.quota = 256 << 20;
  const auto report = must(simulate(Simulation::store, options, 1514, true, stop));
  EXPECT_GE(report.frames, 30'000u);
  EXPECT_EQ(report.disk_bytes % kBlockBytes, 0u);
  EXPECT_EQ(frames_in(dir / "raw", 1514), report.frames);
  must(simulate(Simulation::store, options, 1514, false, stop));
  EXPECT_EQ(frames_in(dir / "raw", 1514), report.frames) << "the second run's files are gone";
}

TEST(Simulate, AnEarlyStopIsAStop) {
  TempDir dir;
  StopRequest stop;
  stop.stop = true;
  for (const Simulation what : {Simulation::capture, Simulation::store}) {
    EXPECT_LT(must(simulate(what, small(dir / "raw", 0), 1514, false, stop)).seconds, 5.0);
  }
}

TEST(Simulate, Refusals) {
  TempDir dir;
  StopRequest stop;
  CaptureOptions tight = small(dir / "raw", 10);
  tight.quota = 1 << 20;
  const struct {
    Simulation what;
    CaptureOptions options;
    std::uint32_t bytes;
    const char* says;
  } cases[] = {{Simulation::store, small({}, 10), 60, "needs --raw"},
               {Simulation::capture, small({}, 10), 59, "--frame-size 59"},
               {Simulation::capture, small({}, 10), 9019, "--frame-size 9019"},
               {Simulation::store, tight, 60, "quota 1048576"}};
  for (const auto& c : cases) {
    const auto got = simulate(c.what, c.options, c.bytes, false, stop);
    ASSERT_FALSE(got) << c.says;
    EXPECT_EQ(got.error().exit_status(), 2);
    EXPECT_NE(got.error().text.find(c.says), std::string::npos) << got.error().text;
  }
  EXPECT_FALSE(parse_simulation("disk"));
  EXPECT_FALSE(std::filesystem::exists(dir / "raw")) << "nothing half done";
}

}  // namespace
}  // namespace vigia::vf
