// SPDX-License-Identifier: Apache-2.0
// The live state of a port, from its registers only. The config lends names, nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mmio.h"
#include "hw/result.h"
#include "pfdriver/capabilities.h"
#include "pfdriver/config.h"
#include "pfdriver/mirror_rule.h"
#include "pfdriver/registers.h"

namespace vigia::pf {

// What the manager knows of the driver of a VF, since its last reset; no register tells it.
struct VfDriverView {
  bool ready = false;              // its RESET has been answered
  std::string api;                 // of the mailbox: "1.3"
  bool wants_promiscuous = false;  // it asked for unicast promiscuous mode, in vain
  std::uint64_t refusals = 0;      // of its requests, since the manager came up
  std::string last_refusal;
  friend bool operator==(const VfDriverView&, const VfDriverView&) = default;
};

struct VfView {
  unsigned index = 0;
  std::vector<hw::Mac> macs;         // addresses that lead to its pool
  std::vector<std::uint16_t> vlans;  // of which it is a member
  std::optional<std::uint16_t> port_vlan;
  bool spoof_check = false, vlan_spoof_check = false;
  bool receive = false, transmit = false;
  bool broadcast = false, multicast_hash = false, all_multicast = false, untagged = false;
  bool drop_when_full = false;         // every queue
  double rate_mbps = 0;                // 0: none
  std::optional<VfDriverView> driver;  // none: only registers were read
};

// A register that does not hold what the manager wrote: somebody else did, or the device was reset.
struct Drift {
  std::string name, meaning;  // "PFDTXGSWC", what it decides
  std::uint32_t wanted = 0, found = 0;
  friend bool operator==(const Drift&, const Drift&) = default;
};

// A setting that somebody else changed on purpose: reported, not taken back.
struct Overruled {
  std::string what, wanted, found;
  friend bool operator==(const Overruled&, const Overruled&) = default;
};

// A mirror by an interface of the host or its representor: it makes a copy of its own, whatever other mirrors and rules
// do with the same frame.
struct PortMirror {
  unsigned from = 0, to = 0;            // VFs
  Direction direction = Direction::rx;  // seen from the tenant: rx or tx
  friend bool operator==(const PortMirror&, const PortMirror&) = default;
};

struct PortView {
  GeneratorKind generator = GeneratorKind::native;
  bool up = false;  // a driver is there and the receiver runs
  bool link = false;
  unsigned max_frame = 0;  // bytes with FCS
  bool loopback = false, vlan_filter = false, promiscuous = false, all_multicast = false;
  std::optional<unsigned> default_pool;
  std::vector<VfView> vfs;
  std::vector<MirrorRule> rules;
  std::vector<PortMirror> mirrors;
  std::vector<std::string> scopes;
  // What only the manager knows; empty when only registers were read.
  std::vector<MirrorRule> wanted_rules;
  std::vector<Drift> drift;  // at most kMostDrift
  std::vector<Overruled> overruled;
  std::uint64_t drifts = 0;  // found undone and set again, since the manager came up
};
inline constexpr std::size_t kMostDrift = 32;

// Reads the device; image: what read_image() has just given.
PortView show(hw::Bar& bar, const Image& image, const Capabilities& nic, const PfConfig& names);
// The same from an image, without what only live registers tell (up, link).
PortView decode(const Image& image, const Capabilities& nic, const PfConfig& names);

std::string show_text(const PortView& view, const PfConfig& names);
std::string show_json(const PortView& view, const PfConfig& names);
// Reads show_json() back, as a reply of another process: what is not as it was written is a work error.
Result<PortView> parse_show(std::string_view json);

}  // namespace vigia::pf
