// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/block_queue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <memory>

#include "hw/fd.h"
#include "tests/vfdriver/store_fixture.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {
namespace {

// From here on the kernel refuses io_uring to this process, as many containers' seccomp filters do.
bool forbid_io_uring() {
  sock_filter rules[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
                         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{std::size(rules), rules};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Writes blocks of both kinds, more than fit the queue, in an order of its own; the file must be as wanted.
void write_and_compare(BlockQueue& queue, std::span<std::byte> memory) {
  TempDir dir;
  const Fd fd{::open((dir / "f").c_str(), O_RDWR | O_CREAT, 0644)};
  std::vector<std::byte> other(kBlockBytes, std::byte{0x5a});
  std::size_t taken = 0;
  int error = 0;
  for (std::uint64_t i = 0; i < 40; ++i) {
    while (queue.full()) taken += queue.next(error, std::chrono::seconds(1));
    const bool foreign = i % 5 == 4;
    queue.submit(fd.get(), foreign ? other.data() : memory.data() + i % 4 * kBlockBytes, kBlockBytes, i * kBlockBytes);
    EXPECT_EQ(error, 0);
  }
  while (!queue.empty()) taken += queue.next(error, std::chrono::seconds(1));
  EXPECT_EQ(taken, 40u);
  const auto bytes = slurp(dir / "f");
  ASSERT_EQ(bytes.size(), 40 * kBlockBytes);
  for (std::uint64_t i = 0; i < 40; ++i) {
    const std::byte* want = i % 5 == 4 ? other.data() : memory.data() + i % 4 * kBlockBytes;
    EXPECT_EQ(std::memcmp(bytes.data() + i * kBlockBytes, want, kBlockBytes), 0) << i;
  }
}

std::vector<std::byte> four_blocks() {
  std::vector<std::byte> memory(4 * kBlockBytes);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i * 31 + (i >> 20));
  return memory;
}

TEST(BlockQueue, BlocksFromPinnedAndOtherMemoryArriveWhole) {
  auto memory = four_blocks();
  BlockQueue queue(memory);
  if (!queue.registered()) GTEST_SKIP() << "NOT TESTED: " << queue.shortfall();
  EXPECT_EQ(queue.shortfall(), "");
  write_and_compare(queue, memory);
}

TEST(BlockQueue, WithoutIoUringItWritesAndSaysSo) {
  EXPECT_EQ(in_child([] {
              if (!forbid_io_uring()) return;
              auto memory = four_blocks();
              BlockQueue queue(memory);
              EXPECT_FALSE(queue.asynchronous());
              EXPECT_FALSE(queue.registered());
              EXPECT_NE(queue.shortfall().find("use io_uring: Operation not permitted"), std::string::npos)
                  << queue.shortfall();
              write_and_compare(queue, memory);
            }),
            0);
}

TEST(BlockQueue, MemoryThatCannotBePinnedIsWrittenAllTheSame) {
  EXPECT_EQ(in_child([] {
              const rlimit none{0, 0};
              ::setrlimit(RLIMIT_MEMLOCK, &none);
              // Who may lock memory without limit may not be limited.
              if (::geteuid() == 0 && ::setuid(65534) != 0) return;
              auto memory = four_blocks();
              BlockQueue queue(memory);
              if (!queue.asynchronous()) return;
              EXPECT_FALSE(queue.registered());
              EXPECT_NE(queue.shortfall().find("ulimit -l"), std::string::npos) << queue.shortfall();
              write_and_compare(queue, memory);
            }),
            0);
}

TEST(BlockQueue, ARefusedWriteIsItsErrorNotThatOfOthers) {
  auto memory = four_blocks();
  TempDir dir;
  const Fd good{::open((dir / "f").c_str(), O_RDWR | O_CREAT, 0644)};
  const Fd bad{::open("/dev/full", O_WRONLY)};
  BlockQueue queue(memory);
  for (const int fd : {good.get(), bad.get(), good.get()}) queue.submit(fd, memory.data(), kBlockBytes, 0);
  std::vector<int> errors;
  for (int error = 0; !queue.empty();) {
    if (queue.next(error, std::chrono::seconds(1))) errors.push_back(error);
  }
  EXPECT_EQ(errors, (std::vector<int>{0, ENOSPC, 0}));
}

TEST(RawStore, WithoutIoUringItStoresEverything) {
  EXPECT_EQ(in_child([] {
              if (!forbid_io_uring()) return;
              TempDir dir;
              StoreUnderTest t;
              t.raw(dir / "raw");
              EXPECT_FALSE(t.store->way().asynchronous);
              t.start();
              t.feed(20'000);
              EXPECT_EQ(t.end().stored, 20'000u);
              expect_first(read_back(dir / "raw"), 20'000);
            }),
            0);
}

TEST(RawStore, AFileSystemWithoutDirectWritesIsWrittenThroughTheCache) {
  TempDir dir;
  const auto mount_point = dir / "ram";
  std::filesystem::create_directories(mount_point);
  // ramfs is one that refuses O_DIRECT.
  if (::mount("ramfs", mount_point.c_str(), "ramfs", 0, nullptr) != 0) {
    GTEST_SKIP() << "NOT TESTED: mounting a ramfs needs root";
  }
  {
    StoreUnderTest t;
    t.raw(mount_point / "raw");
    t.start();
    t.feed(20'000);
    EXPECT_EQ(t.end().stored, 20'000u);
    const StoreWay way = t.store->way();
    EXPECT_GE(way.files, 4u);
    EXPECT_EQ(way.buffered_files, way.files);
    EXPECT_EQ(way.growing_files, way.files) << "in memory nothing is reserved";
    expect_first(read_back(mount_point / "raw"), 20'000);
  }
  EXPECT_EQ(::umount(mount_point.c_str()), 0);
}

}  // namespace
}  // namespace vigia::vf
