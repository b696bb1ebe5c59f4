// SPDX-License-Identifier: Apache-2.0
#include "hw/physical_mappings.h"

#include <fmt/format.h>
#include <unistd.h>

#include "hw/physical_memory.h"

namespace vigia::hw {

Result<Iova> PhysicalMappings::map(const DmaMemory& memory) {
  const auto ordinary = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (memory.page_size() <= ordinary) {
    return work_error(
        fmt::format("map {} bytes of DMA memory on {}: they lie on ordinary pages, which the kernel may "
                    "move; as root: echo 64 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
                    memory.size(), device_));
  }
  const auto pages = physical_addresses(memory.bytes(), memory.page_size());
  if (!pages) return pages.error();
  for (std::size_t i = 0; i < pages->size(); ++i) {
    if ((*pages)[i] != pages->front() + i * memory.page_size()) {
      return work_error(fmt::format("map {} bytes of DMA memory on {}: they are not contiguous in physical memory",
                                    memory.size(), device_));
    }
  }
  const std::lock_guard guard(lock_);
  dma_[pages->front()] = memory.size();
  return Iova{pages->front()};
}

Result<Done> PhysicalMappings::unmap(Iova iova, std::size_t bytes) {
  const std::lock_guard guard(lock_);
  const auto found = dma_.find(to_integer(iova));
  if (found == dma_.end() || found->second != bytes) {
    return work_error(
        fmt::format("unmap DMA memory on {}: {:#x} + {} is no mapping of it", device_, to_integer(iova), bytes));
  }
  dma_.erase(found);
  return Done{};
}

bool PhysicalMappings::empty() const {
  const std::lock_guard guard(lock_);
  return dma_.empty();
}

}  // namespace vigia::hw
