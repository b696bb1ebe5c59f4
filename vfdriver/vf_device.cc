// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/vf_device.h"

#include <fmt/format.h>

#include <algorithm>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/descriptor.h"
#include "hw/pci_function.h"
#include "vfdriver/ixgbevf/device.h"

namespace vigia::vf {
namespace {

// A chip is a row: what differs between virtual functions is here.
struct Model {
  hw::PciId id;
  Result<std::unique_ptr<VfDevice>> (*open)(std::unique_ptr<hw::PciFunction>, const PortOptions&);
};

Result<std::unique_ptr<VfDevice>> open_ixgbevf(std::unique_ptr<hw::PciFunction> function, const PortOptions& options) {
  return ixgbevf::Ixgbevf::open(std::move(function), options);
}

constexpr std::array kModels{
    Model{hw::ixgbe::kVfId, &open_ixgbevf},
};

bool power_of_two(unsigned n) { return n != 0 && (n & (n - 1)) == 0; }

// Linux offers the same lower bound; the upper one is what the datasheet validates.
constexpr unsigned kMinRing = 64, kMaxRing = hw::ixgbe::kMaxRingBytes / sizeof(hw::ixgbe::RxDescriptor);
constexpr unsigned kMaxBufferKib = 16;            // SRRCTL.BSIZEPACKET
constexpr unsigned kMinMtu = 68, kMaxMtu = 9710;  // IPv4's minimum; 9728 bytes with header and FCS (82599 8.6)
constexpr std::uint16_t kMaxVid = 4094;

Result<Done> ring_is_sane(std::string_view what, unsigned n) {
  if (power_of_two(n) && n >= kMinRing && n <= kMaxRing) return Done{};
  return input_error(
      fmt::format("{} of {} descriptors: use a power of two from {} to {}", what, n, kMinRing, kMaxRing));
}

Result<Done> validate(const PortOptions& o) {
  if (o.queues != 1 && o.queues != 2 && o.queues != 4) {
    return input_error(fmt::format("{} receive queues: use 1, 2 or 4", o.queues));
  }
  if (auto ok = ring_is_sane("receive ring", o.rx_ring); !ok) return ok;
  if (o.tx_ring != 0) {
    if (auto ok = ring_is_sane("transmit ring", o.tx_ring); !ok) return ok;
  }
  if (o.rx_buffer_kib < 1 || o.rx_buffer_kib > kMaxBufferKib) {
    return input_error(fmt::format("receive buffers of {} KiB: use 1 to {}", o.rx_buffer_kib, kMaxBufferKib));
  }
  if (o.mtu < kMinMtu || o.mtu > kMaxMtu) {
    return input_error(fmt::format("MTU {}: use {} to {}", o.mtu, kMinMtu, kMaxMtu));
  }
  if (o.mac && (o.mac->multicast() || o.mac->zero())) {
    return input_error("address " + o.mac->text() + ": not a unicast address");
  }
  for (const std::uint16_t vid : o.vlans) {
    if (vid > kMaxVid) return input_error(fmt::format("VLAN {}: use 0 to {}", vid, kMaxVid));
  }
  return Done{};
}

}  // namespace

bool drives(hw::PciId id) {
  return std::any_of(kModels.begin(), kModels.end(), [id](const Model& model) { return model.id == id; });
}

Result<std::unique_ptr<VfDevice>> open_port(std::string_view spec, const PortOptions& options) {
  if (auto ok = validate(options); !ok) return ok.error();
  auto function = hw::open_function(spec);
  if (!function) return function.error();
  const hw::PciId id = (*function)->id();
  for (const Model& model : kModels) {
    if (model.id != id) continue;
    auto device = model.open(std::move(*function), options);
    if (!device) return device.error();
    if (auto started = (*device)->start(); !started) return started.error();
    return device;
  }
  return input_error(fmt::format("{}: device {:04x}:{:04x} is none that this program drives (82599 VF, {:04x}:{:04x})",
                                 spec, id.vendor, id.device, hw::ixgbe::kVfId.vendor, hw::ixgbe::kVfId.device));
}

}  // namespace vigia::vf
