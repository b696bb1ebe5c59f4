// SPDX-License-Identifier: Apache-2.0
// Records of a ring from position to position, for whoever holds them back from being overwritten, or asks
// RingReader::intact() afterwards and forgets what he found.
#pragma once

#include <cstdint>
#include <optional>

#include "vfdriver/ring_memory.h"

namespace vigia::vf {

// Both are record boundaries of the stream, less than a ring apart.
// Bytes of the padding records between them.
std::uint64_t padding_between(const RingMemory& ring, std::uint64_t begin, std::uint64_t end);

struct FirstFrame {
  std::uint64_t position, ns;  // of its record; its stamp
};
// The first record between them that is a frame.
std::optional<FirstFrame> first_frame(const RingMemory& ring, std::uint64_t begin, std::uint64_t end);

// Whether a RAW file may begin at stream position `base` with the record at `first`: padding before it needs room for
// its header.
inline bool file_can_begin(std::uint64_t base, const RingPoint& first) {
  return first.position == base || first.position >= base + kRecordHeader;
}

}  // namespace vigia::vf
