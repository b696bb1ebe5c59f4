// SPDX-License-Identifier: Apache-2.0
// What the kernel's VFIO replies say, and replies that make no sense.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <cstring>

#include "hw/physical_memory.h"
#include "hw/sparse_areas.h"
#include "hw/vfio_container.h"

namespace vigia::hw {
namespace {

using Bytes = std::vector<std::byte>;

template <class T>
void put(Bytes& to, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

vfio_info_cap_header head(std::uint16_t id, std::uint32_t next) { return {id, 1, next}; }

// A region reply's fixed part, an unknown capability, then a sparse one with these areas.
Bytes region(std::vector<MappableArea> areas, std::uint32_t count, std::uint32_t next = 0) {
  Bytes b(sizeof(vfio_region_info));
  put(b, head(3, static_cast<std::uint32_t>(b.size()) + 8));
  put(b, head(VFIO_REGION_INFO_CAP_SPARSE_MMAP, next));
  put(b, count);
  put(b, std::uint32_t{0});
  for (const MappableArea& a : areas) put(b, a);
  return b;
}
constexpr std::uint32_t kFirstCap = sizeof(vfio_region_info);

TEST(MappableAreas, Table) {
  constexpr std::uint64_t kSize = 0x4000;
  struct Row {
    const char* what;
    Bytes info;
    std::uint32_t cap;
    std::optional<std::vector<MappableArea>> areas;
  };
  Bytes loop(sizeof(vfio_region_info));
  put(loop, head(3, kFirstCap));
  const Row rows[] = {
      {"no chain", Bytes(32), 0, {{{0, kSize}}}},
      {"two areas", region({{0x1000, 0x1000}, {0x3000, 0x1000}}, 2), kFirstCap, {{{0x1000, 0x1000}, {0x3000, 0x1000}}}},
      {"no area", region({}, 0), kFirstCap, std::vector<MappableArea>{}},
      {"more areas announced than there are", region({{0x1000, 0x1000}}, 2), kFirstCap, {}},
      {"a number of areas that wraps", region({{0x1000, 0x1000}}, ~0u), kFirstCap, {}},
      {"beyond the region", region({{0x3000, 0x2000}}, 1), kFirstCap, {}},
      {"an offset that wraps", region({{~0ull - 0xfff, 0x2000}}, 1), kFirstCap, {}},
      {"not on a page", region({{0x800, 0x1000}}, 1), kFirstCap, {}},
      {"empty area", region({{0x1000, 0}}, 1), kFirstCap, {}},
      {"a chain outside the reply", Bytes(32), 32, {}},
      {"a chain far outside", Bytes(32), 0xffff'fff0, {}},
      {"a chain that bites its tail", loop, kFirstCap, {}},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_mappable_areas(row.info, row.cap, kSize), row.areas) << row.what;
}

Bytes iommu(std::vector<IovaSpace::Range> ranges, std::uint32_t count, std::uint64_t page_sizes = 0x1000) {
  vfio_iommu_type1_info info{};
  info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
  info.iova_pgsizes = page_sizes;
  info.cap_offset = sizeof info;
  Bytes b;
  put(b, info);
  put(b, head(99, static_cast<std::uint32_t>(b.size()) + 8));
  put(b, head(VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 0));
  put(b, count);
  put(b, std::uint32_t{0});
  for (const auto& r : ranges) put(b, r);
  return b;
}

TEST(IommuLimits, RangesAndPageSizes) {
  const auto limits = parse_iommu_limits(iommu({{0, 0xfedfffff}, {0xfef00000, (1ull << 39) - 1}}, 2, 0x40201000));
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->page_sizes, 0x40201000u);
  EXPECT_THAT(limits->valid,
              ::testing::ElementsAre(IovaSpace::Range{0, 0xfedfffff}, IovaSpace::Range{0xfef00000, (1ull << 39) - 1}));
}

TEST(IommuLimits, AnOldKernelTellsNoRanges) {
  Bytes b = iommu({}, 0);
  b.resize(offsetof(vfio_iommu_type1_info, cap_offset));
  const auto limits = parse_iommu_limits(b);
  ASSERT_TRUE(limits);
  EXPECT_TRUE(limits->valid.empty());
}

TEST(IommuLimits, SenselessRepliesAreRefused) {
  EXPECT_FALSE(parse_iommu_limits(Bytes(8))) << "short";
  EXPECT_FALSE(parse_iommu_limits(iommu({{0, 1}}, 2))) << "fewer ranges than announced";
  EXPECT_FALSE(parse_iommu_limits(iommu({{0, 1}}, ~0u)));
  EXPECT_FALSE(parse_iommu_limits(iommu({{2, 1}}, 1))) << "ends before it begins";
  EXPECT_FALSE(parse_iommu_limits(iommu({}, 0))) << "translates nothing";
  EXPECT_FALSE(parse_iommu_limits(iommu({{0, 1}}, 1, 0))) << "no page size";
}

TEST(FindContiguous, Table) {
  constexpr std::size_t kHuge = 2u << 20;
  struct Row {
    const char* what;
    std::vector<std::uint64_t> pages;  // in units of pages
    std::size_t count;
    std::optional<std::vector<std::size_t>> run;
  };
  const Row rows[] = {
      {"ascending", {4, 5, 6}, 3, {{0, 1, 2}}},
      {"descending", {6, 5, 4}, 3, {{2, 1, 0}}},
      {"a run among others", {9, 2, 7, 4, 8, 3}, 3, {{1, 5, 3}}},
      {"a run after a hole", {1, 3, 4}, 2, {{1, 2}}},
      {"no run", {1, 3, 5}, 2, {}},
      {"one page is always a run", {7}, 1, {{0}}},
      {"fewer than wanted", {1, 2}, 3, {}},
      {"none wanted", {1, 2}, 0, {}},
  };
  for (const Row& row : rows) {
    std::vector<std::uint64_t> addresses;
    for (const std::uint64_t p : row.pages) addresses.push_back(p * kHuge);
    EXPECT_EQ(find_contiguous(addresses, kHuge, row.count), row.run) << row.what;
  }
}

}  // namespace
}  // namespace vigia::hw
