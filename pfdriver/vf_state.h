// SPDX-License-Identifier: Apache-2.0
// What a VF has been granted since its last reset. Forgotten at the next one.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "hw/ixgbe/mailbox.h"
#include "hw/mac.h"

namespace vigia::pf {

// Ethernet header and FCS around the payload that an MTU counts (a VLAN tag is not counted by MAXFRS).
constexpr unsigned kFrameOverhead = 14 + 4;
constexpr unsigned kOrdinaryFrame = 1500 + kFrameOverhead;

struct VfState {
  bool clear_to_send = false;  // its RESET has been answered
  hw::ixgbe::mbx::Api api = hw::ixgbe::mbx::Api::v1_0;
  std::optional<hw::Mac> mac;                // chosen by itself; none: the configured one
  std::vector<hw::Mac> extra_macs;           // SET_MACVLAN
  std::set<std::uint16_t> vlans;             // SET_VLAN, besides the configured one
  std::vector<std::uint16_t> multicast;      // hashes, SET_MULTICAST
  bool hash_multicast = false;               // multicast by hash is delivered
  bool all_multicast = false;                // any multicast is delivered
  std::uint32_t max_frame = kOrdinaryFrame;  // bytes with FCS, SET_LPE
  bool receive = false, transmit = false;    // enables of its pool
  friend bool operator==(const VfState&, const VfState&) = default;
};

}  // namespace vigia::pf
