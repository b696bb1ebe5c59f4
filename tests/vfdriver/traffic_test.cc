// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <fstream>

#include "tests/temp_dir.h"

namespace vigia::vf {
namespace {

using ::testing::HasSubstr;

constexpr std::uint32_t kMaxFrame = 1518;

// A capture written by libpcap: (bytes kept, bytes on the wire) per frame.
void write_capture(const std::filesystem::path& path, int link_type,
                   const std::vector<std::pair<unsigned, unsigned>>& frames) {
  pcap_t* pcap = pcap_open_dead(link_type, 65535);
  pcap_dumper_t* dumper = pcap_dump_open(pcap, path.c_str());
  ASSERT_NE(dumper, nullptr);
  for (const auto& [kept, length] : frames) {
    pcap_pkthdr header{};
    header.caplen = kept;
    header.len = length;
    const std::vector<unsigned char> bytes(kept, 0xab);
    pcap_dump(reinterpret_cast<unsigned char*>(dumper), &header, bytes.data());
  }
  pcap_dump_close(dumper);
  pcap_close(pcap);
}

TEST(Traffic, WrongSpecsAreInputErrorsThatSayWhatIsWrong) {
  struct Row {
    const char *spec, *sentence;
  };
  const Row rows[] = {
      {"gen:", "count and dst are needed"},
      {"gen:count=5", "count and dst are needed"},
      {"gen:dst=02:00:00:00:00:01", "count and dst are needed"},
      {"gen:count=x,dst=02:00:00:00:00:01", "count \"x\" is not a number"},
      {"gen:count=-1,dst=02:00:00:00:00:01", "count \"-1\" is not a number"},
      {"gen:count=1,dst=02:00", "dst \"02:00\" is not an address"},
      {"gen:count=1,size=63,dst=02:00:00:00:00:01", "size 63 is not 64 to 1518"},
      {"gen:count=1,size=1519,dst=02:00:00:00:00:01", "size 1519"},
      {"gen:count=1,flows=2,dst=02:00:00:00:00:01", "unknown key \"flows\""},
      {"gen:count", "\"count\" is not KEY=VALUE"},
      {"/nonexistent.pcap", "/nonexistent.pcap: No such file"},
  };
  for (const Row& row : rows) {
    const auto loaded = load_traffic(row.spec, kMaxFrame);
    ASSERT_FALSE(loaded) << row.spec;
    EXPECT_EQ(loaded.error().exit_status(), 2);
    EXPECT_THAT(loaded.error().text, HasSubstr(row.sentence));
  }
}

TEST(Traffic, WrongFilesAreInputErrors) {
  const test::TempDir dir;
  write_capture(dir / "raw.pcap", DLT_RAW, {{40, 40}});
  write_capture(dir / "short.pcap", DLT_EN10MB, {{60, 60}, {13, 60}});
  write_capture(dir / "long.pcap", DLT_EN10MB, {{60, 60}, {60, 1515}});
  write_capture(dir / "empty.pcap", DLT_EN10MB, {});
  write_capture(dir / "cut.pcap", DLT_EN10MB, {{60, 60}, {60, 60}});
  std::filesystem::resize_file(dir / "cut.pcap", std::filesystem::file_size(dir / "cut.pcap") - 5);
  std::ofstream(dir / "text.pcap") << "not a capture, but long enough for a header";
  struct Row {
    const char *file, *sentence;
  };
  const Row rows[] = {
      {"raw.pcap", "its link type is RAW"},
      {"short.pcap", "frame 2: 13 of 60 bytes"},
      {"long.pcap", "frame 2: 1515 bytes, this port's limit is 1514; raise --mtu"},
      {"empty.pcap", "the file holds no frame"},
      {"cut.pcap", "after frame 1: truncated"},
      {"text.pcap", "unknown file format"},
  };
  for (const Row& row : rows) {
    const auto loaded = load_traffic((dir / row.file).native(), kMaxFrame);
    ASSERT_FALSE(loaded) << row.file;
    EXPECT_EQ(loaded.error().exit_status(), 2);
    EXPECT_THAT(loaded.error().text, HasSubstr(row.sentence));
    EXPECT_THAT(loaded.error().text, HasSubstr(row.file));
  }
}

TEST(Traffic, CaptureFramesAreFilledToTheirWireLength) {
  const test::TempDir dir;
  write_capture(dir / "x.pcap", DLT_EN10MB, {{60, 60}, {20, 100}, {1514, 1514}});
  auto loaded = load_traffic((dir / "x.pcap").native(), kMaxFrame);
  ASSERT_TRUE(loaded) << loaded.error().text;
  ASSERT_EQ(loaded->frames.size(), 3u);
  EXPECT_EQ(loaded->count, 3u);
  EXPECT_EQ(loaded->zero_filled, 1u);
  EXPECT_EQ(loaded->frames[1].size(), 100u);
  EXPECT_EQ(loaded->frames[1][19], std::byte{0xab});
  EXPECT_EQ(loaded->frames[1][20], std::byte{0});
  loaded->set_source(hw::Mac{{2, 0, 0, 0, 0, 7}});
  for (const auto& frame : loaded->frames) {
    EXPECT_EQ(frame[5], std::byte{0xab});
    EXPECT_EQ(frame[6], std::byte{2});
    EXPECT_EQ(frame[11], std::byte{7});
    EXPECT_EQ(frame[12], std::byte{0xab});
  }
}

TEST(Traffic, GeneratedFrameHasDestinationAndSize) {
  const auto loaded = load_traffic("gen:count=1000000,size=64,dst=02:00:00:00:00:01", kMaxFrame);
  ASSERT_TRUE(loaded) << loaded.error().text;
  EXPECT_EQ(loaded->count, 1'000'000u);
  ASSERT_EQ(loaded->frames.size(), 1u) << "one frame, sent again and again";
  EXPECT_EQ(loaded->frames[0].size(), 60u) << "size counts the FCS";
  EXPECT_EQ(loaded->frames[0][0], std::byte{2});
  EXPECT_EQ(loaded->frames[0][5], std::byte{1});
}

}  // namespace
}  // namespace vigia::vf
