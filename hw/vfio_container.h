// SPDX-License-Identifier: Apache-2.0
// The way through Linux VFIO that every kernel has: container, group, IOMMU of type 1. Source: the kernel's
// Documentation/driver-api/vfio.rst and linux/vfio.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "hw/pci_sysfs.h"
#include "hw/vfio_group.h"
#include "hw/vfio_iommu.h"

namespace vigia::hw {

// What VFIO_IOMMU_GET_INFO tells. info: the whole reply. Empty: it makes no sense. Pure.
std::optional<IommuLimits> parse_iommu_limits(std::span<const std::byte> info);

class VfioContainer final : public TranslatingIommu {
 public:
  // A container of its own for the group of this function.
  static Result<std::unique_ptr<VfioIommu>> open(const PciFacts& facts);

  Result<Fd> open_device() override { return group_.open_device(facts_); }

 private:
  VfioContainer(const PciFacts& facts, VfioGroup group, IommuLimits limits);

  int map_in_kernel(const void* memory, std::uint64_t iova, std::uint64_t bytes) override;
  int unmap_in_kernel(std::uint64_t iova, std::uint64_t bytes) override;

  const PciFacts facts_;
  VfioGroup group_;
};

}  // namespace vigia::hw
