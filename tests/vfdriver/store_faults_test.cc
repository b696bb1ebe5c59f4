// SPDX-License-Identifier: Apache-2.0
// Disks that are full, slow or gone, and writers that are killed: what is lost has a bound and a name, and what is on
// disk can be read.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "hw/counter_file.h"
#include "tests/vfdriver/store_fixture.h"
#include "vfdriver/block_queue.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

// An ext4 of its own on a loop device, with a journal and 4 MiB of it.
class LoopDisk {
 public:
  explicit LoopDisk(unsigned mib) {
    const std::string image = (dir_ / "disk").string();
    fs::create_directories(at());
    std::ofstream{image};
    fs::resize_file(image, std::uint64_t{mib} << 20);
    usable_ = ::geteuid() == 0 && run("mkfs.ext4 -q -J size=4 -m 0 " + image) &&
              run("mount -o loop " + image + " " + at().string());
  }
  ~LoopDisk() {
    // Writers hang on to it for a moment.
    for (int i = 0; usable_ && i < 100 && ::umount(at().c_str()) != 0 && errno == EBUSY; ++i) {
      std::this_thread::sleep_for(milliseconds(50));
    }
  }
  bool usable() const { return usable_; }
  fs::path at() const { return dir_ / "mnt"; }
  // "7:0"
  std::string device() const {
    struct stat st {};
    return ::stat(at().c_str(), &st) == 0 ? std::to_string(major(st.st_dev)) + ":" + std::to_string(minor(st.st_dev))
                                          : "";
  }
  // From here on every read and write fails, as on a disk that was pulled; its journal was written.
  bool pull() const {
    const Fd fd{::open(at().c_str(), O_RDONLY | O_DIRECTORY)};
    std::uint32_t flush_journal = 1;
    return ::ioctl(fd.get(), _IOR('X', 125, std::uint32_t), &flush_journal) == 0;  // EXT4_IOC_SHUTDOWN
  }
  // What a new look at the disk finds.
  bool plug_in() const {
    return ::umount(at().c_str()) == 0 && run("mount -o loop " + (dir_ / "disk").string() + " " + at().string());
  }

 private:
  static bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }
  TempDir dir_;
  bool usable_ = false;
};

constexpr const char* kNoDisk = "NOT TESTED: a loop device with ext4 needs root, mkfs.ext4 and loop devices";

// What was counted as stored is there, from the first frame, without a hole.
void expect_stored(const fs::path& directory, std::uint64_t stored) {
  const Read read = read_back(directory);
  ASSERT_EQ(read.indices.size(), stored);
  for (std::uint64_t i = 0; i < stored; ++i) ASSERT_EQ(read.indices[i], i);
}

TEST(StoreFaults, AFullDiskTakesWhatFitsAndTheRestIsCounted) {
  LoopDisk disk(24);
  if (!disk.usable()) GTEST_SKIP() << kNoDisk;
  StoreUnderTest t;
  t.raw(disk.at() / "raw");
  EXPECT_EQ(t.store->way().growing_files, 0u) << "space is reserved while there is some";
  t.start();
  t.feed(60'000);  // 46 MB
  const auto totals = t.end();
  EXPECT_FALSE(t.finished);
  EXPECT_GT(totals.stored_bytes, 12u << 20) << "most of the disk";
  EXPECT_GT(totals.disk_dropped, 20'000u);
  EXPECT_EQ(totals.stored + totals.disk_dropped, 60'000u);
  EXPECT_NE(t.store->problem().find("No space left"), std::string::npos) << t.store->problem();
  expect_stored(disk.at() / "raw", totals.stored);
}

TEST(StoreFaults, AQuotaKeepsTheDiskFromFilling) {
  LoopDisk disk(24);
  if (!disk.usable()) GTEST_SKIP() << kNoDisk;
  StoreUnderTest t;
  t.raw(disk.at() / "raw", ListenerKind::lossless, 10 << 20);
  t.start();
  t.feed(60'000);
  const auto totals = t.end();
  EXPECT_TRUE(t.finished);
  EXPECT_EQ(totals.stored, 60'000u);
  const Read read = read_back(disk.at() / "raw");
  EXPECT_GT(read.indices.size(), 4000u);
  for (std::size_t i = 1; i < read.indices.size(); ++i) ASSERT_EQ(read.indices[i], read.indices[i - 1] + 1);
  EXPECT_EQ(read.indices.back(), 59'999u);
}

TEST(StoreFaults, APulledDiskIsCountedAndTakenAgainWhenItIsBack) {
  LoopDisk disk(48);
  if (!disk.usable()) GTEST_SKIP() << kNoDisk;
  StoreUnderTest t;
  t.raw_with({disk.at() / "raw", "x", 0, milliseconds(20)});
  t.start();
  t.feed(10'000);
  if (!disk.pull()) GTEST_SKIP() << "NOT TESTED: this kernel's ext4 cannot be shut down";
  t.feed(10'000);
  while (t.store->problem().empty()) {
    t.feed(100);
    std::this_thread::sleep_for(milliseconds(1));
  }
  const std::uint64_t before = t.store->totals().stored;
  EXPECT_GE(before, 1000u);
  t.feed(5000);
  EXPECT_EQ(t.store->totals().stored, before) << "nothing while the disk is gone";
  EXPECT_NE(t.store->problem().find("tried again every 20 ms"), std::string::npos) << t.store->problem();
  // The file that was open may hold the mount.
  for (int i = 0; i < 100 && !disk.plug_in(); ++i) std::this_thread::sleep_for(milliseconds(20));
  while (!t.store->problem().empty()) {
    t.feed(100);
    std::this_thread::sleep_for(milliseconds(1));
  }
  t.feed(5000);
  const auto totals = t.end();
  EXPECT_TRUE(t.finished);
  EXPECT_GT(totals.disk_dropped, 5000u);
  EXPECT_EQ(totals.stored + totals.disk_dropped, t.ring.next);
  const Read read = read_back(disk.at() / "raw");
  // What the kernel had taken when the disk went may be lost with it, the index too.
  EXPECT_LE(read.indices.size(), totals.stored);
  EXPECT_GE(read.indices.size() + BlockQueue::kDepth * kBlockBytes / 72, totals.stored);
  for (std::size_t i = 1; i < read.indices.size(); ++i) ASSERT_GT(read.indices[i], read.indices[i - 1]);
  EXPECT_EQ(read.indices.back(), t.ring.next - 1);
}

TEST(StoreFaults, AnUnmountedDiskDoesNotFillTheOneBelow) {
  LoopDisk disk(48);
  if (!disk.usable()) GTEST_SKIP() << kNoDisk;
  StoreUnderTest t;
  t.raw(disk.at() / "raw");
  t.start();
  t.feed(2000);
  ASSERT_EQ(::umount2(disk.at().c_str(), MNT_DETACH), 0);
  t.feed(20'000);  // the file that is open is finished, the next one refused
  const auto totals = t.end();
  EXPECT_FALSE(t.finished);
  EXPECT_GE(totals.stored, 2000u);
  EXPECT_GT(totals.disk_dropped, 5000u);
  EXPECT_EQ(totals.stored + totals.disk_dropped, 22'000u);
  EXPECT_NE(t.store->problem().find("another file system"), std::string::npos) << t.store->problem();
  EXPECT_FALSE(fs::exists(disk.at() / "raw")) << "nothing on the file system below";
}

// Limits what the calling process writes to a device, by a cgroup of its own; v1 (blkio) or v2 (io).
class SlowDevice {
 public:
  SlowDevice(const std::string& device, unsigned bytes_per_second) {
    for (const char* root : {"/sys/fs/cgroup/blkio", "/sys/fs/cgroup"}) {
      group_ = fs::path(root) / ("vigia-test-" + std::to_string(::getpid()));
      std::error_code failed;
      if (!fs::create_directory(group_, failed)) continue;
      const bool v1 = fs::exists(group_ / "blkio.throttle.write_bps_device");
      usable_ = v1 ? put("blkio.throttle.write_bps_device", device + " " + std::to_string(bytes_per_second))
                   : put("io.max", device + " wbps=" + std::to_string(bytes_per_second));
      if (usable_) return;
      fs::remove(group_, failed);
    }
  }
  ~SlowDevice() {
    if (usable_) ::rmdir(group_.c_str());
  }
  bool usable() const { return usable_; }
  bool join() const { return put("cgroup.procs", std::to_string(::getpid())); }

 private:
  bool put(const char* file, const std::string& text) const {
    std::ofstream out(group_ / file);
    out << text << std::endl;
    return static_cast<bool>(out);
  }
  fs::path group_;
  bool usable_ = false;
};

TEST(StoreFaults, ASlowDiskCostsFramesButNoTimeAndNoAccount) {
  LoopDisk disk(96);
  if (!disk.usable()) GTEST_SKIP() << kNoDisk;
  const SlowDevice slow(disk.device(), 4 << 20);
  if (!slow.usable()) GTEST_SKIP() << "NOT TESTED: no cgroup here limits a loop device (blkio or io controller)";
  for (const ListenerKind kind : {ListenerKind::overwritable, ListenerKind::lossless}) {
    const int status = in_child([&] {
      ASSERT_TRUE(slow.join());
      const fs::path path = disk.at() / (kind == ListenerKind::lossless ? "lossless" : "lapped");
      StoreUnderTest t;
      t.raw(path, kind);
      t.start();
      // 15 MB at once, four rings: the disk takes a fraction of it. A writer that waited for the disk, for which it is
      // 4 s, would lose none.
      std::uint64_t refused = 0;
      for (int i = 0; i < 20'000; ++i) {
        if (!t.ring.append(60 + t.ring.next * 37 % 1400)) ++refused;
        if (i % 32 == 31) t.ring.writer.publish();
      }
      t.ring.writer.publish();
      const auto totals = t.end();
      EXPECT_TRUE(t.finished);
      if (kind == ListenerKind::lossless) {
        EXPECT_GT(refused, 5000u) << "the engine's ring_full";
        EXPECT_EQ(totals.lapped, 0u);
      } else {
        EXPECT_EQ(refused, 0u);
        EXPECT_GT(totals.lapped, 5000u);
      }
      EXPECT_EQ(totals.stored + totals.lapped + refused, 20'000u);
      const Read read = read_back(path);
      EXPECT_EQ(read.indices.size(), totals.stored);
      // What was lapped before anything was on disk has no file before it.
      ASSERT_FALSE(read.indices.empty());
      EXPECT_EQ(read.indices.front() + read.report.missing_frames, totals.lapped);
    });
    EXPECT_EQ(status, 0);
  }
}

// A child that captures as fast as it can into files of 3 MiB, until it is killed.
pid_t start_writer(const fs::path& raw, const fs::path& counters, milliseconds rotate) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  StoreUnderTest t(kRaw, counters);
  t.raw_with({raw, "x", 0, milliseconds(0), rotate});
  t.start();
  for (;;) t.feed(200);
}

// One kill. Everything counted as stored is there without a hole; behind that only what was on its way, and what is
// missing of it is known by number.
void kill_once(milliseconds after, milliseconds rotate) {
  TempDir dir;
  const pid_t child = start_writer(dir / "raw", dir / "counters", rotate);
  std::this_thread::sleep_for(after);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  // What was on its way arrives.
  std::this_thread::sleep_for(milliseconds(20));
  const auto counted = hw::read_counters(dir / "counters");
  const std::uint64_t stored = counted ? counted->values.at("store.stored") : 0;
  if (!fs::exists(dir / "raw") || list_raw_files(dir / "raw").empty()) {
    ASSERT_EQ(stored, 0u);
    return;
  }
  const Read read = read_back(dir / "raw");
  ASSERT_GE(read.indices.size(), stored);
  std::uint64_t expected = 0, missing = 0;
  for (const std::uint64_t index : read.indices) {
    if (index != expected) {
      ASSERT_GE(expected, stored) << "a hole in what was stored";
      missing += index - expected;
    }
    expected = index + 1;
  }
  ASSERT_LE(missing, read.report.missing_frames);
  // Frames of 60 bytes and more: no more than the queue's blocks are on their way.
  ASSERT_LE(read.indices.size() - stored, (BlockQueue::kDepth + 1) * kBlockBytes / 72);
  for (const auto& file : list_raw_files(dir / "raw")) read_back(file);  // each one opens alone
}

// VIGIA_KILLS: how often; `./dev test-store` asks for 200 of each.
unsigned kills() {
  const char* wanted = std::getenv("VIGIA_KILLS");
  return wanted ? static_cast<unsigned>(std::strtoul(wanted, nullptr, 10)) : 12;
}

TEST(StoreFaults, AWriterKilledAtAnyMomentLeavesFilesThatOpen) {
  std::mt19937 random(4);  // NOLINT(cert-msc51-cpp): the same moments each time
  for (unsigned i = 0; i < kills() && !HasFatalFailure(); ++i) kill_once(milliseconds(random() % 150), milliseconds(0));
}

TEST(StoreFaults, AWriterThatRotatesKilledAtAnyMoment) {
  std::mt19937 random(5);  // NOLINT(cert-msc51-cpp)
  for (unsigned i = 0; i < kills() && !HasFatalFailure(); ++i) kill_once(milliseconds(random() % 150), milliseconds(7));
}

}  // namespace
}  // namespace vigia::vf
