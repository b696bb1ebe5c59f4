// SPDX-License-Identifier: Apache-2.0
// RAW, the one form that captured frames have in memory and on disk (T, chapter 4): a byte stream of records. A record
// is a header of 12 bytes, little-endian, and the captured bytes. Seconds and nanoseconds both 0: padding.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace vigia::vf {

static_assert(std::endian::native == std::endian::little, "records are used in memory as they are on disk");

// A point in time as a record holds it: since 1970-01-01 UTC. Never 0/0 for a frame.
struct Stamp {
  std::uint32_t seconds = 0, nanoseconds = 0;

  constexpr std::uint64_t total_ns() const { return seconds * 1'000'000'000ull + nanoseconds; }
  static constexpr Stamp of_ns(std::uint64_t ns) {
    return {static_cast<std::uint32_t>(ns / 1'000'000'000), static_cast<std::uint32_t>(ns % 1'000'000'000)};
  }
  friend bool operator==(const Stamp&, const Stamp&) = default;
};

struct RecordHeader {
  Stamp stamp;
  std::uint16_t captured = 0;  // bytes that follow, of a frame or of padding
  std::uint16_t wire = 0;      // the frame's length on the wire, without FCS

  constexpr bool padding() const { return stamp.seconds == 0 && stamp.nanoseconds == 0; }
};
static_assert(sizeof(RecordHeader) == 12 && offsetof(RecordHeader, captured) == 8 &&
              offsetof(RecordHeader, wire) == 10);

// In two loads of the width in which rings store it (write_header in ring.h): narrower ones after a copy into a struct
// wait for the copy's stores.
inline RecordHeader read_header(const std::byte* at) noexcept {
  std::uint64_t when;
  std::uint32_t lengths;
  std::memcpy(&when, at, sizeof(when));
  std::memcpy(&lengths, at + sizeof(when), sizeof(lengths));
  return {{static_cast<std::uint32_t>(when), static_cast<std::uint32_t>(when >> 32)},
          static_cast<std::uint16_t>(lengths),
          static_cast<std::uint16_t>(lengths >> 16)};
}

constexpr std::uint32_t kRecordHeader = sizeof(RecordHeader);
constexpr std::uint32_t kMaxCaptured = 65535;  // what the 16-bit length can say
constexpr std::uint32_t kMaxRecord = kRecordHeader + kMaxCaptured;
constexpr std::uint64_t kBlockBytes = 1 << 20;               // unit of writing to disk (T, 4.3)
constexpr std::uint64_t kSegmentBytes = 2048 * kBlockBytes;  // default size of a file (T, 4.1)

// What must be padded when a record of record_bytes is to go where left bytes remain (0, or 12 and more, to the end of
// the file): 0 when it fits and leaves either nothing or room for a padding record; else all of left.
constexpr std::uint64_t padding_before(std::uint64_t record_bytes, std::uint64_t left) {
  return record_bytes == left || record_bytes + kRecordHeader <= left ? 0 : left;
}

// Fills at with chained padding records of together exactly `bytes` (0, or 12 and more), none larger than max_record
// (24 and more); the content is zeros.
void write_padding(std::byte* at, std::uint64_t bytes, std::uint32_t max_record = kMaxRecord) noexcept;

// A padding record with these four bytes stands before a frame that repeats an earlier one and was kept all the same.
// Who does not know it passes over it, as over any padding.
constexpr std::array<char, 4> kRepeatMark{'D', 'U', 'P', '1'};
constexpr std::uint32_t kRepeatMarkRecord = kRecordHeader + kRepeatMark.size();

inline bool is_repeat_mark(const RecordHeader& header, std::span<const std::byte> content) noexcept {
  return header.padding() && header.captured == kRepeatMark.size() &&
         std::memcmp(content.data(), kRepeatMark.data(), kRepeatMark.size()) == 0;
}
// kRepeatMarkRecord bytes.
void write_repeat_mark(std::byte* at) noexcept;

// One frame of the stream. The bytes belong to whoever holds the stream.
struct FrameView {
  Stamp stamp;
  std::uint32_t wire = 0;
  std::span<const std::byte> bytes;
  bool repeated = false;  // marked as a duplicate
};

// Walks the records of bytes that begin at a record boundary. Believes nothing: never reads outside the span.
class RecordCursor {
 public:
  explicit RecordCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // The next frame; padding is passed over. False when what is left holds no whole record, or only the mark of one.
  bool next(FrameView& out) noexcept {
    std::size_t at = at_;
    bool repeated = false;
    while (bytes_.size() - at >= kRecordHeader) {
      const RecordHeader header = read_header(bytes_.data() + at);
      if (bytes_.size() - at - kRecordHeader < header.captured) return false;
      const auto content = bytes_.subspan(at + kRecordHeader, header.captured);
      at += kRecordHeader + header.captured;
      if (header.padding()) [[unlikely]] {
        repeated = is_repeat_mark(header, content);
        if (!repeated) at_ = at;  // a mark is passed together with its frame
        continue;
      }
      at_ = at;
      // One by one: what is put together first is copied in wider pieces than it was written in, and the processor
      // waits for each record's stores (14 of 17 ns a record, seen by perf).
      out.stamp = header.stamp;
      out.wire = header.wire;
      out.bytes = content;
      out.repeated = repeated;
      return true;
    }
    return false;
  }
  // Bytes of the whole records passed so far, padding included.
  std::size_t consumed() const noexcept { return at_; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

}  // namespace vigia::vf
