// SPDX-License-Identifier: Apache-2.0
// What the PF-VF mailboxes of the 82576 and of the 82599 have in common: 16 words, the bits of the two control
// registers, flags, the words of the first five messages (82599 reference, 11 and 17). Codec only.
#pragma once

#include <array>
#include <cstdint>

#include "hw/mac.h"

namespace vigia::hw::intel::mbx {

constexpr unsigned kWords = 16;
using Message = std::array<std::uint32_t, kWords>;

// The VF's control register (82599: VFMAILBOX, 82576: V2PMAILBOX)
namespace VfBit {
constexpr std::uint32_t req = 1u << 0, ack = 1u << 1, vfu = 1u << 2, pfu = 1u << 3, pfsts = 1u << 4, pfack = 1u << 5,
                        rsti = 1u << 6, rstd = 1u << 7;
constexpr std::uint32_t read_to_clear = pfsts | pfack | rstd;  // cleared by any VF read: accumulate them
}  // namespace VfBit
// The PF's (82599: PFMAILBOX, 82576: P2VMAILBOX)
namespace PfBit {
constexpr std::uint32_t sts = 1u << 0, ack = 1u << 1, vfu = 1u << 2, pfu = 1u << 3, rvfu = 1u << 4;
}

// Word 0: message id in [15:0], small argument in [23:16], flags on top.
constexpr std::uint32_t kSuccess = 0x8000'0000, kFailure = 0x4000'0000, kCts = 0x2000'0000;
constexpr std::uint32_t kPfControl = 0x0100;  // PF -> VF ping

// Ids from 6 on mean different things in each family.
namespace CommonId {
constexpr std::uint16_t reset = 0x01, set_mac_addr = 0x02, set_multicast = 0x03, set_vlan = 0x04, set_lpe = 0x05;
}

constexpr std::uint16_t number_of(std::uint32_t word0) { return static_cast<std::uint16_t>(word0); }
constexpr std::uint32_t argument_of(std::uint32_t word0) { return (word0 >> 16) & 0xff; }
// id: a number, or a family's enumeration of them.
template <class Id>
constexpr std::uint32_t word0(Id id, std::uint32_t argument = 0) {
  return static_cast<std::uint32_t>(id) | (argument & 0xff) << 16;
}

// MAC in words 1 and 2 (RESET reply, SET_MAC_ADDR, SET_MACVLAN).
void put_mac(Message& m, const Mac& mac);
Mac get_mac(const Message& m);

// SET_MULTICAST: up to 30 12-bit hashes, 16 bits each from word 1; count in word 0 [23:16].
constexpr unsigned kMaxMulticastHashes = 30;
// How many hashes a received message holds: what word 0 says, but never more than fit.
unsigned multicast_count(const Message& m);
// i < kMaxMulticastHashes is the caller's invariant.
std::uint16_t multicast_hash_at(const Message& m, unsigned i);
void put_multicast_hash(Message& m, unsigned i, std::uint16_t hash);

// 12-bit hash of a MAC for MTA and UTA by the filter type MO (0: bits 47:36, 1: 46:35, 2: 45:34, 3: 43:32; both
// families).
std::uint16_t multicast_hash(const Mac& mac, unsigned mo);

}  // namespace vigia::hw::intel::mbx
