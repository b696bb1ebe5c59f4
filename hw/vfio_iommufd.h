// SPDX-License-Identifier: Apache-2.0
// The way through Linux VFIO since 6.6, without groups: a character device per function, whose addresses /dev/iommu
// translates. Source: the kernel's Documentation/userspace-api/iommufd.rst and driver-api/vfio.rst.
#pragma once

#include <memory>

#include "hw/pci_sysfs.h"
#include "hw/vfio_iommu.h"

namespace vigia::hw {

class VfioIommufd final : public TranslatingIommu {
 public:
  // Whether kernel and system offer this way for the function: both nodes are there and this process may open them.
  static bool offered(const PciFacts& facts);
  static Result<std::unique_ptr<VfioIommu>> open(const PciFacts& facts);

  Result<Fd> open_device() override;

 private:
  VfioIommufd(const std::string& name, Fd iommufd, Fd device, std::uint32_t ioas, IommuLimits limits);

  int map_in_kernel(const void* memory, std::uint64_t iova, std::uint64_t bytes) override;
  int unmap_in_kernel(std::uint64_t iova, std::uint64_t bytes) override;

  Fd iommufd_;
  Fd device_;  // given away by open_device()
  std::uint32_t ioas_;
};

}  // namespace vigia::hw
