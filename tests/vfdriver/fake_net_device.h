// SPDX-License-Identifier: Apache-2.0
// The device's side of a virtio network device's receive queue, split or packed, as the standard says (virtio 1.2, 2.7
// and 2.8), for tests: delivers frames into the driver's buffers.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>

#include "hw/result.h"
#include "hw/virtio/ring.h"

namespace vigia::vf::test {

class FakeNetDevice {
 public:
  // What the driver has told. The memory functions turn its addresses into bytes of ours, or abort.
  struct Ring {
    std::uint32_t size = 0;
    std::uint64_t descriptors = 0, driver = 0, device = 0;
    bool packed = false, event_index = false;
    std::function<std::byte*(std::uint64_t, std::size_t)> ring_memory, frame_memory;
    std::function<void()> interrupt;
  };
  FakeNetDevice() = default;
  explicit FakeNetDevice(Ring ring) : r(std::move(ring)) {}

  // Writes a frame into as many buffers as it needs. False: there are too few.
  bool deliver(std::span<const std::byte> frame) { return r.packed ? deliver_packed(frame) : deliver_split(frame); }
  std::uint16_t taken() const { return next; }

 private:
  static constexpr std::size_t kHeader = sizeof(hw::virtio::NetHeader);

  template <class T>
  T& at_user(std::uint64_t address) {
    return *reinterpret_cast<T*>(r.ring_memory(address, sizeof(T)));
  }
  std::byte* at_guest(std::uint64_t address, std::size_t bytes) { return r.frame_memory(address, bytes); }
  static std::uint16_t acquire(std::uint16_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
  static void publish(std::uint16_t& word, std::uint16_t v) {
    std::atomic_ref(word).store(v, std::memory_order_release);
  }

  // Piece by piece: what fits into the buffer at address; the first has a header.
  std::uint32_t fill(std::uint64_t address, std::uint32_t room, std::span<const std::byte>& left, std::uint16_t pieces,
                     bool first) {
    std::byte* to = at_guest(address, room);
    std::uint32_t written = 0;
    if (first) {
      hw::virtio::NetHeader header{};
      header.buffers = pieces;
      std::memcpy(to, &header, kHeader);
      written = kHeader;
    }
    const std::size_t n = std::min<std::size_t>(room - written, left.size());
    std::memcpy(to + written, left.data(), n);
    left = left.subspan(n);
    return written + static_cast<std::uint32_t>(n);
  }
  static std::uint16_t pieces_of(std::size_t frame, std::uint32_t room) {
    return static_cast<std::uint16_t>((frame + kHeader + room - 1) / room);
  }

  bool deliver_split(std::span<const std::byte> frame) {
    const auto mask = static_cast<std::uint16_t>(r.size - 1);
    const std::uint16_t avail = acquire(at_user<std::uint16_t>(r.driver + 2));
    const auto& first = at_user<hw::virtio::SplitDescriptor>(r.descriptors);
    const std::uint16_t pieces = pieces_of(frame.size(), first.length);
    if (static_cast<std::uint16_t>(avail - next) < pieces) return false;
    const std::uint16_t old = used;
    std::span<const std::byte> left = frame;
    for (std::uint16_t i = 0; i < pieces; ++i) {
      const std::uint16_t id =
          at_user<std::uint16_t>(r.driver + 4 + 2 * std::uint64_t{static_cast<std::uint16_t>(next++ & mask)});
      const auto& d = at_user<hw::virtio::SplitDescriptor>(r.descriptors + 16 * std::uint64_t{id});
      check(d.flags == hw::virtio::DescriptorFlag::write);
      auto& element =
          at_user<hw::virtio::UsedElement>(r.device + 4 + 8 * std::uint64_t{static_cast<std::uint16_t>(used++ & mask)});
      element = {id, fill(d.address, d.length, left, pieces, i == 0)};
    }
    publish(at_user<std::uint16_t>(r.device + 2), used);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    const bool wanted =
        r.event_index
            ? hw::virtio::passed(acquire(at_user<std::uint16_t>(r.driver + 4 + 2 * std::uint64_t{r.size})), used, old)
            : (acquire(at_user<std::uint16_t>(r.driver)) & hw::virtio::kNoInterrupt) == 0;
    if (wanted) r.interrupt();
    return true;
  }

  bool deliver_packed(std::span<const std::byte> frame) {
    using hw::virtio::PackedDescriptor;
    namespace flag = hw::virtio::DescriptorFlag;
    const auto slot = [&](std::uint16_t i) -> PackedDescriptor& {
      return at_user<PackedDescriptor>(r.descriptors + 16 * std::uint64_t{i});
    };
    const auto there = [&](std::uint16_t i, bool lap) {
      const std::uint16_t flags = acquire(slot(i).flags);
      return ((flags & flag::avail) != 0) == lap && ((flags & flag::used) != 0) != lap;
    };
    if (!there(next, wrap)) return false;
    const std::uint16_t pieces = pieces_of(frame.size(), slot(next).length);
    std::uint16_t look = next;
    bool look_wrap = wrap;
    for (std::uint16_t i = 0; i < pieces; ++i) {
      if (!there(look, look_wrap)) return false;
      if (++look == r.size) look = 0, look_wrap = !look_wrap;
    }
    // Used descriptors overwrite the available ones in place; the first one's flags last.
    const std::uint16_t first = next;
    const bool first_wrap = wrap;
    std::span<const std::byte> left = frame;
    for (std::uint16_t i = 0; i < pieces; ++i) {
      PackedDescriptor& d = slot(next);
      d.length = fill(d.address, d.length, left, pieces, i == 0);
      const std::uint16_t flags = wrap ? flag::avail | flag::used : 0;
      if (i > 0) publish(d.flags, flags);
      if (++next == r.size) next = 0, wrap = !wrap;
    }
    publish(slot(first).flags, first_wrap ? flag::avail | flag::used : 0);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    auto& wish = at_user<hw::virtio::EventSuppression>(r.driver);
    if (acquire(wish.flags) != hw::virtio::kEventsOff) r.interrupt();
    return true;
  }

  Ring r;
  std::uint16_t next = 0, used = 0;
  bool wrap = true;
};

}  // namespace vigia::vf::test
