// SPDX-License-Identifier: Apache-2.0
// A virtio device on PCI: virtio 1.2, 4.1. Facts only.
#pragma once

#include <cstdint>

#include "hw/pci_function.h"

namespace vigia::hw::virtio {

constexpr PciId kNetId{0x1af4, 0x1041};              // a network device without the legacy interface
constexpr PciId kTransitionalNetId{0x1af4, 0x1000};  // with it; a driver that knows version 1 leaves it alone

// PCI configuration space (PCI Local Bus 3.0, 6.7): where the list of capabilities begins.
constexpr std::uint32_t kPciStatus = 0x06, kPciStatusHasList = 1u << 4, kPciListAt = 0x34;
constexpr std::uint32_t kVendorCapability = 0x09;

// 4.1.4: offsets in a capability, and its kinds.
namespace Capability {
constexpr std::uint32_t next = 1, length = 2, kind = 3, bar = 4, offset = 8, bytes = 12;
constexpr std::uint32_t notify_multiplier = 16;  // kind notify only
constexpr std::uint32_t data = 16;               // kind pci only: the window itself
constexpr std::uint8_t common = 1, notify = 2, device = 4, pci = 5;
}  // namespace Capability

// 4.1.4.3: offsets in the common configuration; widths in bytes where not 4.
namespace Common {
constexpr std::uint32_t device_feature_select = 0, device_feature = 4, driver_feature_select = 8, driver_feature = 12;
constexpr std::uint32_t status = 20;        // 1
constexpr std::uint32_t queue_select = 22;  // 2, as all to queue_notify_offset
constexpr std::uint32_t queue_size = 24, queue_vector = 26, queue_enable = 28, queue_notify_offset = 30;
constexpr std::uint32_t queue_descriptors = 32, queue_driver = 40, queue_device = 48;  // 8, in halves of 4
constexpr std::uint32_t bytes = 56;
constexpr std::uint16_t no_vector = 0xffff;
}  // namespace Common

// 2.1
namespace Status {
constexpr std::uint8_t acknowledge = 1, driver = 2, driver_ok = 4, features_ok = 8, needs_reset = 64, failed = 128;
}  // namespace Status

// 5.1.4: the network device's own configuration.
namespace NetConfig {
constexpr std::uint32_t mac = 0, status = 6, mtu = 10;
constexpr std::uint16_t link_up = 1;
}  // namespace NetConfig

}  // namespace vigia::hw::virtio
