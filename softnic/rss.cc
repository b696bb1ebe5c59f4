// SPDX-License-Identifier: Apache-2.0
#include "softnic/rss.h"

#include <cstring>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/descriptor.h"
#include "hw/result.h"

namespace vigia::softnic {

Toeplitz::Toeplitz(std::span<const std::uint8_t, 40> key) {
  for (std::size_t i = 0; i < table_.size(); ++i) {
    // The 40 key bits that the eight windows of input byte i cover: bit j of the byte selects window 8i + j.
    std::uint64_t bits = 0;
    for (std::size_t k = 0; k < 5; ++k) bits = bits << 8 | key[i + k];
    for (unsigned byte = 0; byte < 256; ++byte) {
      std::uint32_t hash = 0;
      for (unsigned j = 0; j < 8; ++j) {
        if ((byte & 0x80u >> j) != 0) hash ^= static_cast<std::uint32_t>(bits >> (8 - j));
      }
      table_[i][byte] = hash;
    }
  }
}

std::uint32_t Toeplitz::hash(std::span<const std::byte> input) const {
  check(input.size() <= table_.size());
  std::uint32_t hash = 0;
  for (std::size_t i = 0; i < input.size(); ++i) hash ^= table_[i][std::to_integer<std::size_t>(input[i])];
  return hash;
}

RssResult rss_hash(const Toeplitz& toeplitz, std::uint32_t mrqc, const L3Key& key) {
  using namespace hw::ixgbe;
  if (key.address_bytes == 0) return {};
  const bool v4 = key.address_bytes == 4;
  RssResult result;
  std::size_t bytes = std::size_t{2} * key.address_bytes;
  if (key.has_ports) {
    const std::uint32_t enable =
        key.udp ? (v4 ? Mrqc::udp_ipv4 : Mrqc::udp_ipv6) : (v4 ? Mrqc::tcp_ipv4 : Mrqc::tcp_ipv6);
    const std::uint32_t type =
        key.udp ? (v4 ? RssType::udp_ipv4 : RssType::udp_ipv6) : (v4 ? RssType::tcp_ipv4 : RssType::tcp_ipv6);
    if ((mrqc & enable) != 0) {
      result.type = type;
      bytes += 4;
    }
  }
  if (result.type == RssType::none && (mrqc & (v4 ? Mrqc::ipv4 : Mrqc::ipv6)) != 0) {
    result.type = v4 ? RssType::ipv4 : RssType::ipv6;
  }
  if (result.type != RssType::none) result.hash = toeplitz.hash(std::span(key.hash_input).first(bytes));
  return result;
}

}  // namespace vigia::softnic
