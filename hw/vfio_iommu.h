// SPDX-License-Identifier: Apache-2.0
// What stands between a device of Linux VFIO and memory. Three ways: a group in a container (vfio_container.h), iommufd
// (vfio_iommufd.h), and nothing at all (vfio_no_iommu.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/fd.h"
#include "hw/iova_space.h"
#include "hw/result.h"

namespace vigia::hw {

// Owns the kernel's descriptors. Closing them drops every mapping; the kernel does the same for a process that died.
// Not thread-safe.
class VfioIommu {
 public:
  virtual ~VfioIommu() = default;
  // The device, to be closed before this object goes.
  virtual Result<Fd> open_device() = 0;
  // Memory that map() takes.
  virtual Result<DmaMemory> allocate(std::size_t bytes, std::string_view purpose) {
    return DmaMemory::allocate(bytes, purpose);
  }
  // memory must outlive the mapping. Readable and writable by the device.
  virtual Result<Iova> map(const DmaMemory& memory) = 0;
  // False: addresses are physical.
  virtual bool translates() const noexcept { return true; }
  // The device does not touch the range when this returns. Exactly what was mapped, or an error.
  virtual Result<Done> unmap(Iova iova, std::size_t bytes) = 0;
};

// What an IOMMU can do. page_sizes: a bit per size in bytes, never 0.
struct IommuLimits {
  std::uint64_t page_sizes;
  std::vector<IovaSpace::Range> valid;  // empty: the kernel does not tell; everything then
};

// The ways with an IOMMU: chooses addresses inside its limits, on its pages, and keeps what is mapped.
class TranslatingIommu : public VfioIommu {
 public:
  Result<Iova> map(const DmaMemory& memory) final;
  Result<Done> unmap(Iova iova, std::size_t bytes) final;

 protected:
  // name: for messages, "vfio:0000:01:00.0".
  TranslatingIommu(std::string name, IommuLimits limits);
  const std::string& name() const { return name_; }

 private:
  // The system call; 0 or errno.
  virtual int map_in_kernel(const void* memory, std::uint64_t iova, std::uint64_t bytes) = 0;
  virtual int unmap_in_kernel(std::uint64_t iova, std::uint64_t bytes) = 0;

  const std::string name_;
  std::uint64_t smallest_page_;
  std::uint64_t mapped_ = 0;  // bytes
  IovaSpace space_;
};

}  // namespace vigia::hw
