// SPDX-License-Identifier: Apache-2.0
// Files that end by time.
#include <gtest/gtest.h>

#include "tests/vfdriver/store_fixture.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {
namespace {

using std::chrono::milliseconds;

// Every file stands alone, its index is right, and together they are the stream.
void expect_whole(const std::filesystem::path& directory, std::uint64_t frames) {
  std::uint64_t next = 0;
  for (auto file : list_raw_files(directory)) {
    const Read one = read_back(file);
    ASSERT_FALSE(one.indices.empty()) << file << ": no file without a frame";
    EXPECT_EQ(one.indices.front(), next) << file;
    EXPECT_EQ(one.report.truncated_files, 0u);
    next = one.indices.back() + 1;
    const auto bytes = slurp(file);
    EXPECT_EQ(bytes.size() % 4096, 0u) << "for O_DIRECT";
    const auto index = must(read_index(file.replace_extension(".idx")));
    EXPECT_EQ(first_frame_of(file), one.indices.front());  // file is the .idx by now
    for (const IndexEntry& entry : index) {
      RecordHeader header;
      ASSERT_LE(entry.offset + sizeof(header), bytes.size());
      std::memcpy(&header, bytes.data() + entry.offset, sizeof(header));
      EXPECT_EQ(header.stamp.total_ns(), entry.ns);
      EXPECT_EQ(header.stamp.total_ns(), 1'000'000'000 + entry.frame) << "the test stamps frames by number";
    }
  }
  EXPECT_EQ(next, frames);
  const Read all = read_back(directory);
  expect_first(all, frames);
  EXPECT_TRUE(all.report.remarks.empty());
}

TEST(RawStore, RotationCutsBetweenRecordsAtAnySpeed) {
  for (const unsigned pause_us : {0u, 50u, 3000u}) {
    TempDir dir;
    StoreUnderTest t;
    t.raw_with({dir / "raw", "x", 0, milliseconds(0), milliseconds(20)});
    t.start();
    const auto begin = std::chrono::steady_clock::now();
    const auto passed = [begin] { return std::chrono::steady_clock::now() - begin; };
    // Half a second is enough, but not on a machine that is busy with other things.
    while (passed() < milliseconds(500) || (t.store->way().files < 4 && passed() < std::chrono::seconds(30))) {
      t.feed(pause_us == 0 ? 500 : 7);
      std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
    }
    const auto totals = t.end();
    EXPECT_EQ(totals.stored, t.ring.next);
    EXPECT_TRUE(t.finished);
    EXPECT_GE(t.store->way().files, 4u);
    EXPECT_EQ(t.store->way().files, list_raw_files(dir / "raw").size());
    expect_whole(dir / "raw", t.ring.next);
    EXPECT_EQ(read_back(dir / "raw").report.bytes, totals.stored_bytes);
  }
}

TEST(RawStore, NoFileIsBegunForNothing) {
  TempDir dir;
  StoreUnderTest t;
  t.raw_with({dir / "raw", "x", 0, milliseconds(0), milliseconds(10)});
  t.start();
  t.feed(100);
  std::this_thread::sleep_for(milliseconds(300));
  t.feed(1);
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_LE(t.store->way().files, 3u) << "two files with frames, at most one that the machine's load cut off";
  t.end();
  expect_whole(dir / "raw", 101);
}

// Behind the last frame that fits a segment there is padding only.
TEST(RawStore, NoFileBeginsWhereItsSegmentEnds) {
  TempDir dir;
  StoreUnderTest t;
  t.raw_with({dir / "raw", "x", 0, milliseconds(0), milliseconds(20)});
  t.start();
  const auto left = [&] { return kRaw.segment_bytes - t.ring.memory.published().position % kRaw.segment_bytes; };
  while (left() >= 60 + t.ring.next * 37 % 1400 + 2 * kRecordHeader) t.feed(1);
  std::this_thread::sleep_for(milliseconds(200));  // the file is old
  t.feed(100);
  t.end();
  expect_whole(dir / "raw", t.ring.next);
}

TEST(RawStore, RotationAndLapsTogether) {
  TempDir dir;
  StoreUnderTest t;
  t.raw_with({dir / "raw", "x", 0, milliseconds(0), milliseconds(5)}, ListenerKind::overwritable);
  t.start();
  for (int i = 0; i < 30; ++i) {
    t.feed(8000);
    std::this_thread::sleep_for(milliseconds(3));
  }
  const auto totals = t.end();
  const Read read = read_back(dir / "raw");
  EXPECT_EQ(read.indices.size(), totals.stored);
  for (std::size_t i = 1; i < read.indices.size(); ++i) ASSERT_GT(read.indices[i], read.indices[i - 1]);
}

}  // namespace
}  // namespace vigia::vf
