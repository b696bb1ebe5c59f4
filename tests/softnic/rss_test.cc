// SPDX-License-Identifier: Apache-2.0
// Known answers: "Verifying the RSS Hash Calculation", Microsoft's documentation of the Windows drivers. They are
// published as ("destination", "source"), and the hash runs over source before destination.
#include "softnic/rss.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/descriptor.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;

constexpr std::array<std::uint8_t, 40> kKey{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                            0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                            0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

struct Vector {
  const char *destination, *source;
  std::uint16_t destination_port, source_port;
  std::uint32_t addresses, with_ports;
};
constexpr Vector kSuite[] = {
    {"161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178},
    {"65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea},
    {"12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
    {"209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f},
    {"202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2},
    {"3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d},
    {"ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985, 0x02d1feef},
};

L3Key key_of(const Vector& v, bool udp) {
  L3Key key;
  const bool v6 = std::strchr(v.source, ':') != nullptr;
  key.address_bytes = v6 ? 16 : 4;
  const int family = v6 ? AF_INET6 : AF_INET;
  EXPECT_EQ(inet_pton(family, v.source, key.hash_input), 1);
  EXPECT_EQ(inet_pton(family, v.destination, key.hash_input + key.address_bytes), 1);
  const std::uint16_t ports[] = {htons(v.source_port), htons(v.destination_port)};
  std::memcpy(key.hash_input + 2 * key.address_bytes, ports, 4);
  key.has_ports = true;
  key.udp = udp;
  return key;
}

constexpr std::uint32_t kAll =
    Mrqc::tcp_ipv4 | Mrqc::ipv4 | Mrqc::tcp_ipv6 | Mrqc::ipv6 | Mrqc::udp_ipv4 | Mrqc::udp_ipv6;

class ToeplitzWay : public testing::TestWithParam<Toeplitz::Way> {
 protected:
  void SetUp() override {
    if (GetParam() == Toeplitz::Way::product && Toeplitz::best_way() != GetParam())
      GTEST_SKIP() << "this processor has no carry-less multiplication (PCLMULQDQ)";
  }
};
INSTANTIATE_TEST_SUITE_P(, ToeplitzWay, testing::Values(Toeplitz::Way::table, Toeplitz::Way::product),
                         [](const auto& p) { return p.param == Toeplitz::Way::table ? "table" : "product"; });

TEST_P(ToeplitzWay, MicrosoftVerificationSuite) {
  const Toeplitz toeplitz(kKey, GetParam());
  for (const Vector& v : kSuite) {
    SCOPED_TRACE(v.source);
    const bool v6 = std::strchr(v.source, ':') != nullptr;
    for (const bool udp : {false, true}) {
      const L3Key key = key_of(v, udp);
      const RssResult full = rss_hash(toeplitz, kAll, key);
      EXPECT_EQ(full.hash, v.with_ports);
      EXPECT_EQ(full.type,
                udp ? (v6 ? RssType::udp_ipv6 : RssType::udp_ipv4) : (v6 ? RssType::tcp_ipv6 : RssType::tcp_ipv4));
      const RssResult plain = rss_hash(toeplitz, Mrqc::ipv4 | Mrqc::ipv6, key);
      EXPECT_EQ(plain.hash, v.addresses);
      EXPECT_EQ(plain.type, v6 ? RssType::ipv6 : RssType::ipv4);
    }
  }
}

// The definition: XOR of the 32-bit key windows at the set bits of the input.
TEST_P(ToeplitzWay, EqualsItsDefinitionForAnyKeyAndLength) {
  std::mt19937 random(82599);
  for (int round = 0; round < 200; ++round) {
    std::array<std::uint8_t, 40> key;
    std::array<std::byte, 36> input;
    for (auto& b : key) b = static_cast<std::uint8_t>(random());
    for (auto& b : input) b = static_cast<std::byte>(random());
    const std::size_t length = random() % 10 * 4;
    const auto key_bit = [&](std::size_t i) { return key[i / 8] >> (7 - i % 8) & 1u; };
    std::uint32_t expected = 0;
    for (std::size_t i = 0; i < length * 8; ++i) {
      if ((std::to_integer<unsigned>(input[i / 8]) >> (7 - i % 8) & 1) == 0) continue;
      std::uint32_t window = 0;
      for (std::size_t k = 0; k < 32; ++k) window = window << 1 | key_bit(i + k);
      expected ^= window;
    }
    ASSERT_EQ(Toeplitz(key, GetParam()).hash(std::span(input).first(length)), expected);
  }
}

TEST(Rss, PicksTheTypeThatMrqcAllows) {
  const Toeplitz toeplitz(kKey);
  const L3Key tcp4 = key_of(kSuite[0], false), udp4 = key_of(kSuite[0], true), tcp6 = key_of(kSuite[5], false),
              udp6 = key_of(kSuite[5], true);
  L3Key fragment4 = tcp4, fragment6 = tcp6;
  fragment4.fragment = fragment6.fragment = true;
  fragment4.has_ports = fragment6.has_ports = false;
  const L3Key not_ip;
  const struct {
    const char* name;
    std::uint32_t mrqc;
    const L3Key& key;
    std::uint32_t type, hash;
  } rows[] = {
      {"nothing enabled", 0, tcp4, RssType::none, 0},
      {"not IP", kAll, not_ip, RssType::none, 0},
      {"TCP/IPv4 only, UDP frame", Mrqc::tcp_ipv4, udp4, RssType::none, 0},
      {"UDP/IPv4 only, TCP frame", Mrqc::udp_ipv4, tcp4, RssType::none, 0},
      {"IPv6 types, IPv4 frame", Mrqc::tcp_ipv6 | Mrqc::ipv6 | Mrqc::udp_ipv6, tcp4, RssType::none, 0},
      {"IPv4 types, IPv6 frame", Mrqc::tcp_ipv4 | Mrqc::ipv4 | Mrqc::udp_ipv4, udp6, RssType::none, 0},
      {"TCP/IPv4", Mrqc::tcp_ipv4, tcp4, RssType::tcp_ipv4, 0x51ccc178},
      {"UDP/IPv4", Mrqc::udp_ipv4, udp4, RssType::udp_ipv4, 0x51ccc178},
      {"TCP/IPv6", Mrqc::tcp_ipv6, tcp6, RssType::tcp_ipv6, 0x40207d3d},
      {"UDP/IPv6", Mrqc::udp_ipv6, udp6, RssType::udp_ipv6, 0x40207d3d},
      {"TCP falls back to IPv4", Mrqc::ipv4 | Mrqc::udp_ipv4, tcp4, RssType::ipv4, 0x323e8fc2},
      {"UDP falls back to IPv6", Mrqc::ipv6 | Mrqc::tcp_ipv6, udp6, RssType::ipv6, 0x2cc18cd5},
      {"IPv4 fragment: addresses only", kAll, fragment4, RssType::ipv4, 0x323e8fc2},
      {"IPv6 fragment: addresses only", kAll, fragment6, RssType::ipv6, 0x2cc18cd5},
      {"fragment without IP hash", Mrqc::tcp_ipv4, fragment4, RssType::none, 0},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const RssResult result = rss_hash(toeplitz, row.mrqc, row.key);
    EXPECT_EQ(result.type, row.type);
    EXPECT_EQ(result.hash, row.hash);
  }
}

}  // namespace
}  // namespace vigia::softnic
