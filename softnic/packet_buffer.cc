// SPDX-License-Identifier: Apache-2.0
#include "softnic/packet_buffer.h"

#include <cstring>

#include "hw/result.h"

namespace vigia::softnic {

void PacketBuffer::push(const Entry& entry, FrameBytes bytes) {
  check(room_for(bytes.size()) && entry.length == bytes.size());
  // The store is more than twice the limit, so the frame never reaches one that still waits.
  if (write_ + bytes.size() > data_.size()) write_ = 0;
  entries_[(first_ + count_) % entries_.size()] = {entry, write_};
  std::memcpy(data_.data() + write_, bytes.data(), bytes.size());
  write_ += bytes.size();
  used_ += bytes.size();
  ++count_;
  network_frames_ += entry.from_network;
}

void PacketBuffer::pop() noexcept {
  used_ -= entries_[first_].entry.length;
  network_frames_ -= entries_[first_].entry.from_network;
  first_ = (first_ + 1) % entries_.size();
  --count_;
}

}  // namespace vigia::softnic
