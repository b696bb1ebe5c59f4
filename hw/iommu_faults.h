// SPDX-License-Identifier: Apache-2.0
// What the kernel's log says about accesses that an IOMMU has stopped: the only place where Linux tells of them. A
// device does not learn that a write of its own went nowhere.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "hw/fd.h"
#include "hw/pci_address.h"

namespace vigia::hw {

// Whether a line of the log reports one access by that function: Linux's intel-iommu and amd-iommu, 4.19 to 6.12. Pure.
bool is_iommu_fault(std::string_view line, const PciAddress& address);

// The reports about one function from the moment of opening on. Linux leaves some out when there are more than a few a
// second: a lower bound. Not thread-safe.
class IommuFaults {
 public:
  // log: another file than /dev/kmsg, for tests. Null: it cannot be read, which takes root on most systems.
  static std::unique_ptr<IommuFaults> open(const PciAddress& address, const std::string& log = "/dev/kmsg");

  // Reads what is new. Does not wait.
  std::uint64_t count();

 private:
  IommuFaults(Fd log, const PciAddress& address) : log_(std::move(log)), address_(address) {}

  Fd log_;
  PciAddress address_;
  std::uint64_t faults_ = 0;
};

}  // namespace vigia::hw
