// SPDX-License-Identifier: Apache-2.0
// The writing end of a capture ring: one thread, never waits for anybody (architecture 5.4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vfdriver/copy_frame.h"
#include "vfdriver/listener_table.h"
#include "vfdriver/record.h"
#include "vfdriver/ring_memory.h"

namespace vigia::vf {

// A RecordHeader, in two stores. Put together as a struct it went through the stack, four bytes at a time in and eight
// out, and the processor waited for each frame's stores to drain: two thirds of the engine's time at 60 bytes.
inline void write_header(std::byte* at, Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept {
  const std::uint64_t when = stamp.seconds | std::uint64_t{stamp.nanoseconds} << 32;
  const std::uint32_t lengths = (captured & 0xffff) | wire << 16;
  std::memcpy(at, &when, sizeof(when));
  std::memcpy(at + sizeof(when), &lengths, sizeof(lengths));
}

// What of the ring needs nothing but bytes: a burst is written with this in registers, where a member of the writer
// would be read and written again for each frame, because any of the bytes copied might be the member.
struct RingRoom {
  std::byte* at;
  std::uint64_t left;  // bytes, of the room as a whole

  bool fits(std::uint64_t frames, std::uint64_t bytes) const noexcept { return kRecordHeader * frames + bytes <= left; }
  // A frame that fits.
  void append(Stamp stamp, const std::byte* frame, std::uint32_t captured, std::uint32_t wire) noexcept {
    // The ring is larger than the caches, and a store whose line is still on its way holds up all that follow.
    // SAFETY: nothing is read or written, whatever lies there.
    if (captured <= kForeseen) {
      const std::byte* const lines = at + kAhead;
      for (std::uint32_t i = 0; i < kRecordHeader + captured; i += 64) __builtin_prefetch(lines + i, 1);
    }
    write_header(at, stamp, captured, wire);
    copy_frame(at + kRecordHeader, frame, captured);
    at += kRecordHeader + captured;
  }

 private:
  // About a burst of the shortest frames (benchmarks rx_memory.64: 78 M/s without, 89 at 1024, 103 here, 95 at 3072).
  static constexpr std::size_t kAhead = 2048;
  // Bytes of a frame from which on the processor sees by itself where the stores go.
  static constexpr std::uint32_t kForeseen = 256;
};

// Appends records. All methods from the one thread that owns the writer; memory and table outlive it. Nothing here
// blocks, allocates, logs or makes a system call.
class RingWriter {
 public:
  // The memory is new: its stream is empty.
  RingWriter(RingMemory& memory, const ListenerTable& listeners) noexcept;

  // Appends a frame; captured <= max_captured of the geometry. False: a lossless listener is a full ring behind, the
  // frame is not in the ring.
  bool append(Stamp stamp, const std::byte* frame, std::uint32_t captured, std::uint32_t wire) noexcept {
    std::byte* at = claim(stamp, captured, wire);
    if (!at) [[unlikely]]
      return false;
    copy_frame(at, frame, captured);
    return true;
  }

  // Appends the header and returns where the captured bytes go: for frames that come in pieces. The caller fills all of
  // them before the next call. Null as append() is false.
  std::byte* claim(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept {
    // One comparison stands for: segment end, landmark, end of the mapping, reserved end, slowest lossless listener.
    if (position_ + kRecordHeader + captured > easy_until_) [[unlikely]] {
      if (!make_room(kRecordHeader + captured)) return nullptr;
      return place_and_mark(stamp, captured, wire);
    }
    return place(stamp, captured, wire);
  }

  // The room there is now, maybe none. Until settle() nothing else of the writer is called.
  RingRoom room() const noexcept {
    return {data_ + (position_ - lap_start_), easy_until_ > position_ ? easy_until_ - position_ : 0};
  }
  void settle(const RingRoom& room, std::uint64_t frames) noexcept {
    position_ = lap_start_ + static_cast<std::uint64_t>(room.at - data_);
    frames_ += frames;
  }

  // As claim(), with a mark before the frame that says that it repeats an earlier one; both or neither.
  std::byte* claim_repeated(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept;

  // Makes everything appended visible to listeners; once per burst. The writer does it by itself where a
  // landmark is crossed, before the next record.
  void publish() noexcept;
  // publish(), and tells the listeners that nothing follows.
  void close() noexcept;

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t frames() const noexcept { return frames_; }

 private:
  std::byte* place(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept {
    std::byte* at = data_ + (position_ - lap_start_);
    write_header(at, stamp, captured, wire);
    position_ += kRecordHeader + captured;
    ++frames_;
    return at + kRecordHeader;
  }
  std::byte* place_and_mark(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept;
  bool make_room(std::uint64_t bytes) noexcept;
  void reserve(std::uint64_t end) noexcept;
  void start_lap_if_due() noexcept;
  void mark_if_crossed() noexcept;
  void set_easy_limit() noexcept;

  RingMemory& memory_;
  const ListenerTable& listeners_;
  const RingGeometry geometry_;
  const std::uint64_t reserve_step_;

  std::uint64_t position_ = 0;
  std::uint64_t frames_ = 0, marked_ = 0;
  std::uint64_t easy_until_ = 0;
  std::byte* const data_;
  std::uint64_t lap_start_ = 0;  // the position that lies at data_[0]
  std::uint64_t lap_end_;        // where the second mapping begins
  std::uint64_t segment_end_;
  std::uint64_t next_mark_;
  std::uint64_t reserved_ = 0;
  std::uint64_t lossless_until_ = 0;  // as far as lossless listeners were seen to allow
  bool refused_ = false;              // a frame, since the last publish
};

}  // namespace vigia::vf
