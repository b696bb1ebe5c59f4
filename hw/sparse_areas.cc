// SPDX-License-Identifier: Apache-2.0
#include "hw/sparse_areas.h"

#include <linux/vfio.h>

#include <cstring>

namespace vigia::hw {
namespace {

constexpr std::uint64_t kPage = 4096;

// The T at offset; false when it does not lie inside.
template <class T>
bool take(std::span<const std::byte> from, std::size_t offset, T& value) {
  if (offset > from.size() || from.size() - offset < sizeof value) return false;
  std::memcpy(&value, from.data() + offset, sizeof value);
  return true;
}

}  // namespace

std::optional<std::vector<MappableArea>> parse_mappable_areas(std::span<const std::byte> info, std::uint32_t cap_offset,
                                                              std::uint64_t region_size) {
  // Each capability has 8 bytes or more: a longer chain bites its tail.
  std::size_t left = info.size() / sizeof(vfio_info_cap_header) + 1;
  for (std::uint32_t at = cap_offset; at != 0;) {
    vfio_info_cap_header head{};
    if (left-- == 0 || !take(info, at, head)) return std::nullopt;
    if (head.id != VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
      at = head.next;
      continue;
    }
    constexpr std::size_t kFixed = 16;  // head, number of areas, reserved
    std::uint32_t count = 0;
    if (!take(info, at + sizeof head, count) || (info.size() - at) / sizeof(vfio_region_sparse_mmap_area) < count) {
      return std::nullopt;
    }
    std::vector<MappableArea> areas;
    for (std::uint32_t i = 0; i < count; ++i) {
      MappableArea area{};
      if (!take(info, at + kFixed + i * sizeof area, area)) return std::nullopt;
      if (area.size == 0 || area.offset % kPage != 0 || area.size % kPage != 0 || area.offset > region_size ||
          area.size > region_size - area.offset) {
        return std::nullopt;
      }
      areas.push_back(area);
    }
    return areas;
  }
  return std::vector<MappableArea>{{0, region_size}};
}

}  // namespace vigia::hw
