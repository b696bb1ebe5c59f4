// SPDX-License-Identifier: Apache-2.0
// Families of ports whose filter registers we know, as data: where each keeps the pools of an address or a VLAN, what a
// pool accepts besides, its mirror rules, and which registers may be written at all beside Linux's live driver.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "hw/pci_function.h"
#include "pfdriver/capabilities.h"

namespace vigia::pf {

// A register, or a group of them, that may be written: nothing else is ever touched.
struct AllowedRegister {
  std::string_view name;
  std::vector<std::uint32_t> offsets;
  std::uint32_t mask;  // the bits that may change
  bool readable = true;
};

// Where pools first .. first + bits - 1 of something are: bits of one register.
struct PoolBits {
  std::uint32_t offset;
  unsigned shift, bits, first;
};

// An address or a VLAN, and its pools.
struct FilterEntry {
  std::uint32_t valid_offset, valid_bit;
  std::vector<PoolBits> pools;

  bool holds(std::uint32_t offset) const;  // whether its pools are in that register
};

struct RuleRegisters {
  std::uint32_t control;
  std::vector<std::uint32_t> pools, vlans;  // low word first; a VLAN's bit is the index of its filter entry
};

struct Family {
  Capabilities nic;            // what plans of mirror rules ask for: name, number of rules, whether types combine
  std::vector<hw::PciId> ids;  // all with the same registers
  unsigned pools = 0;
  std::vector<AllowedRegister> allowed;
  std::vector<FilterEntry> addresses, vlans;
  std::vector<std::uint32_t> accept;                        // by pool: AUPE, ROMPE, ROPE, BAM, MPE in bits 24..28
  std::vector<std::uint32_t> multicast_hash, unicast_hash;  // 4096 bits each

  std::vector<std::uint32_t> receive_enable;            // a bit per pool
  std::uint32_t loopback_offset = 0, loopback_bit = 0;  // frames between VFs are switched
  std::vector<RuleRegisters> rules;
  unsigned destination_shift = 8;
  // The whole port accepts any frame: bits to set, and the default pool's place; 0: this family has other means.
  std::uint32_t accept_all_offset = 0, accept_all_bits = 0;
  std::vector<std::uint32_t> port_vlans;  // VLANs that the port accepts
  std::uint32_t default_pool_offset = 0, default_pool_off = 0, default_pool_mask = 0;
  unsigned default_pool_shift = 7;

  const AllowedRegister* find(std::uint32_t offset) const;
};

// nullptr: none of ours, or one whose filters are the firmware's (X710 and later).
const Family* family_of(hw::PciId id);

namespace Accept {  // the same in 82576, I350 and 82599
constexpr std::uint32_t untagged = 1u << 24, multicast_hash = 1u << 25, unicast_hash = 1u << 26, broadcast = 1u << 27,
                        all_multicast = 1u << 28, all = 0x1fu << 24;
}  // namespace Accept

}  // namespace vigia::pf
