// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/clock_notes.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/reader.h"

namespace vigia::vf {
namespace {

constexpr const char* kBegin = "clock: tsc 2.445 GHz calibrated against CLOCK_REALTIME; error bound 40 ns";
constexpr const char* kEnd = "clock: tsc 2.445 GHz calibrated against CLOCK_REALTIME; error bound 90 ns";

void put(const std::filesystem::path& path, FileFormat format, const CaptureDescription& description,
         const CaptureSummary& summary) {
  auto writer = create_capture_file(path, format, description);
  ASSERT_TRUE(writer) << writer.error().text;
  const std::array<std::byte, 60> frame{};
  (*writer)->write({{1'700'000'000, 5}, 60, frame});
  ASSERT_TRUE((*writer)->finish(summary));
}
std::string clock_of(const std::filesystem::path& path) {
  const auto reader = open_capture(path);
  EXPECT_TRUE(reader) << reader.error().text;
  return (*reader)->report().clock;
}

TEST(ClockNotes, TheLineIsFoundAmongOthers) {
  EXPECT_EQ(clock_line("engine.taken 5: x\nclock: a b\nmore"), "clock: a b");
  EXPECT_EQ(clock_line("clock: a"), "clock: a");
  EXPECT_EQ(clock_line("o'clock: a"), "");
  EXPECT_EQ(clock_line(""), "");
  EXPECT_EQ(clock_line("\n\n"), "");
}

TEST(ClockNotes, EveryFormatButPcapTells) {
  const TempDir dir;
  for (const FileFormat format : {FileFormat::pcapng, FileFormat::raw}) {
    const auto path = dir / (format == FileFormat::raw ? "a.raw" : "a.pcapng");
    put(path, format, {"hw", "a", "", kBegin, 0}, {});
    EXPECT_EQ(clock_of(path), kBegin);
  }
  put(dir / "b.pcapng", FileFormat::pcapng, {"hw", "b", "", kBegin, 0}, {1, 0, std::string("engine.taken 1\n") + kEnd});
  EXPECT_EQ(clock_of(dir / "b.pcapng"), kEnd) << "the end knows the bound of the whole capture";
  put(dir / "c.pcap", FileFormat::pcap, {"hw", "c", "", kBegin, 0}, {});
  EXPECT_EQ(clock_of(dir / "c.pcap"), "");
  put(dir / "d.pcapng", FileFormat::pcapng, {"", "", "", "", 0}, {});
  EXPECT_EQ(clock_of(dir / "d.pcapng"), "");
}

TEST(ClockNotes, AKilledWritersFileStillTells) {
  const TempDir dir;
  put(dir / "a.pcapng", FileFormat::pcapng, {"hw", "a", "", kBegin, 0}, {1, 0, kEnd});
  const auto size = std::filesystem::file_size(dir / "a.pcapng");
  for (const std::uintmax_t cut : {1u, 4u, 30u, 100u}) {
    std::filesystem::resize_file(dir / "a.pcapng", size - cut);
    EXPECT_EQ(read_pcapng_clock(dir / "a.pcapng"), kBegin) << cut;
  }
}

TEST(ClockNotes, ForeignFilesSayNothing) {
  const TempDir dir;
  EXPECT_EQ(read_pcapng_clock(dir / "absent"), "");
  EXPECT_EQ(read_raw_clock(dir / "absent.raw"), "");
  const auto write = [&](const char* name, const std::string& bytes) {
    std::ofstream(dir / name, std::ios::binary) << bytes;
    return dir / name;
  };
  EXPECT_EQ(read_pcapng_clock(write("empty", "")), "");
  EXPECT_EQ(read_pcapng_clock(write("short", std::string("\x0a\x0d\x0d\x0a", 4))), "");
  // Lengths that lie: nothing, all there is, and far beyond it.
  const std::string begin("\x0a\x0d\x0d\x0a", 4), order("\x4d\x3c\x2b\x1a", 4);
  for (const std::string& length : {std::string(4, '\0'), std::string("\x0c\0\0\0", 4), std::string(4, '\xff')}) {
    EXPECT_EQ(read_pcapng_clock(write("lies", begin + length + order + std::string(20, '\x01') + length)), "");
  }
  for (const char* json :
       {"", "[]", "{}", "{\"clock\": 5}", "{\"clock\": \"no line\"}", "{\"clock\": \"clock: ", "\xff"}) {
    write("x.json", json);
    EXPECT_EQ(read_raw_clock(dir / "x.raw"), "") << json;
  }
}

TEST(ClockNotes, NamesThatAreNoTextAreWritten) {
  const TempDir dir;
  ASSERT_TRUE(write_notes(dir / "x.raw", {"\xff\xfe", "x", "rx of \xc3", kBegin, 0}));
  EXPECT_EQ(read_raw_clock(dir / "x.raw"), kBegin);
  const auto refused = write_notes(dir / "no" / "x.raw", {"", "x", "", kBegin, 0});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("x.json"), std::string::npos) << refused.error().text;
}

}  // namespace
}  // namespace vigia::vf
