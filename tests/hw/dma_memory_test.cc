// SPDX-License-Identifier: Apache-2.0
#include "hw/dma_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <type_traits>

namespace vigia::hw {
namespace {

static_assert(!std::is_copy_constructible_v<DmaMemory> && std::is_nothrow_move_constructible_v<DmaMemory>);

TEST(DmaMemory, RefusesSizesThatCannotBe) {
  EXPECT_FALSE(DmaMemory::allocate(0, "none"));
  EXPECT_FALSE(DmaMemory::allocate(SIZE_MAX, "wraps"));
  const auto huge = DmaMemory::allocate(std::size_t{1} << 50, "petabyte");
  ASSERT_FALSE(huge);
  EXPECT_NE(huge.error().text.find("petabyte"), std::string::npos) << huge.error().text;
  EXPECT_EQ(huge.error().exit_status(), 1);
}

TEST(DmaMemory, IsZeroWholePagesAndShared) {
  auto memory = DmaMemory::allocate(5000, "ring");
  ASSERT_TRUE(memory) << memory.error().text;
  EXPECT_GE(memory->size(), 8192u);
  EXPECT_EQ(memory->size() % memory->page_size(), 0u);
  EXPECT_TRUE(
      std::all_of(memory->bytes().begin(), memory->bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
  memory->data()[4999] = std::byte{7};
  void* again = ::mmap(nullptr, memory->size(), PROT_READ, MAP_SHARED, memory->fd(), 0);
  ASSERT_NE(again, MAP_FAILED);
  EXPECT_EQ(static_cast<std::byte*>(again)[4999], std::byte{7});
  ::munmap(again, memory->size());
}

TEST(DmaMemory, CannotChangeItsSize) {
  auto memory = DmaMemory::allocate(8192, "sealed");
  ASSERT_TRUE(memory);
  EXPECT_NE(::ftruncate(memory->fd(), 4096), 0);
  EXPECT_NE(::ftruncate(memory->fd(), static_cast<off_t>(memory->size() * 2)), 0);
}

TEST(DmaMemory, AllPagesArePresent) {
  auto memory = DmaMemory::allocate(1u << 20, "present");
  ASSERT_TRUE(memory);
  std::vector<unsigned char> resident(memory->size() / 4096);
  ASSERT_EQ(::mincore(memory->data(), memory->size(), resident.data()), 0);
  EXPECT_TRUE(std::all_of(resident.begin(), resident.end(), [](unsigned char c) { return (c & 1) != 0; }));
}

TEST(DmaMemory, MovesAndUnmapsOnce) {
  auto a = DmaMemory::allocate(4096, "a");
  auto b = DmaMemory::allocate(4096, "b");
  ASSERT_TRUE(a && b);
  a->data()[0] = std::byte{1};
  DmaMemory moved = std::move(*a);
  EXPECT_EQ(moved.data()[0], std::byte{1});
  EXPECT_EQ(a->data(), nullptr);
  moved = std::move(*b);
  EXPECT_EQ(moved.data()[0], std::byte{0});
}

}  // namespace
}  // namespace vigia::hw
