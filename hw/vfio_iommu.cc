// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_iommu.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>

#include "hw/vfio_refusal.h"

namespace vigia::hw {
namespace {

std::uint64_t memlock_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 ? limit.rlim_cur : 0;
}

}  // namespace

TranslatingIommu::TranslatingIommu(std::string name, IommuLimits limits)
    : name_(std::move(name)),
      smallest_page_(std::uint64_t{1} << std::countr_zero(limits.page_sizes)),
      space_(std::move(limits.valid)) {}

Result<Iova> TranslatingIommu::map(const DmaMemory& memory) {
  if (memory.size() % smallest_page_ != 0) {
    return work_error(fmt::format("map {} bytes of DMA memory on {}: its IOMMU's smallest page has {} bytes",
                                  memory.size(), name_, smallest_page_));
  }
  const auto iova = space_.allocate(memory.size(), std::max<std::uint64_t>(memory.page_size(), smallest_page_));
  if (!iova) {
    return work_error(
        fmt::format("map {} bytes of DMA memory on {}: no room in the addresses that its IOMMU can translate",
                    memory.size(), name_));
  }
  if (const int failure = map_in_kernel(memory.data(), *iova, memory.size()); failure != 0) {
    space_.release(*iova, memory.size());
    return vfio_map_refused(name_, memory.size(), mapped_, memlock_limit(), failure);
  }
  mapped_ += memory.size();
  return Iova{*iova};
}

Result<Done> TranslatingIommu::unmap(Iova iova, std::size_t bytes) {
  if (!space_.holds(to_integer(iova), bytes)) {
    return work_error(
        fmt::format("unmap DMA memory on {}: {:#x} + {} is no mapping of it", name_, to_integer(iova), bytes));
  }
  if (const int failure = unmap_in_kernel(to_integer(iova), bytes); failure != 0) {
    return os_error("unmap DMA memory on " + name_, failure);
  }
  space_.release(to_integer(iova), bytes);
  mapped_ -= bytes;
  return Done{};
}

}  // namespace vigia::hw
