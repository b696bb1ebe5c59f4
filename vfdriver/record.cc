// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/record.h"

#include <algorithm>

#include "hw/result.h"

namespace vigia::vf {

void write_padding(std::byte* at, std::uint64_t bytes, std::uint32_t max_record) noexcept {
  check(bytes == 0 || bytes >= kRecordHeader);
  while (bytes > 0) {
    std::uint64_t chunk = std::min<std::uint64_t>(bytes, std::min(max_record, kMaxRecord));
    const std::uint64_t rest = bytes - chunk;
    // What stays must be able to hold a header of its own.
    if (rest > 0 && rest < kRecordHeader) chunk -= kRecordHeader;
    const auto length = static_cast<std::uint16_t>(chunk - kRecordHeader);
    const RecordHeader header{{}, length, length};
    std::memcpy(at, &header, sizeof(header));
    std::memset(at + kRecordHeader, 0, length);
    at += chunk;
    bytes -= chunk;
  }
}

void write_repeat_mark(std::byte* at) noexcept {
  const RecordHeader header{{}, kRepeatMark.size(), kRepeatMark.size()};
  std::memcpy(at, &header, sizeof(header));
  std::memcpy(at + sizeof(header), kRepeatMark.data(), kRepeatMark.size());
}

}  // namespace vigia::vf
