// SPDX-License-Identifier: Apache-2.0
// One mirror rule of the NIC, and the set of frames that it copies, in words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pfdriver/config.h"

namespace vigia::pf {

struct MirrorRule {
  unsigned slot = 0;  // 0..3
  bool pool = false, uplink = false, downlink = false, vlan = false;
  unsigned destination = 0;         // pool
  std::uint64_t sources = 0;        // pools whose received frames are copied
  std::vector<std::uint16_t> vids;  // VLANs whose frames are copied
  friend bool operator==(const MirrorRule&, const MirrorRule&) = default;
};

// What the words depend on besides the rule.
struct ScopeContext {
  std::vector<std::string> titles;                // of pools: "VF 0 (web)"; beyond: "pool 9"
  std::vector<std::uint16_t> port_vlan;           // of pools: the VLAN inserted for it, 0: none
  std::vector<std::vector<std::uint16_t>> vlans;  // of pools: VLANs it is a member of
  bool loopback = false;                          // frames between VFs are switched inside the NIC
  bool promiscuous = false;                       // the port accepts foreign addresses and VLANs
  bool default_pool = false;                      // a frame that no VF wants goes to some pool

  std::string title(unsigned pool) const;
};

// One sentence per type of the rule, "a copy of ..." understood: "rule 0 -> VF 3 (agent): every frame that ...".
std::vector<std::string> effective_scope(const MirrorRule& rule, const ScopeContext& context);

// One JSON object, the same in plans and in live state.
std::string rule_json(const MirrorRule& rule);

}  // namespace vigia::pf
