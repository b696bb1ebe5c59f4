// SPDX-License-Identifier: Apache-2.0
// PF-VF mailbox wire format, API 1.0 to 1.5 (as Linux ixgbe/ixgbevf and DPDK speak it). Codec only: who answers what is
// policy and lives in pfdriver and vfdriver.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hw/mac.h"

namespace vigia::hw::ixgbe::mbx {

constexpr unsigned kWords = 16;
using Message = std::array<std::uint32_t, kWords>;

// VFMAILBOX (VF side)
namespace VfBit {
constexpr std::uint32_t req = 1u << 0, ack = 1u << 1, vfu = 1u << 2, pfu = 1u << 3, pfsts = 1u << 4, pfack = 1u << 5,
                        rsti = 1u << 6, rstd = 1u << 7;
constexpr std::uint32_t read_to_clear = pfsts | pfack | rstd;  // cleared by any VF read: accumulate them
}  // namespace VfBit
// PFMAILBOX (PF side)
namespace PfBit {
constexpr std::uint32_t sts = 1u << 0, ack = 1u << 1, vfu = 1u << 2, pfu = 1u << 3, rvfu = 1u << 4;
}

// Word 0: message id in [15:0], small argument in [23:16], flags on top.
constexpr std::uint32_t kSuccess = 0x8000'0000, kFailure = 0x4000'0000, kCts = 0x2000'0000;

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
constexpr std::uint32_t kPfControl = 0x0100;  // PF -> VF ping

constexpr Id id_of(std::uint32_t word0) { return static_cast<Id>(word0 & 0xffff); }
constexpr std::uint32_t argument_of(std::uint32_t word0) { return (word0 >> 16) & 0xff; }
constexpr std::uint32_t word0(Id id, std::uint32_t argument = 0) {
  return static_cast<std::uint32_t>(id) | (argument & 0xff) << 16;
}
std::string_view name_of(Id id);  // "SET_LPE"; "unknown" otherwise

// On the wire an index, not the number. Order of capability is not the order of the index: use at_least().
enum class Api : std::uint32_t { v1_0 = 0, v2_0 = 1, v1_1 = 2, v1_2 = 3, v1_3 = 4, v1_4 = 5, v1_5 = 6 };
constexpr bool at_least(Api have, Api want) {  // among the 1.x versions; 2.0 is nobody's here
  return have != Api::v2_0 && static_cast<std::uint32_t>(have) >= static_cast<std::uint32_t>(want);
}
std::string_view text_of(Api api);  // "1.3"

enum class Xcast : std::uint32_t { none = 0, multi = 1, allmulti = 2, promisc = 3 };

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

// 12-bit hash of a MAC for MTA and PFUTA by MCSTCTRL.MO (0: bits 47:36, 1: 46:35, 2: 45:34, 3: 43:32).
std::uint16_t multicast_hash(const Mac& mac, unsigned mo);

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
