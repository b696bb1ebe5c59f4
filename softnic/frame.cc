// SPDX-License-Identifier: Apache-2.0
#include "softnic/frame.h"

#include <algorithm>
#include <cstring>

#include "hw/ixgbe/descriptor.h"

namespace vigia::softnic {
namespace {

namespace PacketType = hw::ixgbe::PacketType;

constexpr std::size_t kEthernetBytes = 14, kTagBytes = 4;
constexpr std::uint64_t kMacMask = 0xffff'ffff'ffffull;
constexpr std::uint16_t kVlan = 0x8100, kIpv4 = 0x0800, kIpv6 = 0x86dd;
constexpr std::size_t kIpv4Bytes = 20, kIpv6Bytes = 40;

// IP protocol numbers (IANA).
constexpr unsigned kHopByHop = 0, kTcp = 6, kUdp = 17, kRouting = 43, kFragment = 44, kAh = 51, kDestination = 60,
                   kSctp = 132, kMobility = 135;
// Headers that are walked before the parser gives up: RFC 8200 recommends an order with at most seven.
constexpr unsigned kMaxExtensions = 8;

unsigned byte_at(FrameBytes f, std::size_t at) { return std::to_integer<unsigned>(f[at]); }
std::uint16_t be16(FrameBytes f, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(f, at) << 8 | byte_at(f, at + 1));
}

// Packet type and ports of the L4 header at `at`, which may lie behind the packet. The packet ends where IP says, so
// that padding is not taken for ports.
void parse_l4(FrameBytes packet, std::size_t at, unsigned protocol, L3Key& key) {
  if (protocol == kSctp) key.packet_type |= PacketType::sctp;
  if (protocol == kTcp) key.packet_type |= PacketType::tcp;
  if (protocol == kUdp) key.packet_type |= PacketType::udp;
  if ((protocol != kTcp && protocol != kUdp) || packet.size() < at || packet.size() - at < 4) return;
  key.has_ports = true;
  key.udp = protocol == kUdp;
  std::memcpy(key.hash_input + 2 * key.address_bytes, packet.data() + at, 4);
}

// `packet` begins with the IP header. An IP length of 0 (captured before segmentation offload) or beyond the frame
// means "to the end of the frame".
void parse_ipv4(FrameBytes packet, L3Key& key) {
  if (packet.size() < kIpv4Bytes || byte_at(packet, 0) >> 4 != 4) return;
  const std::size_t header = std::size_t{byte_at(packet, 0) & 0xf} * 4;
  if (header < kIpv4Bytes) return;
  key.packet_type = PacketType::ipv4 | (header > kIpv4Bytes ? PacketType::ipv4_options : 0);
  key.address_bytes = 4;
  std::memcpy(key.hash_input, packet.data() + 12, 8);
  key.fragment = (be16(packet, 6) & 0x3fff) != 0;  // more fragments, or an offset
  if (key.fragment) return;
  const std::size_t total = be16(packet, 2);
  if (total >= header) packet = packet.first(std::min(total, packet.size()));
  parse_l4(packet, header, byte_at(packet, 9), key);
}

void parse_ipv6(FrameBytes packet, L3Key& key) {
  if (packet.size() < kIpv6Bytes || byte_at(packet, 0) >> 4 != 6) return;
  key.packet_type = PacketType::ipv6;
  key.address_bytes = 16;
  std::memcpy(key.hash_input, packet.data() + 8, 32);
  unsigned next = byte_at(packet, 6);
  const std::size_t payload = be16(packet, 4);
  if (payload != 0) packet = packet.first(std::min(kIpv6Bytes + payload, packet.size()));
  std::size_t at = kIpv6Bytes;
  for (unsigned n = 0; n < kMaxExtensions; ++n) {
    if (next != kHopByHop && next != kRouting && next != kFragment && next != kAh && next != kDestination &&
        next != kMobility) {
      parse_l4(packet, at, next, key);
      return;
    }
    key.packet_type |= PacketType::ipv6_ext;
    if (next == kFragment) {  // also the first one, and a "fragment" that is whole: as the IPv4 rule, no L4
      key.fragment = true;
      return;
    }
    if (packet.size() < at + 8) return;
    const std::size_t units = byte_at(packet, at + 1);
    const std::size_t length = next == kAh ? (units + 2) * 4 : (units + 1) * 8;
    next = byte_at(packet, at);
    at += length;  // may lie behind the packet: parse_l4 and the check above look
  }
}

}  // namespace

L2Key parse_l2(FrameBytes frame) {
  L2Key key;
  if (frame.size() < kEthernetBytes) return key;
  std::uint64_t word;
  std::memcpy(&word, frame.data(), 8);
  key.destination = word & kMacMask;
  std::memcpy(&word, frame.data() + 6, 8);
  key.source = word & kMacMask;
  key.ethertype = be16(frame, 12);
  key.length = static_cast<std::uint32_t>(frame.size());
  if (key.ethertype == kVlan && frame.size() >= kEthernetBytes + kTagBytes) {
    key.tagged = true;
    key.tci = be16(frame, 14);
    key.ethertype = be16(frame, 16);
  }
  return key;
}

L3Key parse_l3(FrameBytes frame, const L2Key& l2) {
  L3Key key;
  const std::size_t at = kEthernetBytes + (l2.tagged ? kTagBytes : 0);
  if (frame.size() < at) return key;
  if (l2.ethertype == kIpv4) parse_ipv4(frame.subspan(at), key);
  if (l2.ethertype == kIpv6) parse_ipv6(frame.subspan(at), key);
  return key;
}

}  // namespace vigia::softnic
