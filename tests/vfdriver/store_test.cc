// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/vfdriver/store_fixture.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {
namespace {

TEST(FileStore, EveryFormatHoldsEveryFrame) {
  for (const char* name : {"a.pcapng", "a.pcap", "a.raw"}) {
    TempDir dir;
    StoreUnderTest t;
    t.file(dir / name);
    t.start();
    t.feed(20'000);
    EXPECT_EQ(t.end().stored, 20'000u);
    EXPECT_TRUE(t.finished);
    const Read read = read_back(dir / name);
    expect_first(read, 20'000);
    EXPECT_TRUE(read.report.remarks.empty());
    EXPECT_EQ(read.report.bytes, t.store->totals().stored_bytes);
  }
}

TEST(FileStore, DataReachTheKernelWithinTheTimePromised) {
  TempDir dir;
  StoreUnderTest t;
  t.file(dir / "a.pcapng");
  t.start();
  t.feed(10);
  std::this_thread::sleep_for(std::chrono::milliseconds(600));  // 200 promised; a loaded machine is slow
  expect_first(read_back(dir / "a.pcapng"), 10);
  t.end();
}

TEST(FileStore, WiresharkAgreesWithThePcapng) {
  if (!has_program("tshark") || !has_program("capinfos")) {
    GTEST_SKIP() << "NOT TESTED: tshark and capinfos are not installed; the pcapng was only read by libpcap";
  }
  TempDir dir;
  StoreUnderTest t;
  t.file(dir / "a.pcapng");
  t.start();
  t.feed(500);
  t.end();
  const std::string file = (dir / "a.pcapng").string();
  const std::string info = output_of("capinfos -M " + file);
  for (const char* line :
       {"Number of packets:   500", "nanosecond", "Interface #0 info", "Name = agent", "Filter string = rx of web",
        "Capture hardware:    hardware", "Capture application: vigia-capture", "Capture comment:     clock: test",
        "Number of stat entries = 1", "Capture length = 65535", "Strict time order:   True"}) {
    EXPECT_NE(info.find(line), std::string::npos) << line << " not in:\n" << info;
  }
  const std::string rows =
      output_of("tshark -r " + file + " -T fields -e frame.time_epoch -e frame.len -e frame.cap_len");
  std::string expected;
  for (std::uint64_t i = 0; i < 500; ++i) {
    const std::string size = std::to_string(60 + i * 37 % 1400);
    char stamp[32];
    std::snprintf(stamp, sizeof(stamp), "1.%09u", static_cast<unsigned>(i));
    expected += std::string(stamp) + "\t" + size + "\t" + size + "\n";
  }
  EXPECT_NE(rows.find(expected), std::string::npos) << rows.substr(0, 500);
}

// Marks lie anywhere, across blocks too; they are no frames, and none of their bytes is a frame's.
TEST(RawStore, MarksAreStoredWithTheirFramesAndCountNoBytes) {
  TempDir dir;
  StoreUnderTest t;
  t.raw(dir / "raw");
  t.start();
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const auto frame = frame_of(i, 60 + i * 37 % 1400);
    const auto size = static_cast<std::uint32_t>(frame.size());
    std::byte* at = nullptr;
    while (!(at = i % 5 == 0 ? t.ring.writer.claim_repeated(Stamp::of_ns(1'000'000'000 + i), size, size)
                             : t.ring.writer.claim(Stamp::of_ns(1'000'000'000 + i), size, size))) {
      t.ring.writer.publish();
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    copy_frame(at, frame.data(), size);
    bytes += size;
    t.ring.writer.publish();
  }
  t.ring.next = 20'000;
  EXPECT_EQ(t.end().stored_bytes, bytes);
  auto reader = must(open_capture(dir / "raw"));
  FrameView view;
  std::uint64_t i = 0;
  for (; must(reader->next(view)); ++i) {
    ASSERT_TRUE(is_frame(view, i));
    ASSERT_EQ(view.repeated, i % 5 == 0) << i;
  }
  EXPECT_EQ(i, 20'000u);
}

TEST(RawStore, FilesAreTheStreamCutAtRecords) {
  TempDir dir;
  StoreUnderTest t;
  t.raw(dir / "raw");
  t.start();
  t.feed(20'000);
  const auto totals = t.end();
  EXPECT_EQ(totals.stored, 20'000u);
  EXPECT_TRUE(t.finished);
  const auto files = list_raw_files(dir / "raw");
  ASSERT_GE(files.size(), 4u);
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (i + 1 < files.size()) {
      EXPECT_EQ(std::filesystem::file_size(files[i]), kRaw.segment_bytes);
    } else {
      EXPECT_EQ(std::filesystem::file_size(files[i]) % 4096, 0u);
    }
    EXPECT_FALSE(read_back(files[i]).indices.empty()) << "each file stands alone";
  }
  const Read read = read_back(dir / "raw");
  expect_first(read, 20'000);
  EXPECT_EQ(read.report.bytes, totals.stored_bytes);
  EXPECT_TRUE(read.report.remarks.empty());
}

TEST(RawStore, IndexFindsTheFirstFrameOfEachBlock) {
  TempDir dir;
  StoreUnderTest t;
  t.raw(dir / "raw");
  t.start();
  t.feed(10'000);
  t.end();
  std::uint64_t entries = 0;
  for (auto file : list_raw_files(dir / "raw")) {
    const auto bytes = slurp(file);
    const auto index = must(read_index(file.replace_extension(".idx")));
    EXPECT_EQ(index.size(), (bytes.size() + kBlockBytes - 1) / kBlockBytes);
    for (std::size_t b = 0; b < index.size(); ++b) {
      EXPECT_EQ(index[b].offset / kBlockBytes, b);
      RecordHeader header;
      std::memcpy(&header, bytes.data() + index[b].offset, sizeof(header));
      EXPECT_EQ(header.stamp.total_ns(), index[b].ns);
      EXPECT_EQ(header.stamp.total_ns(), 1'000'000'000 + index[b].frame) << "the test stamps frames by number";
      ++entries;
    }
  }
  EXPECT_GE(entries, 7u);
}

TEST(RawStore, EveryLengthOfTheLastBlockIsClosedByPadding) {
  for (std::uint64_t frames = 0; frames < 12; ++frames) {
    TempDir dir;
    StoreUnderTest t;
    t.raw(dir / "raw");
    t.start();
    t.feed(frames);
    EXPECT_EQ(t.end().stored, frames);
    const Read read = read_back(dir / "raw");
    expect_first(read, frames);
    EXPECT_TRUE(read.report.remarks.empty());
  }
}

TEST(RawStore, GrowingBlockIsOnDiskBeforeItIsFull) {
  TempDir dir;
  StoreUnderTest t;
  t.raw(dir / "raw");
  t.start();
  t.feed(1700);  // more than one block
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  expect_first(read_back(dir / "raw"), 1700);
  t.feed(1700);
  EXPECT_EQ(t.end().stored, 3400u);
  expect_first(read_back(dir / "raw"), 3400);
}

TEST(RawStore, NumbersGoOnAndTheOldestFilesAreDeleted) {
  TempDir dir;
  std::filesystem::create_directories(dir / "raw");
  spill(dir / "raw/x-00000041.raw", std::vector<char>(1000));
  spill(dir / "raw/y-00000001.raw", std::vector<char>(5 << 20));
  StoreUnderTest t;
  t.raw(dir / "raw", ListenerKind::lossless, 7 << 20);
  t.start();
  t.feed(20'000);
  t.end();
  const auto files = list_raw_files(dir / "raw", "x");
  ASSERT_LE(files.size(), 3u);
  EXPECT_GT(files.front().stem().string(), "x-00000042");
  EXPECT_TRUE(std::filesystem::exists(dir / "raw/y-00000001.raw")) << "another capture's file";
  std::uint64_t total = 0;
  for (const auto& file : files) total += std::filesystem::file_size(file);
  EXPECT_LE(total, 7u << 20);
  const auto reader = must(open_capture(dir / "raw/x-00000042.raw" == files.front() ? files.front() : files.back()));
  EXPECT_EQ(reader->report().remarks.size(), 1u) << "says that frames before it are gone";
}

TEST(RawStore, QuotaTooSmallIsRefused) {
  TempDir dir;
  StoreUnderTest t;
  const auto store = create_raw_store(t.ring.join(ListenerKind::lossless), {dir / "raw", "x", 5 << 20}, t.counters);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().exit_status(), 2);
  EXPECT_FALSE(std::filesystem::exists(dir / "raw")) << "nothing half done";
}

TEST(RawStore, LappedStoreLosesWholeFramesAndKnowsHowMany) {
  for (const std::uint64_t burst : {9'000u, 12'345u, 20'001u}) {
    TempDir dir;
    StoreUnderTest t;
    t.raw(dir / "raw", ListenerKind::overwritable);
    t.feed(burst);  // the ring holds some 5,500; nobody reads
    t.start();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    t.feed(3000);
    const auto totals = t.end();
    EXPECT_GT(totals.lapped, 0u);
    EXPECT_EQ(totals.stored + totals.lapped, burst + 3000);
    const Read read = read_back(dir / "raw");
    EXPECT_EQ(read.indices.size(), totals.stored);
    for (std::size_t i = 1; i < read.indices.size(); ++i) EXPECT_EQ(read.indices[i], read.indices[i - 1] + 1);
    ASSERT_FALSE(read.indices.empty());
    EXPECT_EQ(read.indices.back(), burst + 2999);
  }
}

// The writer overtakes the store again and again while it writes.
TEST(RawStore, LapsWhileWritingNeverLeaveTornFrames) {
  TempDir dir;
  StoreUnderTest t;
  t.raw(dir / "raw", ListenerKind::overwritable);
  t.start();
  for (int i = 0; i < 20; ++i) {
    t.feed(8000);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  const auto totals = t.end();
  const Read read = read_back(dir / "raw");
  EXPECT_EQ(read.indices.size(), totals.stored);
  for (std::size_t i = 1; i < read.indices.size(); ++i) ASSERT_GT(read.indices[i], read.indices[i - 1]);
  EXPECT_LE(read.report.missing_frames, totals.lapped);
}

TEST(Store, AbandonedCountsWhatIsUnread) {
  for (const bool raw : {false, true}) {
    TempDir dir;
    StoreUnderTest t;
    raw ? t.raw(dir / "raw") : t.file(dir / "a.pcapng");
    t.feed(5000);
    t.store->abandon();
    t.start();
    EXPECT_EQ(t.end().unread, 5000u);
  }
}

TEST(Store, FullDiskIsCountedAndTheFileStaysReadable) {
  for (const bool raw : {false, true}) {
    TempDir dir;
    const auto path = raw ? dir / "raw" : dir / "a.pcapng";
    // A limit on the size of files is a full disk for those who cannot mount one.
    EXPECT_EQ(in_child([&] {
                ::signal(SIGXFSZ, SIG_IGN);
                StoreUnderTest t;  // the ring is a file too, of its own kind: made before the limit
                const rlimit limit{2'500'000, 2'500'000};
                ::setrlimit(RLIMIT_FSIZE, &limit);
                raw ? t.raw(path) : t.file(path);
                t.start();
                t.feed(10'000);
                const auto totals = t.end();
                EXPECT_GT(totals.stored, 1000u);
                EXPECT_GT(totals.disk_dropped, 1000u);
                EXPECT_EQ(totals.stored + totals.disk_dropped, 10'000u);
                EXPECT_FALSE(t.finished);
                EXPECT_TRUE(t.store->failure());
                if (!t.finished) {
                  EXPECT_EQ(t.finished.error().exit_status(), 1);
                  EXPECT_NE(t.finished.error().text.find("store.disk_dropped"), std::string::npos);
                }
                expect_first(read_back(path), totals.stored);
              }),
              0);
  }
}

TEST(Store, SmallTmpfsThatIsFull) {
  TempDir dir;
  const auto mount_point = dir / "small";
  std::filesystem::create_directories(mount_point);
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "NOT TESTED: mounting a small tmpfs needs root";
  }
  for (const bool raw : {false, true}) {
    StoreUnderTest t;
    const auto path = mount_point / (raw ? "raw" : "a.pcapng");
    raw ? t.raw(path) : t.file(path);
    t.start();
    t.feed(10'000);
    const auto totals = t.end();
    EXPECT_GT(totals.disk_dropped, 1000u);
    EXPECT_EQ(totals.stored + totals.disk_dropped, 10'000u);
    EXPECT_FALSE(t.finished);
    expect_first(read_back(path), totals.stored);
    std::filesystem::remove_all(path);
  }
  EXPECT_EQ(::umount(mount_point.c_str()), 0);
}

TEST(Store, KilledWriterLeavesAFileThatOpens) {
  for (const bool raw : {false, true}) {
    TempDir dir;
    const auto path = raw ? dir / "raw" : dir / "a.pcapng";
    const pid_t child = ::fork();
    if (child == 0) {
      StoreUnderTest t;
      raw ? t.raw(path) : t.file(path);
      t.start();
      for (;;) t.feed(100);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    const Read read = read_back(path);
    EXPECT_GT(read.indices.size(), 100u);
    for (std::size_t i = 0; i < read.indices.size(); ++i) ASSERT_EQ(read.indices[i], i);
    EXPECT_LE(read.report.truncated_files, 1u);
  }
}

TEST(RawStore, AFullDiskIsTriedAgainAndTheCountsStayExact) {
  TempDir dir;
  const auto mount_point = dir / "small";
  std::filesystem::create_directories(mount_point);
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=12m") != 0) {
    GTEST_SKIP() << "NOT TESTED: mounting a small tmpfs needs root";
  }
  spill(mount_point / "other", std::vector<char>(7 << 20));
  {
    StoreUnderTest t;
    t.store = must(create_raw_store(t.ring.join(ListenerKind::lossless),
                                    {mount_point / "raw", "x", 0, std::chrono::milliseconds(10)}, t.counters));
    EXPECT_EQ(t.store->first_file(), 1u);
    EXPECT_EQ(t.store->problem(), "");
    t.start();
    t.feed(12'000);
    while (t.store->problem().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_NE(t.store->problem().find("tried again every 10 ms"), std::string::npos) << t.store->problem();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_NE(t.store->problem(), "") << "full is full";
    std::filesystem::remove(mount_point / "other");
    while (!t.store->problem().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    t.feed(2000);
    const auto totals = t.end();
    EXPECT_TRUE(t.finished);
    EXPECT_GT(totals.disk_dropped, 1000u);
    EXPECT_EQ(totals.stored + totals.disk_dropped, 14'000u);
    const Read read = read_back(mount_point / "raw");
    EXPECT_EQ(read.indices.size(), totals.stored) << "what is counted as stored is there, frame by frame";
    EXPECT_EQ(read.indices.back(), 13'999u);
  }
  EXPECT_EQ(::umount(mount_point.c_str()), 0);
}

TEST(RawStore, ADiskThatRefusesFromTheStartIsTakenLater) {
  TempDir dir;
  spill(dir / "raw", {'x'});  // in the way of the directory
  StoreUnderTest t;
  t.store = must(create_raw_store(t.ring.join(ListenerKind::overwritable),
                                  {dir / "raw", "x", 0, std::chrono::milliseconds(10)}, t.counters));
  EXPECT_EQ(t.store->first_file(), 0u);
  EXPECT_NE(t.store->problem().find("create directory"), std::string::npos) << t.store->problem();
  t.start();
  t.feed(3000);
  // The disk that comes late holds a file of an earlier capture.
  std::filesystem::create_directories(dir / "late");
  spill(dir / "late/x-00000007.raw", {});
  ASSERT_EQ(::renameat2(AT_FDCWD, (dir / "late").c_str(), AT_FDCWD, (dir / "raw").c_str(), RENAME_EXCHANGE), 0);
  while (!t.store->problem().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(t.store->first_file(), 8u);
  t.feed(3000);
  const auto totals = t.end();
  EXPECT_TRUE(t.finished);
  EXPECT_EQ(totals.stored + totals.disk_dropped + totals.lapped, 6000u);
  EXPECT_GE(totals.stored, 3000u) << "from the last landmark on";
}

TEST(Store, UnwritablePlacesAreRefusedAtOnce) {
  StoreUnderTest t;
  EXPECT_FALSE(create_file_store(t.readers(ListenerKind::lossless), "/proc/nowhere/a.pcapng", FileFormat::pcapng, {},
                                 t.counters));
  EXPECT_FALSE(create_raw_store(t.ring.join(ListenerKind::lossless), {"/proc/nowhere", "x", 0}, t.counters));
}

}  // namespace
}  // namespace vigia::vf
