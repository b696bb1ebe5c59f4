// SPDX-License-Identifier: Apache-2.0
// When the frames of a capture file are due, and how a file that is damaged ends.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/file/pacing.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf::file {
namespace {

using ::testing::ElementsAre;

std::vector<std::uint64_t> dues(const std::string& rate, const std::vector<std::uint64_t>& stamps, int turns = 1) {
  Pacing pacing(must(parse_rate("file:x", rate)));
  std::vector<std::uint64_t> out;
  for (int turn = 0; turn < turns; ++turn) {
    if (turn > 0) pacing.rewind();
    for (const std::uint64_t stamp : stamps) out.push_back(pacing.due(stamp));
  }
  return out;
}

TEST(FilePacing, DueTimes) {
  EXPECT_THAT(dues("original", {1000, 1500, 4000}), ElementsAre(0, 500, 3000));
  EXPECT_THAT(dues("x2", {1000, 1500, 4000}), ElementsAre(0, 250, 1500));
  EXPECT_THAT(dues("x0.5", {1000, 1500}), ElementsAre(0, 1000));
  EXPECT_THAT(dues("max", {1000, 1500}), ElementsAre(0, 0));
  EXPECT_THAT(dues("1000000pps", {7, 7, 7}), ElementsAre(0, 1000, 2000));
  EXPECT_THAT(dues("2Mpps", {7, 7, 7}), ElementsAre(0, 500, 1000));
}

TEST(FilePacing, StampsThatGoBackDoNotTurnTimeBack) {
  EXPECT_THAT(dues("original", {1000, 3000, 2000, 0, 3500}), ElementsAre(0, 2000, 2000, 2000, 2500));
}

TEST(FilePacing, TheNextTurnFollowsAtTheMeanDistance) {
  EXPECT_THAT(dues("original", {1000, 1500, 4000}, 2), ElementsAre(0, 500, 3000, 4500, 5000, 7500));
  EXPECT_THAT(dues("original", {1000}, 3), ElementsAre(0, 0, 0));
  EXPECT_THAT(dues("1000pps", {5, 6}, 2), ElementsAre(0, 1'000'000, 2'000'000, 3'000'000));
}

void write_pcap(const std::filesystem::path& path, unsigned frames, std::size_t cut = 0) {
  std::vector<char> out{'\x4d', '\x3c', '\xb2', '\xa1', 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0};
  for (unsigned i = 0; i < frames; ++i) {
    const std::array<std::uint32_t, 4> header{1, i * 10'000'000, 60, 100};
    const auto* raw = reinterpret_cast<const char*>(header.data());
    out.insert(out.end(), raw, raw + sizeof header);
    const auto frame = frame_of(i, 60);
    const auto* data = reinterpret_cast<const char*>(frame.data());
    out.insert(out.end(), data, data + frame.size());
  }
  out.resize(out.size() - cut);
  spill(path, out);
}

struct Played {
  std::uint64_t frames = 0, beyond = 0;
  std::chrono::nanoseconds took{};
  Health end = Health::good;
  std::string trouble;
};

Played play(const std::string& spec) {
  PortOptions options;
  options.tx_ring = 0;
  auto device = must(open_port(spec, options));
  Played played;
  std::array<RxSegment, 32> out;
  const auto begin = std::chrono::steady_clock::now();
  while (device->queue(0).alive() && std::chrono::steady_clock::now() - begin < std::chrono::seconds(10)) {
    const std::size_t n = device->queue(0).receive(out);
    for (std::size_t i = 0; i < n; ++i) played.beyond += out[i].beyond;
    played.frames += n;
    device->queue(0).release();
    if (n == 0) device->queue(0).wait(std::chrono::microseconds(1000));
  }
  played.took = std::chrono::steady_clock::now() - begin;
  played.end = device->health();
  played.trouble = device->trouble();
  return played;
}

TEST(FilePort, PlaysAtItsOldTimesAndAsOftenAsAsked) {
  TempDir dir;
  write_pcap(dir / "a,b.pcap", 11);
  const std::string spec = "file:" + (dir / "a,b.pcap").string();
  const Played once = play(spec);
  EXPECT_EQ(once.frames, 11u);
  EXPECT_EQ(once.beyond, 11u * 40) << "the file holds 60 bytes of 100";
  EXPECT_GE(once.took, std::chrono::milliseconds(100));
  EXPECT_EQ(once.end, Health::finished);
  const Played twice = play(spec + ",rate=x2,loop=2");
  EXPECT_EQ(twice.frames, 22u);
  EXPECT_GE(twice.took, std::chrono::milliseconds(100));
  EXPECT_EQ(play(spec + ",rate=max,loop=5000").frames, 55'000u);
}

TEST(FilePort, AFileOfNothingEndsAtOnceEvenForEver) {
  TempDir dir;
  write_pcap(dir / "empty.pcap", 0);
  const Played played = play("file:" + (dir / "empty.pcap").string() + ",loop=0");
  EXPECT_EQ(played.frames, 0u);
  EXPECT_EQ(played.end, Health::finished);
}

TEST(FilePort, DamageIsTroubleAfterTheFramesBeforeIt) {
  TempDir dir;
  write_pcap(dir / "bad.pcap", 3);
  auto bytes = slurp(dir / "bad.pcap");
  const std::size_t second = 24 + 76;
  for (std::size_t i = 0; i < 4; ++i) bytes[second + 8 + i] = '\x7f';  // a captured length that cannot be
  spill(dir / "bad.pcap", bytes);
  const Played played = play("file:" + (dir / "bad.pcap").string() + ",rate=max");
  EXPECT_EQ(played.frames, 1u);
  EXPECT_EQ(played.end, Health::gone);
  EXPECT_THAT(played.trouble, ::testing::HasSubstr("bad.pcap"));
}

}  // namespace
}  // namespace vigia::vf::file
