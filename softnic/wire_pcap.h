// SPDX-License-Identifier: Apache-2.0
// The wire behind "pcap:": a capture file, read whole before the first frame leaves.
#pragma once

#include <cstdint>
#include <memory>

#include "hw/result.h"
#include "softnic/wire.h"
#include "softnic/wire_spec.h"

namespace vigia::softnic {

// pcap and pcapng, micro- and nanosecond, Ethernet only. Input errors: no such file, not a capture, another link type,
// cut or damaged (with the number of whole frames before), no frames at all. More memory than memory_limit (bytes)
// would be needed: an error of the work, before it is taken. Frames that claim more than 1 MiB leave with that length,
// which no port accepts either; describe() tells how many.
//
// Time stamps, for Rate::original: the first frame leaves at 0, the others as far behind it as they were captured. A
// step backwards, or forward by more than an hour, is a seam between captures that were joined: it counts as 0 and
// describe() tells how many there are. A further pass of loop= begins one mean gap after the last frame.
// Captured bytes beyond the wire length that a record states are kept: the longer of the two is the frame.
Result<std::unique_ptr<Wire>> open_pcap_wire(const PcapSpec& spec, std::uint64_t memory_limit);

// Half of the memory that the kernel calls available, in bytes; no limit (~0) where it does not say.
std::uint64_t half_of_available_memory();

}  // namespace vigia::softnic
