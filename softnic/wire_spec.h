// SPDX-License-Identifier: Apache-2.0
// The text form of a wire (--wire SPEC), as data. Pure: opens nothing. Every refusal says what was expected.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hw/mac.h"
#include "hw/result.h"
#include "softnic/wire.h"

namespace vigia::softnic {

struct PcapSpec {
  std::string file;  // commas are fine unless what follows one looks like key=
  Rate rate{};
  std::uint64_t loop = 1;   // passes over the file
  std::uint64_t count = 0;  // frames, as many passes as they need, instead of loop; 0: loop says
};

struct GenSpec {
  // Bytes on the wire with FCS and VLAN tag, as everybody counts frame sizes: 64 hands over 60 bytes.
  std::uint32_t size = 64;
  bool imix = false;  // instead of size: 64, 594 and 1518 bytes, 7:4:1
  std::uint32_t flows = 4096;
  std::uint64_t count = 0;  // frames; 0: endless
  Rate rate{};
  std::uint32_t train = 1;  // frames of a burst
  hw::Mac destination{{0x02, 0, 0, 0, 0, 0x01}}, source{{0x02, 'v', 'i', 'g', 'i', 'a'}};
  std::optional<std::uint16_t> vlan;
};

struct TapSpec {
  std::string name;   // of the network interface, at most 15 bytes; made unless it exists
  std::string netns;  // empty: ours. A name as "ip netns" has them, or the path of a namespace file
};

struct WireSpec {
  enum class Kind { none, pcap, gen, tap };  // none: "null"
  Kind kind = Kind::none;
  PcapSpec pcap;  // what is of another kind has its defaults
  GenSpec gen;
  TapSpec tap;
};

// Input errors only.
Result<WireSpec> parse_wire_spec(std::string_view spec);

// "max", "1x", "2.5x", "500kpps", "3mpps", "10gbps", ...: a number with x, [k|m]pps or [k|m|g]bps. Input errors only.
Result<Rate> parse_rate(std::string_view text);
// For logs, in the same form: "max", "2.5x", "3mpps", "10gbps".
std::string to_text(const Rate& rate);

}  // namespace vigia::softnic
