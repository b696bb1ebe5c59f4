// SPDX-License-Identifier: Apache-2.0
// The configuration structures of a virtio PCI device (virtio 1.2, 4.1.4), reached through the window that every device
// has in its PCI configuration space (4.1.4.9): bytes and half words at their own width, which mapped registers of
// 32 bits would not give.
#pragma once

#include <cstdint>
#include <string>

#include "hw/pci_function.h"
#include "hw/result.h"

namespace vigia::vf::virtio {

// Where a structure lies. bytes is 0 where the device has none.
struct Place {
  std::uint8_t bar = 0;
  std::uint32_t offset = 0, bytes = 0;
};

// One thread at a time.
class PciConfig {
 public:
  // Walks the capabilities. A device without what 4.1.4 demands is refused.
  static Result<PciConfig> find(hw::PciFunction& function);

  // Bytes 1, 2 or 4 at an offset of the common structure, of the network device's own.
  Result<std::uint32_t> common(std::uint32_t offset, unsigned bytes);
  Result<Done> set_common(std::uint32_t offset, unsigned bytes, std::uint32_t value);
  Result<std::uint32_t> device(std::uint32_t offset, unsigned bytes);

  const Place& notify() const noexcept { return notify_; }
  std::uint32_t notify_multiplier() const noexcept { return notify_multiplier_; }

 private:
  explicit PciConfig(hw::PciFunction& function) : function_(&function) {}
  Result<Done> read_capability(std::uint32_t at);
  Result<Done> point(const Place& place, std::uint32_t offset, unsigned bytes);
  Result<std::uint32_t> read(const Place& place, std::uint32_t offset, unsigned bytes);

  hw::PciFunction* function_;
  Place common_, notify_, device_;
  std::uint32_t notify_multiplier_ = 0, window_ = 0;
};

}  // namespace vigia::vf::virtio
