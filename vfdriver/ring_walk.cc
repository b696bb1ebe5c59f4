// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ring_walk.h"

#include "vfdriver/ring_reader.h"

namespace vigia::vf {
namespace {

RecordHeader header_at(const RingMemory& ring, std::uint64_t position) {
  RecordHeader header;
  // SAFETY: a header is plain integers; its bytes may be copied.
  copy_while_written(reinterpret_cast<std::byte*>(&header), ring.data() + position % ring.geometry().data_bytes,
                     sizeof(header));
  return header;
}

}  // namespace

std::uint64_t padding_between(const RingMemory& ring, std::uint64_t begin, std::uint64_t end) {
  std::uint64_t padding = 0;
  for (std::uint64_t at = begin; at < end;) {
    const RecordHeader header = header_at(ring, at);
    if (header.padding()) padding += kRecordHeader + header.captured;
    at += kRecordHeader + header.captured;
  }
  return padding;
}

std::optional<FirstFrame> first_frame(const RingMemory& ring, std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t at = begin; at < end;) {
    const RecordHeader header = header_at(ring, at);
    if (!header.padding()) return FirstFrame{at, header.stamp.total_ns()};
    at += kRecordHeader + header.captured;
  }
  return std::nullopt;
}

}  // namespace vigia::vf
