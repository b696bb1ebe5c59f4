// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/extract.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "tests/vfdriver/store_fixture.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
// The store's tests stamp frame i with one second and i nanoseconds.
std::uint64_t ns_of(std::uint64_t frame) { return kSecond + frame; }

// Bytes that this process has read by system calls.
std::uint64_t bytes_read() {
  std::ifstream io("/proc/self/io");
  std::string word;
  std::uint64_t value = 0;
  while (io >> word >> value) {
    if (word == "rchar:") return value;
  }
  return 0;
}

// Hundreds of files of one MiB each, made once.
class ManyFiles : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kFrames = 450'000;
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    RingGeometry geometry = kRaw;
    geometry.segment_bytes = kBlockBytes;
    StoreUnderTest t(geometry);
    t.raw(*dir_ / "raw");
    t.start();
    t.feed(kFrames);
    ASSERT_EQ(t.end().stored, kFrames);
  }
  static void TearDownTestSuite() { delete dir_; }

  static ExtractReport run(ExtractOptions options) {
    static const std::atomic<bool> never{false};
    options.out = *dir_ / "out.pcapng";
    if (options.inputs.empty()) options.inputs = {*dir_ / "raw"};
    return must(extract(
        options, [](const ExtractReport&) {}, never));
  }
  static void expect_frames(std::uint64_t first, std::uint64_t end) {
    const Read read = read_back(*dir_ / "out.pcapng");
    ASSERT_EQ(read.indices.size(), end - first);
    for (std::uint64_t i = first; i < end; ++i) ASSERT_EQ(read.indices[i - first], i);
  }
  static inline TempDir* dir_ = nullptr;
};

TEST_F(ManyFiles, OnlyWhatIsNeededIsRead) {
  const auto files = list_raw_files(*dir_ / "raw");
  ASSERT_GE(files.size(), 300u);
  const auto before = bytes_read();
  const ExtractReport report =
      run({.inputs = {}, .from_ns = ns_of(200'000), .to_ns = ns_of(202'000), .filter = {}, .out = {}});
  const auto read = bytes_read() - before;
  expect_frames(200'000, 202'000);
  EXPECT_EQ(report.frames, 2000u);
  EXPECT_EQ(report.files, files.size());
  EXPECT_LE(report.files_read, 4u) << "2000 frames are some 1.5 MB";
  EXPECT_LE(report.read_bytes, 4 * kBlockBytes);
  EXPECT_GE(report.read_bytes, report.bytes);
  // What the kernel counts: the window, and heads and first entries of the indexes (a stream buffer each).
  EXPECT_LE(read, report.read_bytes + files.size() * 2 * 16'384);
  EXPECT_GT(report.total_bytes, 300 * kBlockBytes);
  EXPECT_TRUE(report.remarks.empty());
}

TEST_F(ManyFiles, EveryEdgeOfAWindowIsExact) {
  const auto index = must(read_index(*dir_ / "raw/x-00000100.idx"));
  const std::uint64_t edge = index.front().frame;
  const std::pair<std::uint64_t, std::uint64_t> windows[] = {{0, 1},
                                                             {0, 10},
                                                             {edge - 1, edge},
                                                             {edge, edge + 1},
                                                             {edge - 1, edge + 1},
                                                             {edge, edge + 5000},
                                                             {kFrames - 1, kFrames},
                                                             {kFrames - 3000, kFrames + 17}};
  for (const auto& [first, end] : windows) {
    const auto report = run({.inputs = {}, .from_ns = ns_of(first), .to_ns = ns_of(end), .filter = {}, .out = {}});
    expect_frames(first, std::min(end, kFrames));
    EXPECT_LE(report.files_read, 9u) << first << ".." << end;
  }
  EXPECT_EQ(run({.inputs = {}, .from_ns = 0, .to_ns = kSecond, .filter = {}, .out = {}}).frames, 0u);
  EXPECT_EQ(run({.inputs = {}, .from_ns = 2 * kSecond, .filter = {}, .out = {}}).frames, 0u);
  EXPECT_EQ(run({}).frames, kFrames) << "no window: everything";
}

TEST_F(ManyFiles, MissingAndWrongIndexesCostASearchNotAFrame) {
  const auto idx = *dir_ / "raw/x-00000100.idx";
  const auto good = slurp(idx);
  const std::uint64_t first = must(read_index(idx)).front().frame;
  for (const char* what : {"missing", "no head", "wrong offset", "wrong time"}) {
    auto bytes = good;
    if (what == std::string("no head")) bytes.resize(5);
    if (what == std::string("wrong offset")) bytes[24 + 8] = 77;
    if (what == std::string("wrong time")) bytes[24] = static_cast<char>(bytes[24] + 1);
    std::filesystem::remove(idx);
    if (what != std::string("missing")) spill(idx, bytes);
    run({.inputs = {}, .from_ns = ns_of(first + 5), .to_ns = ns_of(first + 105), .filter = {}, .out = {}});
    expect_frames(first + 5, first + 105);
  }
  spill(idx, good);
}

TEST_F(ManyFiles, AFileThatIsGoneIsCounted) {
  const auto third = *dir_ / "raw/x-00000103.raw";
  const std::uint64_t first = must(read_index(*dir_ / "raw/x-00000102.idx")).front().frame;
  const std::uint64_t gone = must(read_index(*dir_ / "raw/x-00000103.idx")).front().frame;
  const std::uint64_t end = must(read_index(*dir_ / "raw/x-00000104.idx")).front().frame;
  std::filesystem::rename(third, *dir_ / "aside");
  const auto report = run({.inputs = {}, .from_ns = ns_of(first), .to_ns = ns_of(end + 10), .filter = {}, .out = {}});
  std::filesystem::rename(*dir_ / "aside", third);
  EXPECT_EQ(report.frames, end + 10 - first - (end - gone));
  EXPECT_EQ(report.missing_frames, end - gone);
  ASSERT_EQ(report.remarks.size(), 1u);
  EXPECT_NE(report.remarks[0].find("frames are missing before it"), std::string::npos);
}

TEST_F(ManyFiles, FilterAndNamedFiles) {
  // Frames of 60 to 1459 bytes; the filter sees their length.
  const auto report =
      run({.inputs = {*dir_ / "raw/x-00000007.raw", *dir_ / "raw/x-00000007.raw"}, .filter = "less 100", .out = {}});
  EXPECT_EQ(report.files, 1u) << "named twice, read once";
  EXPECT_GT(report.frames, 10u);
  EXPECT_LT(report.frames, report.frames_seen / 10);
  const Read read = read_back(*dir_ / "out.pcapng");
  for (const std::uint64_t i : read.indices) EXPECT_LE(60 + i * 37 % 1400, 100u);
}

TEST_F(ManyFiles, CapturesAreMergedByTime) {
  // Every second frame as another capture, and the others as pcap.
  std::filesystem::create_directories(*dir_ / "two");
  auto odd = must(create_capture_file(*dir_ / "two/odd-00000001.raw", FileFormat::raw, {}));
  auto even = must(create_capture_file(*dir_ / "even.pcap", FileFormat::pcap, {"", "", "", "", 65535}));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto frame = frame_of(i, 60 + i * 37 % 1400);
    (i % 2 ? odd : even)->write({Stamp::of_ns(ns_of(i)), static_cast<std::uint32_t>(frame.size()), frame});
  }
  ASSERT_TRUE(odd->finish({}) && even->finish({}));
  const auto report = run({.inputs = {*dir_ / "two", *dir_ / "even.pcap"},
                           .from_ns = ns_of(10),
                           .to_ns = ns_of(900),
                           .filter = {},
                           .out = {}});
  expect_frames(10, 900);
  EXPECT_EQ(report.first_ns, ns_of(10));
  EXPECT_EQ(report.last_ns, ns_of(899));
}

TEST_F(ManyFiles, OtherToolsOpenWhatComesOut) {
  if (!has_program("tshark") || !has_program("capinfos") || !has_program("tcpdump")) {
    GTEST_SKIP() << "NOT TESTED: tshark, capinfos and tcpdump are not installed";
  }
  run({.inputs = {}, .from_ns = ns_of(5000), .to_ns = ns_of(5100), .filter = {}, .out = {}});
  const std::string file = (*dir_ / "out.pcapng").string();
  const std::string info = output_of("capinfos -M " + file);
  EXPECT_NE(info.find("Number of packets:   100"), std::string::npos) << info;
  EXPECT_EQ(output_of("tshark -r " + file + " 2>&1 >/dev/null | grep -v 'Running as user' || true"), "");
  EXPECT_EQ(output_of("tcpdump -nr " + file + " 2>&1 >/dev/null | grep -v '^reading from file' || true"), "");
}

TEST(Extract, RefusalsSayWhat) {
  TempDir dir;
  std::filesystem::create_directories(dir / "empty");
  const std::atomic<bool> never{false};
  const struct {
    ExtractOptions options;
    const char* says;
  } cases[] = {{{.inputs = {dir / "empty"}, .filter = {}, .out = dir / "o.pcapng"}, "a directory without RAW files"},
               {{.inputs = {dir / "none.pcap"}, .filter = {}, .out = dir / "o.pcapng"}, "No such file"},
               {{.inputs = {dir / "a-00000001.raw"}, .filter = {}, .out = dir / "o.pcapng"}, "there is no such file"},
               {{.inputs = {dir / "empty"}, .filter = "hots 1", .out = dir / "o.pcapng"}, "filter \"hots 1\""},
               {{.inputs = {dir / "empty"}, .filter = {}, .out = dir / "o.raw", .format = FileFormat::raw}, "convert"}};
  for (const auto& c : cases) {
    const auto got = extract(
        c.options, [](const ExtractReport&) {}, never);
    ASSERT_FALSE(got) << c.says;
    EXPECT_EQ(got.error().exit_status(), 2) << c.says;
    EXPECT_NE(got.error().text.find(c.says), std::string::npos) << got.error().text;
    EXPECT_FALSE(std::filesystem::exists(c.options.out)) << "nothing half done";
  }
}

TEST(Extract, AStopRequestLeavesAWholeFile) {
  TempDir dir;
  StoreUnderTest t;
  t.raw(dir / "raw");
  t.start();
  t.feed(20'000);
  t.end();
  std::atomic<bool> stop{false};
  const auto report = must(extract(
      {.inputs = {dir / "raw"}, .filter = {}, .out = dir / "o.pcapng"}, [&](const ExtractReport&) { stop = true; },
      stop));
  EXPECT_TRUE(report.stopped);
  EXPECT_GT(report.frames, 1000u);
  EXPECT_LT(report.frames, 20'000u);
  expect_first(read_back(dir / "o.pcapng"), report.frames);
}

}  // namespace
}  // namespace vigia::vf
