// SPDX-License-Identifier: Apache-2.0
#include "hw/iova_space.h"

#include <gtest/gtest.h>

namespace vigia::hw {
namespace {

constexpr std::uint64_t kPage = 4096, kGiB = 1ull << 30;

TEST(IovaSpace, FirstFitInsideTheValidRanges) {
  struct Row {
    const char* what;
    std::vector<IovaSpace::Range> valid;
    std::vector<std::uint64_t> wanted;  // lengths, aligned to a page
    std::vector<std::optional<std::uint64_t>> got;
  };
  constexpr auto kNone = std::nullopt;
  const Row rows[] = {
      {"everything: above 4 GiB", {}, {kPage, kPage}, {4 * kGiB, 4 * kGiB + kPage}},
      {"an x86 IOMMU with its hole for interrupts",
       {{0, 0xfedfffff}, {0xfef00000, (1ull << 39) - 1}},
       {kPage},
       {4 * kGiB}},
      {"32 bits: below 4 GiB, never 0", {{0, 0xffff'ffff}}, {kPage, 2 * kPage}, {kPage, 2 * kPage}},
      {"only page 0: nothing", {{0, kPage - 1}}, {kPage}, {kNone}},
      {"the preferred part is too small, the rest is taken",
       {{0x10000, 0x1ffff}, {4 * kGiB, 4 * kGiB + kPage - 1}},
       {2 * kPage, kPage},
       {0x10000, 4 * kGiB}},
      {"unsorted, overlapping, one empty",
       {{8 * kGiB, 9 * kGiB}, {5, 4}, {6 * kGiB, 8 * kGiB + 5}},
       {kPage},
       {6 * kGiB}},
      {"a range ends at 2^64", {{~0ull - 2 * kPage + 1, ~0ull}}, {2 * kPage, kPage}, {~0ull - 2 * kPage + 1, kNone}},
      {"one byte more than there is", {{4 * kGiB, 4 * kGiB + kPage - 1}}, {kPage + 1, kPage}, {kNone, 4 * kGiB}},
      {"a range that begins askew is aligned", {{4 * kGiB + 1, 5 * kGiB}}, {kPage}, {4 * kGiB + kPage}},
      {"alignment would leave the space", {{~0ull - 10, ~0ull}}, {1}, {kNone}},
      {"no length", {}, {0}, {kNone}},
      {"more than there can be", {}, {~0ull}, {kNone}},
  };
  for (const Row& row : rows) {
    IovaSpace space(row.valid);
    for (std::size_t i = 0; i < row.wanted.size(); ++i) {
      EXPECT_EQ(space.allocate(row.wanted[i], kPage), row.got[i]) << row.what << ", allocation " << i;
    }
  }
}

TEST(IovaSpace, AlignsToThePagesOfTheMemory) {
  constexpr std::uint64_t kHuge = 2u << 20;
  IovaSpace space;
  EXPECT_EQ(space.allocate(kPage, kPage), 4 * kGiB);
  EXPECT_EQ(space.allocate(kHuge, kHuge), 4 * kGiB + kHuge);
  EXPECT_EQ(space.allocate(kPage, kPage), 4 * kGiB + kPage) << "the gap before it";
}

TEST(IovaSpace, AGapIsUsedAgainWhenLargeEnough) {
  IovaSpace space;
  const auto a = space.allocate(2 * kPage, kPage), b = space.allocate(kPage, kPage);
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(space.release(*a, kPage)) << "not the length it was given with";
  EXPECT_FALSE(space.release(*a + kPage, kPage));
  EXPECT_TRUE(space.release(*a, 2 * kPage));
  EXPECT_FALSE(space.release(*a, 2 * kPage)) << "twice";
  EXPECT_EQ(space.allocate(3 * kPage, kPage), *b + kPage) << "the gap is too small";
  EXPECT_EQ(space.allocate(2 * kPage, kPage), *a);
  EXPECT_TRUE(space.holds(*b, kPage));
  EXPECT_EQ(space.allocated().size(), 3u);
}

}  // namespace
}  // namespace vigia::hw
