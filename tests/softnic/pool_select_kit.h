// SPDX-License-Identifier: Apache-2.0
// What the tests of pool selection share: a port with four pools, frames, and one line per case.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "softnic/pool_select.h"

namespace vigia::softnic::kit {

// 02:00:00:00:00:NN with NN = n + 1, packed; pool n owns it in port(). RARs hold byte 0 lowest.
constexpr std::uint64_t mac(unsigned n) { return 0x02 | std::uint64_t{n + 1} << 40; }
constexpr std::uint64_t kForeign = 0x1234'0000'0002, kGroup = 0x5678'005e'0001, kBroadcast = 0xffff'ffff'ffff;

constexpr PoolMask pools(std::initializer_list<unsigned> list) {
  PoolMask mask = 0;
  for (const unsigned p : list) mask |= PoolMask{1} << p;
  return mask;
}

// A frame of 60 bytes from mac(0).
inline L2Key to(std::uint64_t destination) {
  L2Key key;
  key.destination = destination;
  key.source = mac(0);
  key.ethertype = 0x0800;
  key.length = 60;
  return key;
}
inline L2Key tagged(L2Key key, std::uint16_t tci) {
  key.tagged = true;
  key.tci = tci;
  return key;
}
inline L2Key from(L2Key key, std::uint64_t source) {
  key.source = source;
  return key;
}
inline L2Key sized(L2Key key, std::uint32_t length) {
  key.length = length;
  return key;
}
inline L2Key typed(L2Key key, std::uint16_t ethertype) {
  key.ethertype = ethertype;
  return key;
}

// VT mode with replication, no default pool, everything received and sent, no VLAN filter; pools 0 to 3 own mac(0..3).
inline FilterTables port() {
  FilterTables t;
  t.vt = t.replication = t.default_pool_disabled = t.loopback = true;
  t.receive_enable = t.transmit_enable = ~PoolMask{0};
  t.fctrl_bam = true;
  for (unsigned n = 0; n < 4; ++n) t.rar[n] = {true, mac(n), pools({n})};
  return t;
}

inline void set_hash(std::array<std::uint32_t, 128>& table, std::uint64_t address) {
  const auto value = static_cast<std::uint32_t>(address >> 36) & 0xfff;  // MO 0: address bits 47:36
  table[value / 32] |= 1u << value % 32;
}
inline void set_vid(std::array<std::uint32_t, 128>& table, unsigned vid) { table[vid / 32] |= 1u << vid % 32; }

struct Case {
  std::string name;
  std::function<void(FilterTables&)> change;  // to port()
  L2Key frame;
  Verdict verdict;
  PoolMask pools;
};

inline void run_from_network(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    FilterTables t = port();
    if (c.change) c.change(t);
    t.index();
    const Selection s = select_from_network(t, c.frame);
    EXPECT_EQ(s.verdict, c.verdict);
    EXPECT_EQ(s.pools, c.pools);
    EXPECT_FALSE(s.to_wire);
  }
}

}  // namespace vigia::softnic::kit
