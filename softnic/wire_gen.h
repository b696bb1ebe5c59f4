// SPDX-License-Identifier: Apache-2.0
// The generator behind "gen:": UDP over IPv4 with valid checksums, numbered and stamped.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "softnic/frame.h"
#include "softnic/wire.h"
#include "softnic/wire_spec.h"

namespace vigia::softnic {

// What a generated frame's payload begins with, in network order. Flow f is 10.0.0.0 + f, port 49152 + f / 2 % 16384,
// to 198.18.0.1 (RFC 2544's network), port 9 (discard); frame n belongs to flow n % flows.
struct GenStamp {
  std::uint64_t sequence = 0;                 // from 0, without gaps
  std::optional<std::uint64_t> departure_ns;  // absent when the frame is too short for it (64 bytes with a VLAN tag)
};

// The stamp of a frame that looks like one of ours (UDP to port 9 over IPv4, at most one VLAN tag), else nullopt.
std::optional<GenStamp> read_gen_stamp(FrameBytes frame);

// spec as parse_wire_spec() lets it through.
std::unique_ptr<Wire> make_gen_wire(const GenSpec& spec);

}  // namespace vigia::softnic
