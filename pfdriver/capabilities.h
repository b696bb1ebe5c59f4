// SPDX-License-Identifier: Apache-2.0
// What each NIC can and cannot do, as data: a NIC is a row, not a branch (architecture 5.3).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "hw/pci_function.h"

namespace vigia::pf {

// How the NIC's queues are divided into pools.
struct PoolMode {
  unsigned pools, queues;  // queues of each pool
  std::uint32_t vt_mode;   // GPIE and GCR_EXT VT_MODE
  std::uint32_t mrqc, mtqc;
};

struct Capabilities {
  hw::PciId pf;
  std::string_view name;
  unsigned queues, addresses, pool_vlans;
  unsigned mirror_rules;            // one destination pool each
  bool mirror_types_combine;        // several types in one rule, when they have one destination
  bool mirror_vf_transmit;          // a rule for what one VF sends
  bool vf_unicast_promiscuous;      // a VF may see foreign unicast
  bool one_frame_size;              // one maximum for PF and VFs: old or small VFs are held back (82599 reference 8.6)
  unsigned largest_frame;           // with FCS
  std::uint32_t rate_limit_memory;  // RTTBCNRM
  unsigned link_mbps;
  std::span<const PoolMode> pool_modes;  // best first
};

// nullptr: not a NIC of ours.
const Capabilities* capabilities_of(hw::PciId pf);
const Capabilities& capabilities_82599();

// The first mode that has a pool for each VF and one for the PF. More queues for each VF are worth more than pools that
// nobody owns, so 32 pools of 4 are preferred to 64 of 2. The mode with 16 pools of 8 is not used: its queues are
// traffic classes, which would split one VF's flows by priority instead of by hash.
const PoolMode& pool_mode(const Capabilities& nic, unsigned vfs);

}  // namespace vigia::pf
