// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/capture_input.h"
#include "temp_captures.h"

namespace vigia::orch {
namespace {

using ::testing::HasSubstr;

const hw::Mac kWeb{{2, 0, 0, 0, 0, 1}}, kDns{{2, 0, 0, 0, 0, 2}}, kNobody{{2, 0, 0, 0xff, 0xff, 0xfe}};
const auto kNoStop = [] { return false; };

struct Record {
  std::string bytes;
  std::uint32_t wire_length;
  std::uint64_t time_ns;
};

std::vector<Record> read_all(const std::filesystem::path& file) {
  std::vector<Record> all;
  auto input = CaptureInput::open(file);
  if (!input) {
    ADD_FAILURE() << input.error().text;
    return all;
  }
  for (CapturedFrame f;;) {
    auto more = input->next(f);
    if (!more || !*more) return all;
    all.push_back({{reinterpret_cast<const char*>(f.bytes.data()), f.bytes.size()}, f.wire_length, f.time_ns});
  }
}

std::string text_of(const hw::Mac& mac) { return {reinterpret_cast<const char*>(mac.bytes.data()), 6}; }

TEST(PrepareTraffic, FirstMatchWinsAndTheRestGoesToNobody) {
  const TempFolder dir;
  const std::string web = ipv4_frame(kTcp, 80), dns = ipv4_frame(kUdp, 53), other = ipv4_frame(kTcp, 22);
  write_capture(dir / "in.pcap", {{web}, {dns}, {other}, {web}});
  const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap",
                                      {{kWeb, "tcp port 80"}, {kDns, "ip and not port 22"}}, kNobody, kNoStop);
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(result->receivers[0].frames, 2u);
  EXPECT_EQ(result->receivers[1].frames, 1u);
  EXPECT_EQ(result->unmatched.frames, 1u);
  EXPECT_EQ(result->total.bytes, 240u);
  const auto out = read_all(dir / "wire.pcap");
  ASSERT_EQ(out.size(), 4u);
  EXPECT_EQ(out[0].bytes, text_of(kWeb) + web.substr(6));  // all but the destination is kept
  EXPECT_EQ(out[1].bytes, text_of(kDns) + dns.substr(6));
  EXPECT_EQ(out[2].bytes, text_of(kNobody) + other.substr(6));
}

TEST(PrepareTraffic, ReceiverWithoutMatchTakesNothing) {
  const TempFolder dir;
  write_capture(dir / "in.pcap", {{ipv4_frame(kTcp, 80)}});
  const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {{kWeb, ""}}, kNobody, kNoStop);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->unmatched.frames, 1u);
}

TEST(PrepareTraffic, KeepsNanosecondsAndWireLengthOfCutFrames) {
  const TempFolder dir;
  write_capture(dir / "in.pcap", {{ipv4_frame(kTcp, 80), 1514, 1'234'567'891'123'456'789u}});
  ASSERT_TRUE(prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {{kWeb, "tcp"}}, kNobody, kNoStop));
  const auto out = read_all(dir / "wire.pcap");
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].bytes.size(), 60u);
  EXPECT_EQ(out[0].wire_length, 1514u);
  EXPECT_EQ(out[0].time_ns, 1'234'567'891'123'456'789u);
}

TEST(PrepareTraffic, RecordsShorterThanAHeaderAreFilledUp) {
  const TempFolder dir;
  for (std::size_t held = 0; held < 14; ++held) {
    write_capture(dir / "in.pcap", {{std::string(held, 'x'), 100}});
    const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {{kWeb, "tcp"}}, kNobody, kNoStop);
    ASSERT_TRUE(result);
    const auto out = read_all(dir / "wire.pcap");
    ASSERT_EQ(out.size(), 1u);
    std::string expected = std::string(held, 'x') + std::string(14 - held, '\0');
    expected.replace(0, 6, text_of(kNobody));
    EXPECT_EQ(out[0].bytes, expected);
    EXPECT_EQ(out[0].wire_length, 100u);
  }
}

TEST(PrepareTraffic, KnowsTheLongestSilence) {
  const TempFolder dir;
  const std::string f = ipv4_frame(kTcp, 80);
  write_capture(dir / "in.pcap", {{f, 0, 100}, {f, 0, 400}, {f, 0, 300}, {f, 0, 350}});
  const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {}, kNobody, kNoStop);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->longest_gap_ns, 300u);
}

TEST(PrepareTraffic, EmptyCaptureIsATrafficOfNothing) {
  const TempFolder dir;
  write_capture(dir / "in.pcap", {});
  const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {}, kNobody, kNoStop);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->total.frames, 0u);
  EXPECT_TRUE(std::filesystem::exists(dir / "wire.pcap"));
}

TEST(PrepareTraffic, TruncatedInputIsRefusedAndLeavesNoFile) {
  const TempFolder dir;
  write_capture(dir / "in.pcap", {{ipv4_frame(kTcp, 80)}, {ipv4_frame(kTcp, 80)}});
  std::filesystem::resize_file(dir / "in.pcap", std::filesystem::file_size(dir / "in.pcap") - 1);
  const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {}, kNobody, kNoStop);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 2);
  EXPECT_THAT(result.error().text, HasSubstr("record 2: truncated dump file"));
  EXPECT_FALSE(std::filesystem::exists(dir / "wire.pcap"));
}

TEST(PrepareTraffic, OutputThatCannotBeMadeIsAFailureOfTheWork) {
  const TempFolder dir;
  write_capture(dir / "in.pcap", {{ipv4_frame(kTcp, 80)}});
  const auto result = prepare_traffic(dir / "in.pcap", dir / "no/such/wire.pcap", {}, kNobody, kNoStop);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 1);
}

TEST(PrepareTraffic, FullDiskIsSaidAndLeavesNoWork) {
  const TempFolder dir;
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  write_capture(dir / "in.pcap", {{ipv4_frame(kTcp, 80)}});
  std::filesystem::create_symlink("/dev/full", dir / "wire.pcap");
  const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {}, kNobody, kNoStop);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 1);
  EXPECT_THAT(result.error().text, HasSubstr("No space left on device"));
}

TEST(PrepareTraffic, StopsWhenAsked) {
  const TempFolder dir;
  write_capture(dir / "in.pcap", std::vector<TestFrame>(5000, {ipv4_frame(kTcp, 80)}));
  const auto result = prepare_traffic(dir / "in.pcap", dir / "wire.pcap", {}, kNobody, [] { return true; });
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().text, HasSubstr("interrupted"));
  EXPECT_FALSE(std::filesystem::exists(dir / "wire.pcap"));
}

TEST(PrepareTraffic, SortsTheDemoAsLibpcapDoes) {
  const std::filesystem::path demo = std::filesystem::path(VIGIA_SOURCE) / "tests/data/demo.pcap";
  if (!std::filesystem::exists(demo)) GTEST_SKIP() << "no " << demo;
  const TempFolder dir;
  const std::vector<Receiver> receivers{{kWeb, "tcp port 80"}, {kDns, "udp port 53"}, {{}, "vlan 10"}};
  const auto result = prepare_traffic(demo, dir / "wire.pcap", receivers, kNobody, kNoStop);
  ASSERT_TRUE(result);
  for (std::size_t i = 0; i < receivers.size(); ++i) {
    const auto filter = Filter::compile(receivers[i].match);
    std::uint64_t frames = 0, bytes = 0;
    for (const Record& r : read_all(demo)) {
      const CapturedFrame f{std::as_bytes(std::span(r.bytes)), r.wire_length, 0};
      if (filter->accepts(f)) ++frames, bytes += r.wire_length;
    }
    EXPECT_GT(frames, 0u);
    EXPECT_EQ(result->receivers[i].frames, frames);
    EXPECT_EQ(result->receivers[i].bytes, bytes);
  }
}

}  // namespace
}  // namespace vigia::orch
