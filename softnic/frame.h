// SPDX-License-Identifier: Apache-2.0
// What the NIC's parser finds in a frame: enough for pool selection, RSS and the descriptor's packet type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hw/mac.h"

namespace vigia::softnic {

// One Ethernet frame without its FCS. Not owned; contiguous.
using FrameBytes = std::span<const std::byte>;

// The checksum that a frame has on the cable only, and the shortest frame without it (IEEE 802.3).
constexpr std::uint32_t kFcsBytes = 4, kMinFrameBytes = 60;

// Keys of the L2 stages. MACs as hw::Mac::packed().
struct L2Key {
  std::uint64_t destination = 0, source = 0;
  std::uint16_t ethertype = 0;  // behind one 802.1Q tag if there is one
  bool tagged = false;          // outer EtherType equals VLNCTRL.VET (0x8100)
  std::uint16_t tci = 0;        // tag control information when tagged
  std::uint32_t length = 0;     // bytes without FCS

  std::uint16_t vid() const { return tci & 0xfff; }
  bool multicast() const { return (destination & 1) != 0; }  // broadcast included
  bool broadcast() const { return destination == 0xffff'ffff'ffffull; }
};

// Keys of the L3/L4 stages: packet type bits and RSS hash input.
struct L3Key {
  std::uint32_t packet_type = 0;  // hw::ixgbe::PacketType bits
  bool fragment = false;
  std::uint8_t address_bytes = 0;  // of each address: 4, 16, or 0 when not IP
  bool has_ports = false;          // TCP or UDP, not a fragment, ports present in the frame
  bool udp = false;
  std::byte hash_input[36] = {};  // source, destination, source port, destination port, in network order
};

// A frame shorter than 14 bytes yields zeros. Never reads outside the frame, whatever it holds.
L2Key parse_l2(FrameBytes frame);
L3Key parse_l3(FrameBytes frame, const L2Key& l2);

}  // namespace vigia::softnic
