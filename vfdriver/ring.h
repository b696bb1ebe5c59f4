// SPDX-License-Identifier: Apache-2.0
// The writing end of a capture ring: one thread, never waits for anybody (architecture 5.4).
#pragma once

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "vfdriver/listener_table.h"
#include "vfdriver/record.h"
#include "vfdriver/ring_memory.h"

namespace vigia::vf {

// Copies a frame. Short ones by overlapping 16-byte pieces that stay inside [0, n): no call, no loop for 60 bytes.
inline void copy_frame(std::byte* to, const std::byte* from, std::size_t n) noexcept {
  if (n < 16 || n > 128) {
    if (n > 0) std::memcpy(to, from, n);  // nothing may come with a null pointer
    return;
  }
  // SAFETY: unaligned loads and stores of 16 bytes, each inside the n bytes of source and target.
  const auto move = [to, from](std::size_t at) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
  };
  move(0);
  if (n > 32) {
    move(16);
    move(n - 32);
    if (n > 64) {
      move(32);
      move(48);
      if (n > 96) {
        move(64);
        move(80);
      } else if (n > 80) {
        move(64);
      }
    }
  }
  move(n - 16);
}

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
      if (!make_room(captured)) return nullptr;
      return place_and_mark(stamp, captured, wire);
    }
    return place(stamp, captured, wire);
  }

  // Makes everything appended visible to listeners; once per burst.
  void publish() noexcept;
  // publish(), and tells the listeners that nothing follows.
  void close() noexcept;

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t frames() const noexcept { return frames_; }

 private:
  std::byte* place(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept {
    std::byte* at = data_ + (position_ - lap_start_);
    const RecordHeader header{stamp, static_cast<std::uint16_t>(captured), static_cast<std::uint16_t>(wire)};
    std::memcpy(at, &header, sizeof(header));
    position_ += kRecordHeader + captured;
    ++frames_;
    return at + kRecordHeader;
  }
  std::byte* place_and_mark(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept;
  bool make_room(std::uint32_t captured) noexcept;
  void reserve(std::uint64_t end) noexcept;
  void start_lap_if_due() noexcept;
  void mark_if_crossed() noexcept;
  void set_easy_limit() noexcept;

  RingMemory& memory_;
  const ListenerTable& listeners_;
  const RingGeometry geometry_;
  const std::uint64_t reserve_step_;

  std::uint64_t position_ = 0;
  std::uint64_t frames_ = 0;
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
