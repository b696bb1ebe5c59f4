// SPDX-License-Identifier: Apache-2.0
// What a device without an IOMMU may reach: by our bookkeeping alone.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "hw/dma_memory.h"
#include "hw/result.h"

namespace vigia::hw {

// Safe from several threads.
class PhysicalMappings {
 public:
  // device: for messages.
  explicit PhysicalMappings(std::string device) : device_(std::move(device)) {}

  // Its physical address. Refused unless the memory is contiguous and on hugepages: ordinary pages may move.
  Result<Iova> map(const DmaMemory& memory);
  // Exactly what was mapped, or an error.
  Result<Done> unmap(Iova iova, std::size_t bytes);
  bool empty() const;

 private:
  const std::string device_;
  mutable std::mutex lock_;                   // guards what follows
  std::map<std::uint64_t, std::size_t> dma_;  // address -> bytes
};

}  // namespace vigia::hw
