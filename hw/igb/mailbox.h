// SPDX-License-Identifier: Apache-2.0
// PF-VF mailbox of the 82576 and I350, as Linux igb/igbvf and DPDK speak it: no versions, six messages. Codec only.
#pragma once

#include <cstdint>
#include <string_view>

#include "hw/intel/mailbox.h"

namespace vigia::hw::igb::mbx {

using namespace intel::mbx;  // what the 82599 has too

enum class Id : std::uint16_t {
  reset = CommonId::reset,
  set_mac_addr = CommonId::set_mac_addr,
  set_multicast = CommonId::set_multicast,
  set_vlan = CommonId::set_vlan,
  set_lpe = CommonId::set_lpe,
  set_promisc = 0x06,
};

// Argument of SET_PROMISC; none of them: off. Linux grants multicast only.
namespace Promisc {
constexpr std::uint32_t unicast = 1, multicast = 2;
}

constexpr Id id_of(std::uint32_t word0) { return static_cast<Id>(number_of(word0)); }
std::string_view name_of(Id id);  // "SET_LPE"; "unknown" otherwise

}  // namespace vigia::hw::igb::mbx
