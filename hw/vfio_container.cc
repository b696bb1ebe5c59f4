// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_container.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>

#include "hw/vfio_refusal.h"

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

std::uint64_t memlock_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 ? limit.rlim_cur : 0;
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

Result<std::unique_ptr<VfioContainer>> VfioContainer::open(const PciFacts& facts) {
  const std::string name = "vfio:" + facts.address.text();
  Fd container(::open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
  if (!container) return vfio_container_refused(facts, errno);
  const int version = ::ioctl(container.get(), VFIO_GET_API_VERSION);
  if (version != VFIO_API_VERSION) {
    return work_error(
        fmt::format("open {}: the kernel speaks VFIO {}, this program speaks {}", name, version, VFIO_API_VERSION));
  }
  const std::string node = fmt::format("/dev/vfio/{}", facts.group.value());
  Fd group(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  if (!group) return vfio_group_refused(facts, errno);
  vfio_group_status status{};
  status.argsz = sizeof status;
  if (::ioctl(group.get(), VFIO_GROUP_GET_STATUS, &status) != 0) return os_error("ask for the state of " + node);
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) return vfio_group_not_viable(facts);
  const int fd = container.get();
  if (::ioctl(group.get(), VFIO_GROUP_SET_CONTAINER, &fd) != 0) return vfio_iommu_refused(facts, errno);
  if (::ioctl(fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) != 0) return vfio_iommu_refused(facts, errno);
  auto limits = ask_limits(fd, name);
  if (!limits) return limits.error();
  return std::unique_ptr<VfioContainer>(
      new VfioContainer(name, facts.address.text(), std::move(container), std::move(group), std::move(*limits)));
}

VfioContainer::VfioContainer(std::string name, std::string address, Fd container, Fd group, IommuLimits limits)
    : name_(std::move(name)),
      address_(std::move(address)),
      container_(std::move(container)),
      group_(std::move(group)),
      smallest_page_(std::uint64_t{1} << std::countr_zero(limits.page_sizes)),
      space_(std::move(limits.valid)) {}

Result<Fd> VfioContainer::open_device() {
  Fd device(::ioctl(group_.get(), VFIO_GROUP_GET_DEVICE_FD, address_.c_str()));
  if (!device) return os_error(fmt::format("open {} in its group", name_));
  return device;
}

Result<Iova> VfioContainer::map(const DmaMemory& memory) {
  if (memory.size() % smallest_page_ != 0) {
    return work_error(fmt::format("map {} bytes of DMA memory on {}: its IOMMU's smallest page has {} bytes",
                                  memory.size(), name_, smallest_page_));
  }
  const auto iova = space_.allocate(memory.size(), std::max<std::uint64_t>(memory.page_size(), smallest_page_));
  if (!iova) {
    return work_error(
        fmt::format("map {} bytes of DMA memory on {}: no room in the addresses that its IOMMU can "
                    "translate",
                    memory.size(), name_));
  }
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof map;
  map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<std::uintptr_t>(memory.data());  // SAFETY: only the kernel dereferences it
  map.iova = *iova;
  map.size = memory.size();
  if (::ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &map) != 0) {
    const int failure = errno;
    space_.release(*iova, memory.size());
    return vfio_map_refused(name_, memory.size(), mapped_, memlock_limit(), failure);
  }
  mapped_ += memory.size();
  return Iova{*iova};
}

Result<Done> VfioContainer::unmap(Iova iova, std::size_t bytes) {
  if (!space_.holds(to_integer(iova), bytes)) {
    return work_error(
        fmt::format("unmap DMA memory on {}: {:#x} + {} is no mapping of it", name_, to_integer(iova), bytes));
  }
  vfio_iommu_type1_dma_unmap unmap{};
  unmap.argsz = sizeof unmap;
  unmap.iova = to_integer(iova);
  unmap.size = bytes;
  if (::ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &unmap) != 0) {
    return os_error("unmap DMA memory on " + name_);
  }
  space_.release(to_integer(iova), bytes);
  mapped_ -= bytes;
  return Done{};
}

}  // namespace vigia::hw
