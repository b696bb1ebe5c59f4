// SPDX-License-Identifier: Apache-2.0
// The receive packet buffer: a FIFO of frames that cannot be delivered yet. Its first frame blocks all others, as in
// the device.
#pragma once

#include <cstdint>
#include <vector>

#include "softnic/frame.h"
#include "softnic/pool_select.h"

namespace vigia::softnic {

class PacketBuffer {
 public:
  static constexpr std::uint32_t kMaxBytes = 512 * 1024, kMaxFrame = 64 * 1024;

  // What is known about a waiting frame.
  struct Entry {
    std::uint32_t length = 0;
    bool from_network = false;  // else it comes from a pool
    L2Key l2;
    std::uint64_t word0 = 0, status = 0;  // for the write-back
    std::uint32_t hash = 0;
    std::int8_t ethertype_filter = -1;
    PoolMask pools = 0;  // that still get their copy
    PoolMask mirrored = 0;
  };

  PacketBuffer() : data_(2 * kMaxBytes + kMaxFrame), entries_(kMaxBytes / 60 + 1) {}

  // RXPBSIZE[0]; at most kMaxBytes. What waits already stays.
  void set_limit(std::uint32_t bytes) { limit_ = bytes < kMaxBytes ? bytes : kMaxBytes; }
  bool empty() const noexcept { return count_ == 0; }
  bool room_for(std::size_t bytes) const noexcept {
    return bytes <= kMaxFrame && used_ + bytes <= limit_ && count_ < entries_.size();
  }
  std::uint32_t network_frames() const noexcept { return network_frames_; }

  // There is room_for() the frame; entry.length says its length.
  void push(const Entry& entry, FrameBytes bytes);
  Entry& front() noexcept { return entries_[first_].entry; }
  FrameBytes front_bytes() const noexcept {
    return {data_.data() + entries_[first_].offset, entries_[first_].entry.length};
  }
  void pop() noexcept;

 private:
  struct Stored {
    Entry entry;
    std::size_t offset = 0;
  };
  std::vector<std::byte> data_;  // frames are contiguous: one that does not fit at the end begins at 0
  std::vector<Stored> entries_;
  std::size_t first_ = 0, count_ = 0, write_ = 0;
  std::size_t used_ = 0, limit_ = kMaxBytes;
  std::uint32_t network_frames_ = 0;
};

}  // namespace vigia::softnic
