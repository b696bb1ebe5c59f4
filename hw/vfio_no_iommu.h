// SPDX-License-Identifier: Apache-2.0
// VFIO's no-IOMMU mode: interrupts and resets of VFIO, and nothing that keeps the device from memory that is not ours.
// Only for those who ask for it by name. Source: the kernel's drivers/vfio/Kconfig (VFIO_NOIOMMU).
#pragma once

#include <memory>

#include "hw/physical_mappings.h"
#include "hw/vfio_group.h"
#include "hw/vfio_iommu.h"

namespace vigia::hw {

// Addresses of the device are physical addresses; memory has to lie on hugepages, one after the other.
class VfioNoIommu final : public VfioIommu {
 public:
  static Result<std::unique_ptr<VfioIommu>> open(const PciFacts& facts);

  Result<Fd> open_device() override { return group_.open_device(facts_); }
  Result<DmaMemory> allocate(std::size_t bytes, std::string_view purpose) override;
  Result<Iova> map(const DmaMemory& memory) override { return mappings_.map(memory); }
  bool translates() const noexcept override { return false; }
  Result<Done> unmap(Iova iova, std::size_t bytes) override { return mappings_.unmap(iova, bytes); }

 private:
  VfioNoIommu(const PciFacts& facts, VfioGroup group);

  const PciFacts facts_;
  VfioGroup group_;
  PhysicalMappings mappings_;
};

}  // namespace vigia::hw
