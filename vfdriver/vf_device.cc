// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/vf_device.h"

#include <fmt/format.h>

#include <algorithm>

#include "hw/igb/bits.h"
#include "hw/intel/descriptor.h"
#include "hw/intel/mailbox.h"
#include "hw/ixgbe/bits.h"
#include "hw/pci_function.h"
#include "hw/spelling.h"
#include "hw/virtio/pci.h"
#include "vfdriver/file/device.h"
#include "vfdriver/igbvf/device.h"
#include "vfdriver/ixgbevf/device.h"
#include "vfdriver/packet/device.h"
#include "vfdriver/virtio/pci_device.h"
#include "vfdriver/virtio/vhost_user_device.h"
#include "vfdriver/xdp/device.h"

namespace vigia::vf {
namespace {

using Opened = Result<std::unique_ptr<VfDevice>>;

// A chip is a row: what differs between virtual functions is here.
struct Model {
  std::string_view name;
  hw::PciId id;
  Opened (*open)(std::unique_ptr<hw::PciFunction>, const PortOptions&);
  bool receives_only;
};

template <class Driver>
Opened open_vf(std::unique_ptr<hw::PciFunction> function, const PortOptions& options) {
  return Driver::open(std::move(function), options);
}

constexpr std::array kModels{
    Model{"82599 VF", hw::ixgbe::kVfId, &open_vf<ixgbevf::Ixgbevf>, false},
    Model{"82576 VF", hw::igb::kVfId, &open_vf<igbvf::Igbvf>, false},
    Model{"I350 VF", hw::igb::kI350VfId, &open_vf<igbvf::Igbvf>, false},
    Model{"virtio-net", hw::virtio::kNetId, &virtio::open_pci, true},
    Model{"virtio-net", hw::virtio::kTransitionalNetId, &virtio::open_pci, true},
};

bool power_of_two(unsigned n) { return n != 0 && (n & (n - 1)) == 0; }

// Linux offers the same lower bound; the upper one is what the datasheet validates.
constexpr unsigned kMinRing = 64, kMaxRing = hw::intel::kMaxRingBytes / sizeof(hw::intel::RxDescriptor);
constexpr unsigned kMaxBufferKib = 16;            // SRRCTL.BSIZEPACKET
constexpr unsigned kMinMtu = 68, kMaxMtu = 9710;  // IPv4's minimum; 9728 bytes with header and FCS (82599 8.6)
constexpr std::uint16_t kMaxVid = 4094;

Result<Done> ring_is_sane(std::string_view what, unsigned n) {
  if (power_of_two(n) && n >= kMinRing && n <= kMaxRing) return Done{};
  return input_error(
      fmt::format("{} of {} descriptors: use a power of two from {} to {}", what, n, kMinRing, kMaxRing));
}

}  // namespace

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
  if (o.multicast.size() > hw::intel::mbx::kMaxMulticastHashes) {
    return input_error(
        fmt::format("{} multicast groups: name at most {}", o.multicast.size(), hw::intel::mbx::kMaxMulticastHashes));
  }
  for (const hw::Mac& group : o.multicast) {
    if (!group.multicast()) return input_error("multicast group " + group.text() + ": its first byte is even");
  }
  for (const std::uint16_t vid : o.vlans) {
    if (vid > kMaxVid) return input_error(fmt::format("VLAN {}: use 0 to {}", vid, kMaxVid));
  }
  return Done{};
}

bool drives(hw::PciId id) {
  return std::any_of(kModels.begin(), kModels.end(), [id](const Model& model) { return model.id == id; });
}

namespace {

// What only a virtual function with its PF, or a device with descriptors, can be asked for.
Result<Done> receives_only(const std::string& spec, const PortOptions& o) {
  const char* wanted = nullptr;
  if (o.mac) wanted = "an address (--mac)";
  if (!o.vlans.empty()) wanted = "a VLAN (--vlan); frames of every VLAN are received";
  if (!o.multicast.empty()) wanted = "a multicast group (--multicast); frames of every group are received";
  if (o.queues != 1) wanted = "several receive queues (--queues)";
  if (o.tx_ring != 0) wanted = "sending";
  if (wanted == nullptr) return Done{};
  return input_error(fmt::format("device '{}': this kind of port cannot be asked for {}", spec, wanted));
}

Opened open_pci(const std::string& spec, std::string_view, const PortOptions& options) {
  auto function = hw::open_function(spec);
  if (!function) return function.error();
  const hw::PciId id = (*function)->id();
  for (const Model& model : kModels) {
    if (model.id != id) continue;
    if (model.receives_only) {
      if (auto ok = receives_only(spec, options); !ok) return ok.error();
    }
    return model.open(std::move(*function), options);
  }
  std::vector<std::string> known;
  for (const Model& m : kModels) known.push_back(fmt::format("{} {:04x}:{:04x}", m.name, m.id.vendor, m.id.device));
  return input_error(fmt::format("{}: device {:04x}:{:04x} is none that this program drives ({})", spec, id.vendor,
                                 id.device, fmt::join(known, ", ")));
}

template <Opened (*Open)(const std::string&, std::string_view, const PortOptions&)>
Opened open_receive_only(const std::string& spec, std::string_view rest, const PortOptions& options) {
  if (auto ok = receives_only(spec, options); !ok) return ok.error();
  return Open(spec, rest, options);
}

// A way to frames is a row.
struct Scheme {
  std::string_view name, form, what;
  Opened (*open)(const std::string& spec, std::string_view rest, const PortOptions& options);
};
constexpr std::array kSchemes{
    Scheme{"vfio", "vfio:ADDRESS",
           "a PCI function bound to vfio-pci behind an IOMMU: a VF of an 82599, 82576 or I350, in guests a virtio-net "
           "device",
           &open_pci},
    Scheme{"vfio-noiommu", "vfio-noiommu:ADDRESS",
           "the same where there is no IOMMU: root, hugepages, and nothing that keeps the device from other memory",
           &open_pci},
    Scheme{"uio", "uio:ADDRESS", "the same bound to uio_pci_generic, no IOMMU: root, hugepages, no interrupts",
           &open_pci},
    Scheme{"vfio-user", "vfio-user:SOCKET", "a PCI function that a process serves: vigia-softnic", &open_pci},
    Scheme{"vhost-user", "vhost-user:SOCKET[,ring=split|packed]",
           "a vhost-user back end that serves this socket: DPDK's net_vhost, a virtual switch",
           &open_receive_only<&virtio::open_vhost_user>},
    Scheme{"packet", "packet:IF[,promisc=no][,outgoing=no][,stamps=engine]",
           "an interface of the kernel by AF_PACKET: what it receives and sends, as tcpdump sees it",
           &open_receive_only<&packet::open>},
    Scheme{"xdp", "xdp:IF[@QUEUE][,mode=native|generic][,stamps=engine]",
           "an interface of the kernel by AF_XDP: less work for frames that the host then does not see",
           &open_receive_only<&xdp::open>},
    Scheme{"file", "file:PATH[,rate=original|max|Npps|xF][,loop=N]",
           "the frames of a capture file, at the times they had, F times as fast, evenly, or as fast as they are taken",
           &open_receive_only<&file::open>},
};

Error unknown_scheme(std::string_view spec) {
  std::vector<std::string> names, forms;
  for (const Scheme& s : kSchemes) {
    names.emplace_back(s.name);
    forms.emplace_back(s.form);
  }
  const std::size_t colon = spec.find(':');
  const std::string_view word = spec.substr(0, colon), near = hw::nearest(word, names);
  const auto hint = [&]() -> std::string {
    if (near == word) return fmt::format("nothing follows '{}:'", word);
    if (!near.empty() && colon != spec.npos) return fmt::format("did you mean '{}{}'?", near, spec.substr(colon));
    if (spec.find('/') != spec.npos) return fmt::format("for a capture file say 'file:{}'", spec);
    return colon == spec.npos && !spec.empty() ? fmt::format("for an interface say 'packet:{}'", spec)
                                               : fmt::format("no kind of port is called '{}'", word);
  };
  return input_error(fmt::format("device '{}': {}; want {}", spec, hint(), fmt::join(forms, ", ")));
}

}  // namespace

Result<std::unique_ptr<VfDevice>> open_port(std::string_view spec, const PortOptions& options) {
  if (auto ok = validate(options); !ok) return ok.error();
  const std::size_t colon = spec.find(':');
  for (const Scheme& scheme : kSchemes) {
    if (colon == spec.npos || colon + 1 == spec.size() || spec.substr(0, colon) != scheme.name) continue;
    auto device = scheme.open(std::string(spec), spec.substr(colon + 1), options);
    if (!device) return device.error();
    if (auto started = (*device)->start(); !started) return started.error();
    return device;
  }
  return unknown_scheme(spec);
}

std::string port_specs_help() {
  std::string text;
  for (const Scheme& s : kSchemes) text += fmt::format("  {}\n      {}\n", s.form, s.what);
  return text;
}

std::string PortInfo::hardware() const {
  return fmt::format("{}{}{}, {}", driver, mac ? " " : "", mac ? mac->text() : "", device);
}

}  // namespace vigia::vf
