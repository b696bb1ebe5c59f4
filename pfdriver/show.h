// SPDX-License-Identifier: Apache-2.0
// The live state of a port, from its registers only. The config lends names, nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hw/mmio.h"
#include "pfdriver/capabilities.h"
#include "pfdriver/config.h"
#include "pfdriver/mirror_rule.h"
#include "pfdriver/registers.h"

namespace vigia::pf {

struct VfView {
  unsigned index = 0;
  std::vector<hw::Mac> macs;         // addresses that lead to its pool
  std::vector<std::uint16_t> vlans;  // of which it is a member
  std::optional<std::uint16_t> port_vlan;
  bool spoof_check = false, vlan_spoof_check = false;
  bool receive = false, transmit = false;
  bool broadcast = false, multicast_hash = false, all_multicast = false, untagged = false;
  bool drop_when_full = false;  // every queue
  double rate_mbps = 0;         // 0: none
};

struct PortView {
  bool up = false;  // a driver is there and the receiver runs
  bool link = false;
  unsigned max_frame = 0;  // bytes with FCS
  bool loopback = false, vlan_filter = false, promiscuous = false, all_multicast = false;
  std::optional<unsigned> default_pool;
  std::vector<VfView> vfs;
  std::vector<MirrorRule> rules;
  std::vector<std::string> scopes;
};

// Reads the device.
PortView show(hw::Bar& bar, const Capabilities& nic, const PfConfig& names);
// The same from an image, without what only live registers tell (up, link).
PortView decode(const Image& image, const Capabilities& nic, const PfConfig& names);

std::string show_text(const PortView& view, const PfConfig& names);
std::string show_json(const PortView& view, const PfConfig& names);

}  // namespace vigia::pf
