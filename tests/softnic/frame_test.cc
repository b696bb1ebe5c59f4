// SPDX-License-Identifier: Apache-2.0
#include "softnic/frame.h"

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "hw/ixgbe/descriptor.h"

namespace vigia::softnic {
namespace {

namespace PacketType = hw::ixgbe::PacketType;
using Bytes = std::vector<std::byte>;

Bytes bytes(std::initializer_list<unsigned> list) {
  Bytes out;
  for (const unsigned b : list) out.push_back(static_cast<std::byte>(b));
  return out;
}
Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
Bytes zeros(std::size_t n) { return Bytes(n); }

const Bytes kMacs = bytes({0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 0x06, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5});
Bytes ethernet(unsigned type) { return kMacs + bytes({type >> 8, type & 0xff}); }
Bytes vlan(unsigned tci, unsigned type) {
  return kMacs + bytes({0x81, 0x00, tci >> 8, tci & 0xff, type >> 8, type & 0xff});
}
const Bytes kPorts = bytes({0x12, 0x34, 0x00, 0x50});

// Addresses 10.1.2.3 and 10.4.5.6; option_words of no-operation behind the header.
Bytes ipv4(unsigned protocol, unsigned payload, unsigned flags = 0, unsigned option_words = 0) {
  const unsigned header = 20 + 4 * option_words, total = header + payload;
  Bytes b = bytes({0x40 | header / 4,
                   0,
                   total >> 8,
                   total & 0xff,
                   0,
                   1,
                   flags >> 8,
                   flags & 0xff,
                   64,
                   protocol,
                   0,
                   0,
                   10,
                   1,
                   2,
                   3,
                   10,
                   4,
                   5,
                   6});
  return b + Bytes(std::size_t{4} * option_words, std::byte{1});
}
Bytes ipv6(unsigned next, unsigned payload) {
  Bytes b = bytes({0x60, 0, 0, 0, payload >> 8, payload & 0xff, next, 64});
  for (unsigned i = 0; i < 32; ++i) b.push_back(static_cast<std::byte>(0x20 + i));
  return b;
}
Bytes extension(unsigned next, unsigned units) { return bytes({next, units}) + zeros(units * 8 + 6); }

Bytes first_byte(unsigned value, Bytes b) {
  b[0] = static_cast<std::byte>(value);
  return b;
}

L3Key l3(const Bytes& frame) { return parse_l3(frame, parse_l2(frame)); }

TEST(ParseL2, ShortFramesAreZeros) {
  for (std::size_t n = 0; n < 14; ++n) {
    const L2Key key = parse_l2(Bytes(n, std::byte{0xff}));
    EXPECT_EQ(key.destination, 0u);
    EXPECT_EQ(key.length, 0u);
    EXPECT_FALSE(key.tagged);
  }
}

TEST(ParseL2, AddressesAsTheRegistersHoldThem) {
  const L2Key key = parse_l2(ethernet(0x0806) + zeros(46));
  EXPECT_EQ(key.destination, 0x554433221102u);
  EXPECT_EQ(key.source, 0xa5a4a3a2a106u);
  EXPECT_EQ(key.ethertype, 0x0806);
  EXPECT_EQ(key.length, 60u);
  EXPECT_FALSE(key.tagged);
  EXPECT_FALSE(key.multicast());
}

TEST(ParseL2, OneTagIsSkipped) {
  const L2Key key = parse_l2(vlan(0xb064, 0x86dd) + zeros(46));
  EXPECT_TRUE(key.tagged);
  EXPECT_EQ(key.tci, 0xb064);
  EXPECT_EQ(key.vid(), 0x064);
  EXPECT_EQ(key.ethertype, 0x86dd);
  EXPECT_EQ(parse_l2(vlan(1, 0x8100) + zeros(46)).ethertype, 0x8100) << "the second stays";
  EXPECT_FALSE(parse_l2(ethernet(0x88a8) + zeros(46)).tagged) << "VLNCTRL.VET is 0x8100";
}

TEST(ParseL2, ATagThatIsCutIsNone) {
  for (std::size_t n = 14; n < 18; ++n) {
    Bytes frame = vlan(5, 0x0800);
    frame.resize(n);
    EXPECT_FALSE(parse_l2(frame).tagged);
    EXPECT_EQ(parse_l2(frame).ethertype, 0x8100);
  }
}

TEST(ParseL2, GroupBitAndBroadcast) {
  L2Key key = parse_l2(bytes({0x01, 0, 0x5e, 0, 0, 1}) + zeros(54));
  EXPECT_TRUE(key.multicast());
  EXPECT_FALSE(key.broadcast());
  key = parse_l2(Bytes(6, std::byte{0xff}) + zeros(54));
  EXPECT_TRUE(key.multicast());
  EXPECT_TRUE(key.broadcast());
}

struct L3Case {
  std::string name;
  Bytes frame;
  std::uint32_t type;
  bool fragment, ports, udp;
};

TEST(ParseL3, Table) {
  constexpr auto v4 = PacketType::ipv4, v6 = PacketType::ipv6, tcp = PacketType::tcp, udp = PacketType::udp;
  constexpr auto options = PacketType::ipv4_options, ext = PacketType::ipv6_ext, sctp = PacketType::sctp;
  const Bytes ip4 = ethernet(0x0800), ip6 = ethernet(0x86dd);
  const L3Case cases[] = {
      {"ARP", ethernet(0x0806) + zeros(46), 0, false, false, false},
      {"TCP", ip4 + ipv4(6, 20) + kPorts + zeros(16), v4 | tcp, false, true, false},
      {"UDP", ip4 + ipv4(17, 8) + kPorts + zeros(4), v4 | udp, false, true, true},
      {"SCTP has no RSS ports", ip4 + ipv4(132, 12) + kPorts + zeros(8), v4 | sctp, false, false, false},
      {"ICMP", ip4 + ipv4(1, 8) + zeros(8), v4, false, false, false},
      {"options", ip4 + ipv4(6, 20, 0, 10) + kPorts + zeros(16), v4 | options | tcp, false, true, false},
      {"behind a tag", vlan(7, 0x0800) + ipv4(17, 8) + kPorts + zeros(4), v4 | udp, false, true, true},
      {"behind two tags: not seen", vlan(7, 0x8100) + bytes({0, 7, 8, 0}) + ipv4(17, 8) + kPorts, 0, false, false,
       false},
      {"do not fragment", ip4 + ipv4(17, 8, 0x4000) + kPorts + zeros(4), v4 | udp, false, true, true},
      {"first fragment", ip4 + ipv4(17, 8, 0x2000) + kPorts + zeros(4), v4, true, false, false},
      {"last fragment", ip4 + ipv4(17, 8, 0x0001) + kPorts + zeros(4), v4, true, false, false},
      {"version 5", ip4 + bytes({0x55}) + zeros(45), 0, false, false, false},
      {"header length 16", ip4 + bytes({0x44}) + zeros(45), 0, false, false, false},
      {"IPv4 cut", ip4 + bytes({0x45}) + zeros(18), 0, false, false, false},
      {"IPv4 in the IPv6 EtherType", ip6 + ipv4(6, 20) + kPorts + zeros(36), 0, false, false, false},
      {"ports cut", ip4 + ipv4(6, 20) + bytes({1, 2, 3}), v4 | tcp, false, false, false},
      {"padding is not ports", ip4 + ipv4(6, 0) + zeros(26), v4 | tcp, false, false, false},
      {"IP length 0: offloaded", ip4 + bytes({0x45, 0, 0, 0}) + zeros(5) + bytes({6}) + zeros(10) + kPorts, v4 | tcp,
       false, true, false},
      {"options reach over the end", ip4 + first_byte(0x4f, ipv4(6, 40)) + zeros(20), v4 | options | tcp, false, false,
       false},
      {"TCP/IPv6", ip6 + ipv6(6, 20) + kPorts + zeros(16), v6 | tcp, false, true, false},
      {"UDP/IPv6", ip6 + ipv6(17, 8) + kPorts + zeros(4), v6 | udp, false, true, true},
      {"hop by hop, destination, routing",
       ip6 + ipv6(0, 56) + extension(60, 0) + extension(43, 1) + extension(6, 1) + kPorts + zeros(16), v6 | ext | tcp,
       false, true, false},
      {"authentication header counts in words", ip6 + ipv6(51, 32) + bytes({17, 4}) + zeros(22) + kPorts + zeros(4),
       v6 | ext | udp, false, true, true},
      {"IPv6 fragment", ip6 + ipv6(44, 28) + extension(6, 0) + kPorts + zeros(16), v6 | ext, true, false, false},
      {"fragment behind options", ip6 + ipv6(60, 36) + extension(44, 0) + extension(6, 0) + kPorts + zeros(16),
       v6 | ext, true, false, false},
      {"no next header", ip6 + ipv6(59, 0) + zeros(8), v6, false, false, false},
      {"ESP ends the walk", ip6 + ipv6(50, 20) + zeros(20), v6, false, false, false},
      {"extension cut", ip6 + ipv6(0, 8) + bytes({6, 0, 0}), v6 | ext, false, false, false},
      {"extension reaches over the end", ip6 + ipv6(0, 16) + bytes({6, 200}) + zeros(14), v6 | ext | tcp, false, false,
       false},
      {"IPv6 cut", ip6 + bytes({0x60}) + zeros(38), 0, false, false, false},
      {"jumbogram: payload length 0", ip6 + ipv6(6, 0) + kPorts + zeros(16), v6 | tcp, false, true, false},
      {"padding is not ports either", ip6 + ipv6(17, 2) + zeros(8), v6 | udp, false, false, false},
  };
  for (const L3Case& c : cases) {
    SCOPED_TRACE(c.name);
    const L3Key key = l3(c.frame);
    EXPECT_EQ(key.packet_type, c.type);
    EXPECT_EQ(key.fragment, c.fragment);
    EXPECT_EQ(key.has_ports, c.ports);
    EXPECT_EQ(key.udp, c.udp);
    EXPECT_EQ(key.address_bytes, c.type & v4 ? 4 : c.type & v6 ? 16 : 0);
    if (key.has_ports) {
      EXPECT_EQ(std::memcmp(key.hash_input + 2 * key.address_bytes, kPorts.data(), 4), 0);
    }
  }
}

TEST(ParseL3, ExtensionHeadersAreBounded) {
  const auto chain = [](unsigned n) {
    Bytes b = ethernet(0x86dd) + ipv6(60, n * 8 + 20);
    for (unsigned i = 0; i < n; ++i) b = b + extension(i + 1 == n ? 6 : 60, 0);
    return b + kPorts + zeros(16);
  };
  EXPECT_TRUE(l3(chain(7)).has_ports);
  EXPECT_FALSE(l3(chain(8)).has_ports);
}

TEST(ParseL3, HashInputIsSourceThenDestination) {
  const L3Key key = l3(ethernet(0x0800) + ipv4(6, 20) + kPorts + zeros(16));
  const Bytes expected = bytes({10, 1, 2, 3, 10, 4, 5, 6}) + kPorts;
  EXPECT_EQ(std::memcmp(key.hash_input, expected.data(), expected.size()), 0);
  const L3Key six = l3(ethernet(0x86dd) + ipv6(6, 20) + kPorts + zeros(16));
  EXPECT_EQ(std::to_integer<unsigned>(six.hash_input[0]), 0x20u);
  EXPECT_EQ(std::to_integer<unsigned>(six.hash_input[31]), 0x3fu);
}

// Under ASan: each prefix of each frame in memory of exactly its size.
TEST(ParseL3, NeverReadsBehindAPrefix) {
  const Bytes whole[] = {
      vlan(7, 0x0800) + ipv4(6, 20, 0, 5) + kPorts + zeros(16),
      vlan(7, 0x86dd) + ipv6(0, 60) + extension(60, 1) + extension(51, 0) + extension(17, 0) + kPorts + zeros(8),
  };
  for (const Bytes& frame : whole) {
    for (std::size_t n = 0; n <= frame.size(); ++n) {
      const Bytes prefix(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(n));
      EXPECT_LE(l3(prefix).address_bytes, 16);
    }
  }
}

}  // namespace
}  // namespace vigia::softnic
