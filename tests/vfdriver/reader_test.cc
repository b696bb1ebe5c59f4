// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {
namespace {

std::filesystem::path data_dir() {
  const char* named = std::getenv("VIGIA_DATA");
  return named ? std::filesystem::path(named) : std::filesystem::path(__FILE__).parent_path() / "../../../shared/data";
}

struct Frames {
  std::vector<Stamp> stamps;
  std::vector<std::uint32_t> wires;
  std::vector<std::vector<std::byte>> bytes;
  friend bool operator==(const Frames&, const Frames&) = default;
};

// All frames; a read error ends them and is handed out.
Frames frames_of(const std::filesystem::path& path, ReadReport* report = nullptr, std::string* error = nullptr) {
  Frames frames;
  auto reader = open_capture(path);
  if (!reader) {
    if (error) *error = reader.error().text;
    return frames;
  }
  FrameView view;
  for (;;) {
    const auto more = (*reader)->next(view);
    if (!more && error) *error = more.error().text;
    if (!more || !*more) break;
    frames.stamps.push_back(view.stamp);
    frames.wires.push_back(view.wire);
    frames.bytes.emplace_back(view.bytes.begin(), view.bytes.end());
  }
  if (report) *report = (*reader)->report();
  return frames;
}

void write_frames(const std::filesystem::path& path, unsigned count, std::size_t size = 100) {
  auto writer = must(create_capture_file(path, *format_of(path), {"hw", "if", "", "", 65535}));
  for (unsigned i = 0; i < count; ++i) {
    const auto frame = frame_of(i, size + i % 7);
    writer->write({Stamp::of_ns(1'700'000'000'123'456'789 + i), static_cast<std::uint32_t>(frame.size() + 5), frame});
  }
  ASSERT_TRUE(writer->finish({}));
}

TEST(Reader, MarksOfDuplicatesSurviveInRawAndAreACommentInPcapng) {
  TempDir dir;
  for (const char* name : {"a.raw", "a.pcapng", "a.pcap"}) {
    auto writer = must(create_capture_file(dir / name, *format_of(dir / name), {"hw", "if", "", "", 65535}));
    for (unsigned i = 0; i < 30'000; ++i) {  // RAW: over the reader's buffer
      const auto frame = frame_of(i, 60 + i % 7);
      writer->write(
          {Stamp::of_ns(1'700'000'000'000'000'000 + i), static_cast<std::uint32_t>(frame.size()), frame, i % 3 == 1});
    }
    ASSERT_TRUE(writer->finish({}));
    auto reader = must(open_capture(dir / name));
    FrameView view;
    unsigned i = 0;
    for (; must(reader->next(view)); ++i) {
      ASSERT_TRUE(is_frame(view, i));
      if (name == std::string_view("a.raw")) {
        ASSERT_EQ(view.repeated, i % 3 == 1) << i;
      }
    }
    EXPECT_EQ(i, 30'000u);
    EXPECT_TRUE(reader->report().remarks.empty());
  }
  const std::string text = "duplicate of an earlier frame";
  const auto bytes = slurp(dir / "a.pcapng");
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::size_t comments = 0;
  for (auto at = all.find(text); at != all.npos; at = all.find(text, at + 1)) ++comments;
  EXPECT_EQ(comments, 10'000u);
}

TEST(Reader, FilesTruncatedAtEveryLengthGiveTheirWholeFrames) {
  for (const char* name : {"a.raw", "a.pcap", "a.pcapng"}) {
    TempDir dir;
    write_frames(dir / name, 6);
    const auto whole = slurp(dir / name);
    const Frames all = frames_of(dir / name);
    ASSERT_EQ(all.bytes.size(), 6u);
    std::size_t most = 0;
    for (std::size_t length = 0; length <= whole.size(); ++length) {
      if (length > 1500 && length % 61 != 0 && length != whole.size()) continue;  // RAW's padding: some of it will do
      spill(dir / name, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
      ReadReport report;
      std::string error;
      const Frames some = frames_of(dir / name, &report, &error);
      ASSERT_LE(some.bytes.size(), 6u);
      ASSERT_GE(some.bytes.size(), most) << name << " cut at " << length;
      most = some.bytes.size();
      for (std::size_t i = 0; i < some.bytes.size(); ++i) ASSERT_EQ(some.bytes[i], all.bytes[i]);
      // What is not whole is said, one way or the other; a cut between frames cannot be seen.
      if (!error.empty()) {
        EXPECT_EQ(some.bytes.size(), 0u) << error;
      }
      EXPECT_EQ(report.truncated_files, report.remarks.size());
    }
    EXPECT_EQ(most, 6u);
  }
}

TEST(Reader, CutRawFileSaysWhere) {
  TempDir dir;
  write_frames(dir / "a.raw", 3);
  auto bytes = slurp(dir / "a.raw");
  bytes.resize(112 + 50);
  spill(dir / "a.raw", bytes);
  ReadReport report;
  EXPECT_EQ(frames_of(dir / "a.raw", &report).bytes.size(), 1u);
  ASSERT_EQ(report.remarks.size(), 1u);
  EXPECT_NE(report.remarks[0].find("cut inside the record at byte 112, 50 bytes of it are there"), std::string::npos)
      << report.remarks[0];
}

TEST(Reader, ZerosBehindTheLastRecordSayNothing) {
  for (const std::size_t zeros : {1u, 11u, 12u, 13u, 4096u, 70000u}) {
    TempDir dir;
    write_frames(dir / "a.raw", 3);
    auto bytes = slurp(dir / "a.raw");
    bytes.resize(bytes.size() + zeros);
    spill(dir / "a.raw", bytes);
    ReadReport report;
    EXPECT_EQ(frames_of(dir / "a.raw", &report).bytes.size(), 3u);
    EXPECT_TRUE(report.remarks.empty()) << zeros;
  }
}

TEST(Reader, WhatIsNoCaptureIsRefused) {
  TempDir dir;
  struct Case {
    const char* name;
    std::string content, says;
  };
  const Case cases[] = {
      {"text", "This is a letter and not a capture at all.", "neither pcap, pcapng nor RAW"},
      {"bad.pcap", std::string("\xd4\xc3\xb2\xa1", 4) + "short", "open "},
      {"sll.pcap", std::string("\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x71\0\0\0", 24),
       "link type 113 (LINUX_SLL); only Ethernet"},
  };
  for (const Case& c : cases) {
    spill(dir / c.name, {c.content.begin(), c.content.end()});
    auto reader = open_capture(dir / c.name);
    FrameView view;
    Error error = input_error("");
    if (reader) {
      auto next = (*reader)->next(view);
      ASSERT_FALSE(next) << c.name;
      error = next.error();
    } else {
      error = reader.error();
    }
    EXPECT_EQ(error.exit_status(), 2);
    EXPECT_NE(error.text.find(c.says), std::string::npos) << error.text;
  }
  EXPECT_EQ(open_capture(dir / "missing.pcap").error().exit_status(), 2);
  std::filesystem::create_directories(dir / "empty");
  EXPECT_EQ(open_capture(dir / "empty").error().exit_status(), 2);
}

TEST(Reader, DamageInTheMiddleIsSaidWithItsOffset) {
  TempDir dir;
  write_frames(dir / "a.raw", 3);
  auto bytes = slurp(dir / "a.raw");
  bytes[112 + 7] = '\x7f';  // nanoseconds of the second record
  spill(dir / "a.raw", bytes);
  std::string error;
  EXPECT_EQ(frames_of(dir / "a.raw", nullptr, &error).bytes.size(), 1u);
  EXPECT_NE(error.find("damaged at byte 112"), std::string::npos) << error;
}

TEST(Reader, DirectoryIndexShowsMissingFrames) {
  TempDir dir;
  std::filesystem::create_directories(dir / "raw");
  const auto put = [&](int number, unsigned frames, std::uint64_t first) {
    const std::string stem = (dir / "raw/x-0000000").string() + std::to_string(number);
    write_frames(stem + ".raw", frames);
    IndexHead head;
    head.first_frame = first;
    const IndexEntry entry{1, 0, first};
    std::ofstream out(stem + ".idx", std::ios::binary);
    out.write(reinterpret_cast<const char*>(&head), sizeof(head))
        .write(reinterpret_cast<const char*>(&entry), sizeof(entry));
  };
  put(1, 5, 0);
  put(2, 5, 5);
  put(3, 5, 17);
  ReadReport report;
  EXPECT_EQ(frames_of(dir / "raw", &report).bytes.size(), 15u);
  EXPECT_EQ(report.missing_frames, 7u);
  ASSERT_EQ(report.remarks.size(), 1u);
  EXPECT_NE(report.remarks[0].find("7 frames are missing before it"), std::string::npos);
}

// A RAW file of two blocks whose records cross block ends; what follows is what a killed writer leaves.
struct Reserved {
  std::vector<char> bytes;
  std::vector<std::size_t> ends;  // of each record
};
Reserved records_of(std::size_t blocks) {
  Reserved r;
  for (std::uint64_t i = 0; r.bytes.size() < blocks * kBlockBytes; ++i) {
    const auto frame = frame_of(i + 1, 1000 + i % 13);
    const RecordHeader header{Stamp::of_ns(5 + i), static_cast<std::uint16_t>(frame.size()),
                              static_cast<std::uint16_t>(frame.size())};
    const auto* head = reinterpret_cast<const char*>(&header);
    r.bytes.insert(r.bytes.end(), head, head + sizeof(header));
    const auto* body = reinterpret_cast<const char*>(frame.data());
    r.bytes.insert(r.bytes.end(), body, body + frame.size());
    r.ends.push_back(r.bytes.size());
  }
  r.bytes.resize(blocks * kBlockBytes);
  return r;
}
std::size_t whole_before(const Reserved& r, std::size_t byte) {
  return static_cast<std::size_t>(std::upper_bound(r.ends.begin(), r.ends.end(), byte) - r.ends.begin());
}

TEST(Reader, ReservedSpaceThatWasNeverWrittenEndsTheFile) {
  TempDir dir;
  const Reserved r = records_of(2);
  auto bytes = r.bytes;
  bytes.resize(5 * kBlockBytes);  // zeros
  spill(dir / "a.raw", bytes);
  ReadReport report;
  std::string error;
  EXPECT_EQ(frames_of(dir / "a.raw", &report, &error).bytes.size(), whole_before(r, 2 * kBlockBytes));
  EXPECT_EQ(error, "");
  EXPECT_EQ(report.truncated_files, 1u) << "the last record ends in a block that is not there";
  // The same with a sparse end is not read through.
  bytes.resize(2 * kBlockBytes);
  spill(dir / "b.raw", bytes);
  std::filesystem::resize_file(dir / "b.raw", 2048 * kBlockBytes);
  EXPECT_EQ(frames_of(dir / "b.raw", &report, &error).bytes.size(), whole_before(r, 2 * kBlockBytes));
  EXPECT_EQ(error, "");
  EXPECT_LE(report.read_bytes, 8 * kBlockBytes);
}

TEST(Reader, NothingIsReadBehindABlockThatIsMissing) {
  TempDir dir;
  Reserved r = records_of(4);
  std::fill_n(r.bytes.begin() + kBlockBytes, kBlockBytes, '\0');
  spill(dir / "a.raw", r.bytes);
  ReadReport report;
  std::string error;
  EXPECT_EQ(frames_of(dir / "a.raw", &report, &error).bytes.size(), whole_before(r, kBlockBytes));
  EXPECT_EQ(error, "");
  EXPECT_GE(report.truncated_files, 1u);
  std::string all;
  for (const auto& remark : report.remarks) all += remark + "\n";
  EXPECT_NE(all.find("bytes from 2097152 on were"), std::string::npos) << all;
}

TEST(Reader, AHeaderCutByAMissingBlockIsNoDamage) {
  TempDir dir;
  for (std::size_t there = 1; there < 12; ++there) {
    // Records of together one block less `there` bytes, then a header that begins there.
    std::vector<char> bytes;
    const auto put = [&bytes](std::uint32_t n) {
      RecordHeader header{Stamp{0x01020304, 0x05060708}, static_cast<std::uint16_t>(n), static_cast<std::uint16_t>(n)};
      const auto* head = reinterpret_cast<const char*>(&header);
      bytes.insert(bytes.end(), head, head + sizeof(header));
      bytes.insert(bytes.end(), n, 'x');
    };
    while (bytes.size() + 2012 < kBlockBytes - there) put(1000);
    put(static_cast<std::uint32_t>(kBlockBytes - there - bytes.size() - 12));
    const auto whole = bytes.size();
    put(500);
    bytes.resize(kBlockBytes);
    bytes.resize(3 * kBlockBytes);
    ASSERT_EQ(whole, kBlockBytes - there);
    spill(dir / "a.raw", bytes);
    ReadReport report;
    std::string error;
    EXPECT_GT(frames_of(dir / "a.raw", &report, &error).bytes.size(), 900u);
    EXPECT_EQ(error, "") << there;
    EXPECT_EQ(report.truncated_files, 1u) << there;
  }
}

// Frames of zeros are frames.
TEST(Reader, ZerosInsideRecordsAreNotTheEnd) {
  TempDir dir;
  std::vector<char> bytes;
  const RecordHeader header{Stamp{1, 0}, 60'000, 60'000}, padding{Stamp{}, 0, 0};
  std::size_t frames = 0;
  while (bytes.size() < 3 * kBlockBytes) {
    for (const RecordHeader* h : {&header, &padding}) {
      const auto* head = reinterpret_cast<const char*>(h);
      bytes.insert(bytes.end(), head, head + sizeof(*h));
    }
    bytes.insert(bytes.end() - 12, 60'000, '\0');
    ++frames;
  }
  spill(dir / "a.raw", bytes);
  ReadReport report;
  EXPECT_EQ(frames_of(dir / "a.raw", &report).bytes.size(), frames);
  EXPECT_TRUE(report.remarks.empty());
}

TEST(Convert, EveryWayAndBackChangesNothing) {
  TempDir dir;
  write_frames(dir / "a.pcapng", 500, 60);
  const Frames original = frames_of(dir / "a.pcapng");
  std::filesystem::path from = dir / "a.pcapng";
  for (const char* to : {"b.raw", "c.pcap", "d.raw", "e.pcapng", "f.pcap", "g.pcapng"}) {
    auto in = must(open_capture(from));
    auto out = must(create_capture_file(dir / to, *format_of(to), {}));
    EXPECT_EQ(must(convert(*in, *out, *format_of(to))).frames, 500u);
    ASSERT_TRUE(out->finish({}));
    EXPECT_TRUE(frames_of(dir / to) == original) << to;
    from = dir / to;
  }
}

TEST(Convert, WhatRawCannotSayIsCounted) {
  TempDir dir;
  {
    auto writer = must(create_capture_file(dir / "a.pcap", FileFormat::pcap, {}));
    const auto small = frame_of(1, 60);
    const auto large = frame_of(2, 70'000);
    writer->write({{}, 60, small});
    writer->write({Stamp::of_ns(5), 70'000, large});
    writer->write({Stamp::of_ns(6), 70'000, small});
    ASSERT_TRUE(writer->finish({}));
  }
  auto in = must(open_capture(dir / "a.pcap"));
  auto out = must(create_capture_file(dir / "a.raw", FileFormat::raw, {}));
  const auto report = must(convert(*in, *out, FileFormat::raw));
  ASSERT_TRUE(out->finish({}));
  EXPECT_EQ(report.frames, 3u);
  EXPECT_EQ(report.unstamped, 1u);
  EXPECT_EQ(report.clipped, 2u);
  const Frames frames = frames_of(dir / "a.raw");
  ASSERT_EQ(frames.bytes.size(), 3u);
  EXPECT_EQ(frames.stamps[0], Stamp::of_ns(1));
  EXPECT_EQ(frames.wires[1], 65535u);
  EXPECT_EQ(frames.bytes[2].size(), 60u);
}

// Real captures there and back, against libpcap's reading of the original.
TEST(Convert, RealCapturesSurviveRawAndBack) {
  if (!std::filesystem::exists(data_dir() / "http")) {
    GTEST_SKIP() << "NOT TESTED: no captures in " << data_dir() << "; set VIGIA_DATA";
  }
  TempDir dir;
  unsigned files = 0;
  for (const char* kind : {"http", "dns", "vlan", "frag", "jumbo", "ipv6", "truncated"}) {
    for (const auto& entry : std::filesystem::directory_iterator(data_dir() / kind)) {
      std::string error;
      const Frames original = frames_of(entry.path(), nullptr, &error);
      if (!error.empty() || original.bytes.empty()) continue;
      auto in = must(open_capture(entry.path()));
      auto raw = must(create_capture_file(dir / "x.raw", FileFormat::raw, {}));
      const auto report = must(convert(*in, *raw, FileFormat::raw));
      ASSERT_TRUE(raw->finish({}));
      if (report.clipped + report.unstamped > 0) continue;
      auto back = must(open_capture(dir / "x.raw"));
      auto out = must(create_capture_file(dir / "x.pcapng", FileFormat::pcapng, {}));
      ASSERT_TRUE(convert(*back, *out, FileFormat::pcapng));
      ASSERT_TRUE(out->finish({}));
      EXPECT_TRUE(frames_of(dir / "x.pcapng") == original) << entry.path();
      ++files;
    }
  }
  EXPECT_GT(files, 10u);
}

}  // namespace
}  // namespace vigia::vf
