// SPDX-License-Identifier: Apache-2.0
#include "hw/igb/mailbox.h"

#include <array>

namespace vigia::hw::igb::mbx {

std::string_view name_of(Id id) {
  constexpr std::array<std::string_view, 7> kNames{"unknown",  "RESET",   "SET_MAC_ADDR", "SET_MULTICAST",
                                                   "SET_VLAN", "SET_LPE", "SET_PROMISC"};
  const auto number = static_cast<std::size_t>(id);
  return number < kNames.size() ? kNames[number] : kNames[0];
}

}  // namespace vigia::hw::igb::mbx
