// SPDX-License-Identifier: Apache-2.0
// How often a frame comes to an agent, given the mirrors that send to it. Pure.
//
// A mirror on an interface of the host (tc mirred) copies what passes by it in one direction: a frame that one tapped
// tenant sends to another is copied as it leaves the one and as it reaches the other. A rule of an 82599 adds the
// agent's pool to the frame's list of pools: one copy, however many rules want it there (reference 82599, section 9).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"

namespace vigia::vf {

// A tenant that is mirrored, by mirrors that each make a copy.
struct MirroredTenant {
  std::vector<hw::Mac> macs;
  std::vector<std::uint16_t> vlans;        // of which it is a member; empty: it is held to none
  std::optional<std::uint16_t> port_vlan;  // added to what it sends, taken from what it receives
  bool sends = false, receives = false;    // which of these is mirrored
};

// Everything that sends copies to one agent.
struct MirrorRules {
  std::vector<MirroredTenant> tenants;
  std::vector<hw::Mac> agent;                 // its own addresses
  bool once = false;                          // rules of a NIC that make one copy, all of them together
  std::optional<unsigned> vf = std::nullopt;  // the agent; empty: nothing is mirrored to anybody

  bool none() const noexcept { return tenants.empty() && !once; }
};

// Arrivals of one frame, the first one counted. They differ where nobody can know: to whom a multicast goes.
struct Copies {
  std::uint8_t least = 1, most = 1;
  friend bool operator==(const Copies&, const Copies&) = default;
};

// What an Ethernet header says.
struct FrameAddresses {
  hw::Mac destination, source;
  std::optional<std::uint16_t> vlan;  // of the outermost tag; priority tags (VLAN 0) count as none
};
// Nothing for what is shorter than a header.
std::optional<FrameAddresses> addresses_of(std::span<const std::byte> frame) noexcept;

// Of a frame that has come at least once, as long as switches send a unicast only where it belongs.
Copies copies_of(const MirrorRules& rules, const FrameAddresses& frame) noexcept;

// From what `vigia pf show --json` prints; none when nothing is mirrored. agent: the VF that captures; if it is not
// said, the only one that anything is mirrored to, or the one that has the port's address. Input errors name the file
// and what it lacks; what: the file.
Result<MirrorRules> parse_mirror_rules(std::string_view json, const std::string& what, std::optional<unsigned> agent,
                                       const std::optional<hw::Mac>& port);
// The whole file; empty when it cannot be read.
std::string read_mirror_text(const std::filesystem::path& file);
// Also refuses none.
Result<MirrorRules> load_mirror_rules(const std::filesystem::path& file, std::optional<unsigned> agent,
                                      const std::optional<hw::Mac>& port);

}  // namespace vigia::vf
