// SPDX-License-Identifier: Apache-2.0
#include "softnic/dma_space.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "softnic/guarded_mapping.h"

namespace vigia::softnic {
namespace {

using hw::Iova;

Fd memfd(std::size_t bytes) {
  Fd fd(::memfd_create("test", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) std::abort();
  return fd;
}
Fd again(const Fd& fd) { return Fd(::dup(fd.get())); }

// Mappings of files in this process, as the kernel counts them.
unsigned file_mappings() {
  std::ifstream maps("/proc/self/maps");
  unsigned count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("memfd:test") != line.npos;
  return count;
}

TEST(DmaSpace, RefusalsChangeNothing) {
  DmaSpace space;
  const Fd file = memfd(8192);
  EXPECT_FALSE(space.map(Iova{0}, 0, again(file), 0, true, true));
  EXPECT_FALSE(space.map(Iova{UINT64_MAX}, 2, Fd(), 0, true, true));
  EXPECT_FALSE(space.map(Iova{0}, 8193, again(file), 0, true, true));
  EXPECT_FALSE(space.map(Iova{0}, 4096, again(file), UINT64_MAX, true, true)) << "offset + bytes wraps";
  EXPECT_FALSE(space.map(Iova{0}, 1, memfd(0), 0, true, true));
  EXPECT_FALSE(space.map(Iova{0}, 1u << 30, memfd(std::size_t{1} << 41), 0, true, true))
      << "more than one client may have";
  EXPECT_EQ(space.ranges(), 0u);
  EXPECT_EQ(file_mappings(), 0u);

  ASSERT_TRUE(space.map(Iova{0x1000}, 0x1000, again(file), 0, true, true));
  const std::uint64_t generation = space.generation();
  for (const auto& [start, bytes] :
       {std::pair<std::uint64_t, std::uint64_t>{0x1000, 0x1000}, {0x1fff, 1}, {0, 0x1001}, {0, 0x10000}, {0x1800, 8}}) {
    const auto overlap = space.map(Iova{start}, bytes, Fd(), 0, true, true);
    ASSERT_FALSE(overlap) << start;
    EXPECT_NE(overlap.error().text.find("overlaps"), std::string::npos);
  }
  for (const auto& [start, bytes] : {std::pair<std::uint64_t, std::uint64_t>{0x1000, 0xfff},
                                     {0x1001, 0xfff},
                                     {0, 0x1001},
                                     {0x1fff, 0x1000},
                                     {0x1400, 4}}) {
    EXPECT_FALSE(space.unmap(Iova{start}, bytes)) << start;
  }
  EXPECT_FALSE(space.unmap(Iova{0x1000}, 0));
  EXPECT_FALSE(space.unmap(Iova{0x1000}, UINT64_MAX));
  EXPECT_EQ(space.ranges(), 1u);
  EXPECT_EQ(space.generation(), generation);
}

TEST(DmaSpace, TheWholeAddressSpaceCanBeARange) {
  DmaSpace space;
  EXPECT_TRUE(space.map(Iova{0}, UINT64_MAX, Fd(), 0, true, true));
  EXPECT_FALSE(space.map(Iova{UINT64_MAX - 1}, 2, Fd(), 0, true, true));
  EXPECT_TRUE(space.map(Iova{UINT64_MAX}, 1, Fd(), 0, true, true)) << "its last byte is free";
  EXPECT_EQ(space.translate(Iova{5}, 1, false), nullptr);
  EXPECT_FALSE(space.unmap(Iova{UINT64_MAX}, 2));
  EXPECT_TRUE(space.unmap(Iova{0}, UINT64_MAX));
  EXPECT_EQ(space.ranges(), 1u);
}

TEST(DmaSpace, TranslatesToTheFileAndNotOneByteFurther) {
  DmaSpace space;
  const Fd file = memfd(16384);
  ASSERT_TRUE(space.map(Iova{0x10000}, 0x2000, again(file), 0x1000, true, true));
  std::byte* p = space.translate(Iova{0x10010}, 4, true);
  ASSERT_NE(p, nullptr);
  std::memcpy(p, "abcd", 4);
  char got[4];
  ASSERT_EQ(::pread(file.get(), got, 4, 0x1010), 4);
  EXPECT_EQ(std::memcmp(got, "abcd", 4), 0);
  for (int round = 0; round < 2; ++round) {  // with and without the remembered range
    EXPECT_NE(space.translate(Iova{0x10000}, 0x2000, true), nullptr);
    EXPECT_EQ(space.translate(Iova{0x10000}, 0x2001, true), nullptr);
    EXPECT_EQ(space.translate(Iova{0xffff}, 2, true), nullptr);
    EXPECT_EQ(space.translate(Iova{0x11fff}, 2, true), nullptr);
    EXPECT_EQ(space.translate(Iova{0x12000}, 1, true), nullptr);
    EXPECT_EQ(space.translate(Iova{0x10001}, SIZE_MAX, true), nullptr);
    EXPECT_EQ(space.translate(Iova{UINT64_MAX}, 1, true), nullptr);
  }
}

TEST(DmaSpace, RightsAreKept) {
  DmaSpace space;
  ASSERT_TRUE(space.map(Iova{0x0000}, 0x1000, memfd(4096), 0, true, false));
  ASSERT_TRUE(space.map(Iova{0x1000}, 0x1000, memfd(4096), 0, false, true));
  ASSERT_TRUE(space.map(Iova{0x2000}, 0x1000, Fd(), 0, true, true));
  EXPECT_NE(space.translate(Iova{0}, 8, false), nullptr);
  EXPECT_EQ(space.translate(Iova{0}, 8, true), nullptr);
  EXPECT_EQ(space.translate(Iova{0x1000}, 8, false), nullptr);
  EXPECT_NE(space.translate(Iova{0x1000}, 8, true), nullptr);
  EXPECT_EQ(space.translate(Iova{0x2000}, 8, false), nullptr);
  std::byte buffer[16];
  EXPECT_FALSE(space.write(Iova{0xff8}, buffer)) << "half of it is read-only";
  EXPECT_FALSE(space.read(Iova{0xff8}, buffer));
  EXPECT_FALSE(space.read(Iova{0x1ff8}, buffer));
}

TEST(DmaSpace, NeighboursOfOneFileAreOneAndOthersAreCopiedPiecewise) {
  DmaSpace space;
  const Fd file = memfd(0x4000), other = memfd(0x1000);
  for (std::uint64_t page = 0; page < 3; ++page) {  // as a vIOMMU announces them
    ASSERT_TRUE(space.map(Iova{page * 0x1000}, 0x1000, again(file), page * 0x1000, true, true));
  }
  ASSERT_TRUE(space.map(Iova{0x3000}, 0x1000, again(other), 0, true, true));
  EXPECT_EQ(file_mappings(), 2u) << "each file once";
  EXPECT_NE(space.translate(Iova{0x0800}, 0x2800, true), nullptr);
  EXPECT_EQ(space.translate(Iova{0x0800}, 0x2801, true), nullptr) << "the next byte lies elsewhere in memory";
  std::vector<std::byte> in(0x2000), out(0x2000);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<std::byte>(i * 7);
  EXPECT_TRUE(space.write(Iova{0x1800}, in));
  EXPECT_TRUE(space.read(Iova{0x1800}, out));
  EXPECT_EQ(in, out);
  std::byte first{};
  ASSERT_EQ(::pread(other.get(), &first, 1, 0), 1);
  EXPECT_EQ(first, in[0x1800]);
  EXPECT_FALSE(space.read(Iova{0x3800}, std::span(out).first(0x801)));
  EXPECT_FALSE(space.read(Iova{UINT64_MAX - 1}, std::span(out).first(4))) << "wraps";
  ASSERT_TRUE(space.unmap(Iova{0x1000}, 0x1000));
  EXPECT_FALSE(space.read(Iova{0x0800}, std::span(out).first(0x1000))) << "a hole";
}

TEST(DmaSpace, UnmapForgetsRememberedRangesAndReleasesFiles) {
  DmaSpace space;
  const Fd file = memfd(0x2000);
  ASSERT_TRUE(space.map(Iova{0}, 0x1000, again(file), 0, true, true));
  ASSERT_TRUE(space.map(Iova{0x1000}, 0x1000, again(file), 0x1000, true, true));
  EXPECT_NE(space.translate(Iova{0}, 1, true), nullptr);
  const std::uint64_t generation = space.generation();
  ASSERT_TRUE(space.unmap(Iova{0}, 0x1000));
  EXPECT_NE(space.generation(), generation);
  EXPECT_EQ(space.translate(Iova{0}, 1, true), nullptr);
  EXPECT_EQ(file_mappings(), 1u);
  space.clear();
  EXPECT_EQ(file_mappings(), 0u);
  EXPECT_EQ(space.ranges(), 0u);
}

TEST(DmaSpace, AFileThatHasGrownIsMappedAnew) {
  DmaSpace space;
  const Fd file = memfd(0x1000);
  ASSERT_TRUE(space.map(Iova{0}, 0x1000, again(file), 0, true, true));
  ASSERT_EQ(::ftruncate(file.get(), 0x3000), 0);
  ASSERT_TRUE(space.map(Iova{0x1000}, 0x2000, again(file), 0x1000, true, true));
  EXPECT_NE(space.translate(Iova{0x2fff}, 1, true), nullptr);
  std::byte data[32] = {};
  EXPECT_TRUE(space.write(Iova{0xff0}, data));
}

TEST(DmaSpace, FilesAreLimited) {
  DmaSpace space;
  std::uint64_t mapped = 0;
  for (; mapped < 300; ++mapped) {
    if (!space.map(Iova{mapped << 12}, 0x1000, memfd(4096), 0, true, true)) break;
  }
  EXPECT_EQ(mapped, 256u);
  ASSERT_TRUE(space.unmap(Iova{0}, 0x1000));
  EXPECT_TRUE(space.map(Iova{0}, 0x1000, memfd(4096), 0, true, true)) << "one has gone, one may come";
}

TEST(DmaSpace, ATruncatedFileReadsAsZerosAndKillsNobody) {
  DmaSpace space, innocent;
  const Fd file = memfd(0x4000), quiet = memfd(0x1000);
  ASSERT_TRUE(space.map(Iova{0}, 0x4000, again(file), 0, true, true));
  ASSERT_TRUE(innocent.map(Iova{0}, 0x1000, again(quiet), 0, true, true));
  std::byte data[8];
  std::memset(data, 0xaa, sizeof data);
  ASSERT_TRUE(space.write(Iova{0x3000}, data));
  ASSERT_TRUE(innocent.write(Iova{0}, data));
  EXPECT_FALSE(space.truncated());
  ASSERT_EQ(::ftruncate(file.get(), 0x1000), 0);
  EXPECT_TRUE(space.read(Iova{0x3000}, data)) << "reachable, but nothing is there any more";
  EXPECT_EQ(data[0], std::byte{0});
  EXPECT_TRUE(space.truncated());
  EXPECT_TRUE(space.write(Iova{0x3ff8}, data));
  EXPECT_FALSE(innocent.truncated());
  ASSERT_TRUE(innocent.read(Iova{0}, data));
  EXPECT_EQ(data[0], std::byte{0xaa});
  // The same file again, now of its old size: a new mapping, not the one that lost its file.
  ASSERT_EQ(::ftruncate(file.get(), 0x4000), 0);
  ASSERT_TRUE(space.map(Iova{0x10000}, 0x4000, again(file), 0, true, true));
  std::memset(data, 0xbb, sizeof data);
  ASSERT_TRUE(space.write(Iova{0x10000}, data));
  std::byte got{};
  ASSERT_EQ(::pread(file.get(), &got, 1, 0), 1);
  EXPECT_EQ(got, std::byte{0xbb});
}

TEST(DmaSpace, ReadOnlyFilesAreGuardedToo) {
  DmaSpace space;
  const Fd file = memfd(0x2000);
  const Fd read_only(::open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only);
  EXPECT_FALSE(space.map(Iova{0}, 0x2000, again(read_only), 0, true, true)) << "not writable";
  ASSERT_TRUE(space.map(Iova{0}, 0x2000, again(read_only), 0, true, false));
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);
  std::byte data[8];
  EXPECT_TRUE(space.read(Iova{0x1000}, data));
  EXPECT_TRUE(space.truncated());
}

volatile sig_atomic_t foreign_faults = 0;

// The handler of somebody who was there before us must get what is not ours. In a process of its own, since the guard
// is installed once.
TEST(GuardedMappingDeathTest, OtherFaultsGoToThePreviousHandler) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        struct sigaction mine {};
        mine.sa_handler = [](int) { ::_exit(42); };
        ::sigaction(SIGBUS, &mine, nullptr);
        const Fd file = memfd(4096);
        const auto guarded = GuardedMapping::map(file.get(), 4096, true);
        const Fd other = memfd(4096);
        auto* p = static_cast<volatile char*>(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, other.get(), 0));
        (void)::ftruncate(other.get(), 0);
        foreign_faults = p[0];
        ::_exit(1);
      },
      ::testing::ExitedWithCode(42), "");
}

TEST(GuardedMappingDeathTest, WithoutAPreviousHandlerAForeignFaultEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        ::signal(SIGBUS, SIG_DFL);
        const Fd file = memfd(4096);
        const auto guarded = GuardedMapping::map(file.get(), 4096, true);
        const Fd other = memfd(4096);
        auto* p = static_cast<volatile char*>(::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, other.get(), 0));
        (void)::ftruncate(other.get(), 0);
        foreign_faults = p[0];
        ::_exit(1);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace vigia::softnic
