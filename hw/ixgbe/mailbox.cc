// SPDX-License-Identifier: Apache-2.0
#include "hw/ixgbe/mailbox.h"

#include "hw/result.h"

namespace vigia::hw::ixgbe::mbx {
namespace {

struct Name {
  Id id;
  std::string_view text;
};
constexpr std::array kNames{
    Name{Id::reset, "RESET"},
    Name{Id::set_mac_addr, "SET_MAC_ADDR"},
    Name{Id::set_multicast, "SET_MULTICAST"},
    Name{Id::set_vlan, "SET_VLAN"},
    Name{Id::set_lpe, "SET_LPE"},
    Name{Id::set_macvlan, "SET_MACVLAN"},
    Name{Id::api_negotiate, "API_NEGOTIATE"},
    Name{Id::get_queues, "GET_QUEUES"},
    Name{Id::get_reta, "GET_RETA"},
    Name{Id::get_rss_key, "GET_RSS_KEY"},
    Name{Id::update_xcast_mode, "UPDATE_XCAST_MODE"},
    Name{Id::ipsec_add, "IPSEC_ADD"},
    Name{Id::ipsec_del, "IPSEC_DEL"},
    Name{Id::get_link_state, "GET_LINK_STATE"},
};

constexpr std::array<std::string_view, 7> kApis{"1.0", "2.0", "1.1", "1.2", "1.3", "1.4", "1.5"};

// How the arrays of RETA and RSS key lie in the words: fields of that many bits, the first one lowest in word 1.
template <unsigned Bits, std::size_t N>
std::array<std::uint8_t, N> unpack(const Message& m) {
  constexpr unsigned kPerWord = 32 / Bits;
  static_assert(1 + (N + kPerWord - 1) / kPerWord <= kWords);
  std::array<std::uint8_t, N> out{};
  for (unsigned i = 0; i < N; ++i) {
    out[i] = static_cast<std::uint8_t>(m[1 + i / kPerWord] >> (Bits * (i % kPerWord)) & ((1u << Bits) - 1));
  }
  return out;
}

template <unsigned Bits, std::size_t N>
void pack(Message& m, const std::array<std::uint8_t, N>& in) {
  constexpr unsigned kPerWord = 32 / Bits;
  for (unsigned i = 0; i < N; ++i) {
    std::uint32_t& word = m[1 + i / kPerWord];
    if (i % kPerWord == 0) word = 0;
    word |= (in[i] & ((1u << Bits) - 1)) << (Bits * (i % kPerWord));
  }
}

}  // namespace

std::string_view name_of(Id id) {
  for (const Name& name : kNames) {
    if (name.id == id) return name.text;
  }
  return "unknown";
}

std::string_view text_of(Api api) {
  const auto index = static_cast<std::size_t>(api);
  return index < kApis.size() ? kApis[index] : "unknown";
}

Queues get_queues(const Message& m) { return {m[1], m[2], m[3], m[4]}; }

void put_queues(Message& m, const Queues& q) {
  m[1] = q.tx;
  m[2] = q.rx;
  m[3] = q.traffic_classes_or_vlan;
  m[4] = q.default_queue;
}

std::array<std::uint8_t, 128> get_reta(const Message& m) { return unpack<2, 128>(m); }
void put_reta(Message& m, const std::array<std::uint8_t, 128>& entries) { pack<2>(m, entries); }
std::array<std::uint8_t, 40> get_rss_key(const Message& m) { return unpack<8, 40>(m); }
void put_rss_key(Message& m, const std::array<std::uint8_t, 40>& key) { pack<8>(m, key); }

}  // namespace vigia::hw::ixgbe::mbx
