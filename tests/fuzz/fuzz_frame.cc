// SPDX-License-Identifier: Apache-2.0
// Any bytes as a frame: the parsers never read outside (ASan) and what they say of it fits together; the hash and the
// selection take every key they make.
#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

#include "hw/ixgbe/descriptor.h"
#include "softnic/frame.h"
#include "softnic/pool_select.h"
#include "softnic/rss.h"
#include "softnic/wire.h"
#include "softnic/wire_gen.h"

namespace {

using namespace vigia::softnic;
namespace PacketType = vigia::hw::ixgbe::PacketType;

void expect(bool ok) {
  if (!ok) std::abort();
}

const FilterTables& tables() {
  static const auto t = [] {
    auto made = std::make_unique<FilterTables>();
    made->vt = made->replication = made->loopback = made->vlan_filter = made->fctrl_upe = made->fctrl_mpe = true;
    made->receive_enable = made->transmit_enable = ~PoolMask{0};
    made->max_frame = 1u << 20;
    made->vfta.fill(~0u);
    made->uta.fill(0x5555'5555);
    made->rope = made->aupe = 0xff;
    made->vlvf[7] = {true, 5, ~PoolMask{0}};
    made->mirror[0] = {true, true, true, true, 9, ~PoolMask{0}, ~0ull};
    made->index();
    return made;
  }();
  return *t;
}

void check_keys(FrameBytes frame, const L2Key& l2, const L3Key& l3) {
  expect(l2.length == (frame.size() < 14 ? 0 : frame.size()));
  expect(!l2.tagged || frame.size() >= 18);
  const bool v4 = (l3.packet_type & PacketType::ipv4) != 0, v6 = (l3.packet_type & PacketType::ipv6) != 0;
  expect(!(v4 && v6));
  expect(l3.address_bytes == (v4 ? 4 : v6 ? 16 : 0));
  expect(!l3.fragment || !l3.has_ports);
  expect(!l3.udp || l3.has_ports);
  expect(!l3.has_ports || (l3.packet_type & (PacketType::tcp | PacketType::udp)) != 0);
}

}  // namespace

// A valid frame of each shape, so that mutations reach the deeper headers.
std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (const char* spec : {"gen:size=64", "gen:size=64,vlan=5"}) {
    const auto wire = open_wire(spec);
    const FrameBytes bytes = (*wire)->next()->bytes;
    auto& seed = seeds.emplace_back();
    for (const std::byte b : bytes) seed.push_back(std::to_integer<std::uint8_t>(b));
  }
  // IPv6: destination options, authentication, fragment, TCP.
  std::vector<std::uint8_t> six(12, 2);
  six.insert(six.end(), {0x86, 0xdd, 0x60, 0, 0, 0, 0, 56, 60, 64});
  six.resize(54, 0x20);
  six.insert(six.end(), {51, 0, 0, 0, 0, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0});
  six.resize(110, 0x11);
  seeds.push_back(std::move(six));
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy of exactly this size, so that ASan sees the byte behind it.
  const std::vector<std::byte> frame(reinterpret_cast<const std::byte*>(data),
                                     reinterpret_cast<const std::byte*>(data) + size);
  const L2Key l2 = parse_l2(frame);
  const L3Key l3 = parse_l3(frame, l2);
  check_keys(frame, l2, l3);

  static constexpr std::array<std::uint8_t, 40> kKey{0x6d, 0x5a, 0x6d, 0x5a};
  static const Toeplitz toeplitz(kKey);
  const RssResult rss = rss_hash(toeplitz, ~0u, l3);
  expect((rss.type != 0) == (l3.address_bytes != 0));

  const Selection received = select_from_network(tables(), l2);
  expect((received.mirrored & ~received.pools) == 0);
  expect(received.verdict == Verdict::accepted ? (received.pools >> 9 & 1) != 0 : received.pools == 0);
  const Selection sent = select_from_pool(tables(), l2, 3);
  expect((sent.pools >> 3 & 1) == 0);
  read_gen_stamp(frame);
  return 0;
}
