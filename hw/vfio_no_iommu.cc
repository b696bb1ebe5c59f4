// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_no_iommu.h"

#include <linux/vfio.h>

namespace vigia::hw {

Result<std::unique_ptr<VfioIommu>> VfioNoIommu::open(const PciFacts& facts) {
  auto group = VfioGroup::open(facts, VFIO_NOIOMMU_IOMMU);
  if (!group) return group.error();
  return std::unique_ptr<VfioIommu>(new VfioNoIommu(facts, std::move(*group)));
}

VfioNoIommu::VfioNoIommu(const PciFacts& facts, VfioGroup group)
    : facts_(facts), group_(std::move(group)), mappings_("vfio-noiommu:" + facts.address.text()) {}

Result<DmaMemory> VfioNoIommu::allocate(std::size_t bytes, std::string_view purpose) {
  return DmaMemory::allocate_contiguous(bytes, purpose);
}

}  // namespace vigia::hw
