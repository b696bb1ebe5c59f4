// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_container.h"

#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace vigia::hw {
namespace {

constexpr std::uint64_t kPage = 4096;

template <class T>
bool take(std::span<const std::byte> from, std::size_t offset, T& value) {
  if (offset > from.size() || from.size() - offset < sizeof value) return false;
  std::memcpy(&value, from.data() + offset, sizeof value);
  return true;
}

// Asks twice: how long, then all of it.
Result<IommuLimits> ask_limits(int container, const std::string& name) {
  const std::string what = "ask for the IOMMU's limits of " + name;
  vfio_iommu_type1_info head{};
  head.argsz = sizeof head;
  if (::ioctl(container, VFIO_IOMMU_GET_INFO, &head) != 0) return os_error(what);
  constexpr std::uint32_t kMost = 1u << 20;
  const std::uint32_t size = std::clamp<std::uint32_t>(head.argsz, sizeof head, kMost);
  std::vector<std::byte> info(size);
  head = {};
  head.argsz = size;
  std::memcpy(info.data(), &head, sizeof head);
  if (::ioctl(container, VFIO_IOMMU_GET_INFO, info.data()) != 0) return os_error(what);
  auto limits = parse_iommu_limits(info);
  if (!limits) return work_error(what + ": the kernel's reply makes no sense");
  return std::move(*limits);
}

}  // namespace

std::optional<IommuLimits> parse_iommu_limits(std::span<const std::byte> info) {
  vfio_iommu_type1_info head{};
  // Kernels before 5.4 end before cap_offset.
  constexpr std::size_t kOldSize = offsetof(vfio_iommu_type1_info, cap_offset);
  if (info.size() < kOldSize) return std::nullopt;
  std::memcpy(&head, info.data(), std::min(info.size(), sizeof head));
  IommuLimits limits{(head.flags & VFIO_IOMMU_INFO_PGSIZES) != 0 ? head.iova_pgsizes : kPage, {}};
  if (limits.page_sizes == 0) return std::nullopt;
  if ((head.flags & VFIO_IOMMU_INFO_CAPS) == 0 || info.size() < sizeof head) return limits;
  std::size_t left = info.size() / sizeof(vfio_info_cap_header) + 1;  // a longer chain bites its tail
  for (std::uint32_t at = head.cap_offset; at != 0;) {
    vfio_info_cap_header cap{};
    if (left-- == 0 || !take(info, at, cap)) return std::nullopt;
    if (cap.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      constexpr std::size_t kFixed = sizeof(vfio_iommu_type1_info_cap_iova_range);
      std::uint32_t count = 0;
      if (!take(info, at + sizeof cap, count) || (info.size() - at) / sizeof(vfio_iova_range) < count) {
        return std::nullopt;
      }
      for (std::uint32_t i = 0; i < count; ++i) {
        vfio_iova_range range{};
        if (!take(info, at + kFixed + i * sizeof range, range) || range.end < range.start) return std::nullopt;
        limits.valid.push_back({range.start, range.end});
      }
      if (count == 0) return std::nullopt;  // an IOMMU that can translate nothing
    }
    at = cap.next;
  }
  return limits;
}

Result<std::unique_ptr<VfioIommu>> VfioContainer::open(const PciFacts& facts) {
  auto group = VfioGroup::open(facts, VFIO_TYPE1v2_IOMMU);
  if (!group) return group.error();
  auto limits = ask_limits(group->container.get(), "vfio:" + facts.address.text());
  if (!limits) return limits.error();
  return std::unique_ptr<VfioIommu>(new VfioContainer(facts, std::move(*group), std::move(*limits)));
}

VfioContainer::VfioContainer(const PciFacts& facts, VfioGroup group, IommuLimits limits)
    : TranslatingIommu("vfio:" + facts.address.text(), std::move(limits)), facts_(facts), group_(std::move(group)) {}

int VfioContainer::map_in_kernel(const void* memory, std::uint64_t iova, std::uint64_t bytes) {
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof map;
  map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<std::uintptr_t>(memory);  // SAFETY: only the kernel dereferences it
  map.iova = iova;
  map.size = bytes;
  return ::ioctl(group_.container.get(), VFIO_IOMMU_MAP_DMA, &map) == 0 ? 0 : errno;
}

int VfioContainer::unmap_in_kernel(std::uint64_t iova, std::uint64_t bytes) {
  vfio_iommu_type1_dma_unmap unmap{};
  unmap.argsz = sizeof unmap;
  unmap.iova = iova;
  unmap.size = bytes;
  return ::ioctl(group_.container.get(), VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 ? 0 : errno;
}

}  // namespace vigia::hw
