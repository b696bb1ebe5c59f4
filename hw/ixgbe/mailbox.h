// SPDX-License-Identifier: Apache-2.0
// PF-VF mailbox wire format, API 1.0 to 1.5 (as Linux ixgbe/ixgbevf and DPDK speak it). Codec only: who answers what is
// policy and lives in pfdriver and vfdriver.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hw/intel/mailbox.h"

namespace vigia::hw::ixgbe::mbx {

using namespace intel::mbx;  // what the 82576 has too

enum class Id : std::uint16_t {
  reset = 0x01,
  set_mac_addr = 0x02,
  set_multicast = 0x03,
  set_vlan = 0x04,
  set_lpe = 0x05,
  set_macvlan = 0x06,
  api_negotiate = 0x08,
  get_queues = 0x09,
  get_reta = 0x0A,
  get_rss_key = 0x0B,
  update_xcast_mode = 0x0C,
  ipsec_add = 0x0D,
  ipsec_del = 0x0E,
  get_link_state = 0x10,
};

constexpr Id id_of(std::uint32_t word0) { return static_cast<Id>(number_of(word0)); }
std::string_view name_of(Id id);  // "SET_LPE"; "unknown" otherwise

// On the wire an index, not the number. Order of capability is not the order of the index: use at_least().
enum class Api : std::uint32_t { v1_0 = 0, v2_0 = 1, v1_1 = 2, v1_2 = 3, v1_3 = 4, v1_4 = 5, v1_5 = 6 };
constexpr bool at_least(Api have, Api want) {  // among the 1.x versions; 2.0 is nobody's here
  return have != Api::v2_0 && static_cast<std::uint32_t>(have) >= static_cast<std::uint32_t>(want);
}
std::string_view text_of(Api api);  // "1.3"

enum class Xcast : std::uint32_t { none = 0, multi = 1, allmulti = 2, promisc = 3 };

// GET_QUEUES reply.
struct Queues {
  std::uint32_t tx = 1, rx = 1, traffic_classes_or_vlan = 0, default_queue = 0;
};
Queues get_queues(const Message& m);
void put_queues(Message& m, const Queues& q);

// GET_RETA reply: 128 entries of 2 bits from word 1, entry 0 in the low bits (82599, X540).
std::array<std::uint8_t, 128> get_reta(const Message& m);
void put_reta(Message& m, const std::array<std::uint8_t, 128>& entries);
// GET_RSS_KEY reply: 40 bytes from word 1.
std::array<std::uint8_t, 40> get_rss_key(const Message& m);
void put_rss_key(Message& m, const std::array<std::uint8_t, 40>& key);

}  // namespace vigia::hw::ixgbe::mbx
