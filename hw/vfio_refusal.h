// SPDX-License-Identifier: Apache-2.0
// Why a PCI function cannot be driven from user space, and what to do: sentences from facts. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hw/pci_sysfs.h"
#include "hw/result.h"

namespace vigia::hw {

// From sysfs alone, before anything is opened. Empty: nothing speaks against it. A function that does not exist is an
// input error.
std::optional<Error> why_not_vfio(const PciFacts& facts);
// Without an IOMMU: VFIO has to be told that this is meant.
std::optional<Error> why_not_no_iommu(const PciFacts& facts);
std::optional<Error> why_not_uio(const PciFacts& facts);

// error_number: of the open() of /dev/vfio/vfio, or of /dev/vfio/GROUP.
Error vfio_container_refused(const PciFacts& facts, int error_number);
Error vfio_group_refused(const PciFacts& facts, int error_number);
// Some device of the group is held by a driver that is not vfio-pci: names it.
Error vfio_group_not_viable(const PciFacts& facts);
// error_number: of the open() of /dev/vfio/devices/NODE, or of giving it to /dev/iommu.
Error vfio_cdev_refused(const PciFacts& facts, const std::string& node, int error_number);
// error_number: of VFIO_SET_IOMMU.
Error vfio_iommu_refused(const PciFacts& facts, int error_number);

// error_number: of VFIO_IOMMU_MAP_DMA. limit: RLIMIT_MEMLOCK in bytes; mapped: bytes that are mapped already.
Error vfio_map_refused(const std::string& device, std::uint64_t bytes, std::uint64_t mapped, std::uint64_t limit,
                       int error_number);

}  // namespace vigia::hw
