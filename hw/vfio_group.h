// SPDX-License-Identifier: Apache-2.0
// A device's VFIO group, put into a container of its own. Source: the kernel's Documentation/driver-api/vfio.rst.
#pragma once

#include "hw/fd.h"
#include "hw/pci_sysfs.h"
#include "hw/result.h"

namespace vigia::hw {

struct VfioGroup {
  Fd container, group;

  // iommu: VFIO_TYPE1v2_IOMMU or VFIO_NOIOMMU_IOMMU; with the latter the group's node has another name.
  static Result<VfioGroup> open(const PciFacts& facts, unsigned long iommu);
  Result<Fd> open_device(const PciFacts& facts) const;
};

}  // namespace vigia::hw
