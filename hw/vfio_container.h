// SPDX-License-Identifier: Apache-2.0
// One device's way through Linux VFIO: container, group, DMA mappings. The only file that knows that there are groups;
// the iommufd way is to have the same calls. Source: the kernel's Documentation/driver-api/vfio.rst and linux/vfio.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/fd.h"
#include "hw/iova_space.h"
#include "hw/pci_sysfs.h"
#include "hw/result.h"

namespace vigia::hw {

// What VFIO_IOMMU_GET_INFO tells. page_sizes: a bit per size in bytes, never 0.
struct IommuLimits {
  std::uint64_t page_sizes;
  std::vector<IovaSpace::Range> valid;  // empty: the kernel does not tell; everything then
};
// info: the whole reply. Empty: it makes no sense. Pure.
std::optional<IommuLimits> parse_iommu_limits(std::span<const std::byte> info);

// Owns the descriptors. Closing them drops every mapping; the kernel does the same for a process that died.
// Not thread-safe.
class VfioContainer {
 public:
  // A container of its own for the group of this function.
  static Result<std::unique_ptr<VfioContainer>> open(const PciFacts& facts);

  // The device, to be closed before this object goes.
  Result<Fd> open_device();
  // memory must outlive the mapping. Readable and writable by the device.
  Result<Iova> map(const DmaMemory& memory);
  // False: no such mapping. The device does not touch the range when this returns.
  Result<Done> unmap(Iova iova, std::size_t bytes);

 private:
  VfioContainer(std::string name, std::string address, Fd container, Fd group, IommuLimits limits);

  const std::string name_, address_;
  Fd container_, group_;
  std::uint64_t smallest_page_;
  std::uint64_t mapped_ = 0;  // bytes
  IovaSpace space_;
};

}  // namespace vigia::hw
