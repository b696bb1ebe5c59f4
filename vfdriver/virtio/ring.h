// SPDX-License-Identifier: Apache-2.0
// The driver's side of a virtqueue whose descriptors are single buffers that the device writes, split or packed. The
// device is not trusted: whatever it writes, no buffer number is taken twice or outside the ring. All that lies in
// shared memory is read once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/virtio/ring.h"

namespace vigia::vf::virtio {

// A buffer that the device has given back: its number and what it says to have written.
struct Used {
  std::uint16_t id;
  std::uint32_t length;
};

// What both kinds of ring keep. A single thread uses it.
class RingBase {
 public:
  // Why nothing more can be believed; empty: the device keeps to the rules.
  std::string_view violation() const noexcept { return violation_; }
  // Buffers that the device has.
  unsigned in_flight() const noexcept { return in_flight_; }

 protected:
  explicit RingBase(unsigned size) : theirs_(size, 0), size_(static_cast<std::uint16_t>(size)) {}
  // Whether the device may give that buffer back now; takes it.
  bool take(std::uint32_t id) noexcept;
  void hand_over(std::uint16_t id) noexcept;
  void broken(std::string_view why) noexcept { violation_ = why; }

  std::vector<std::uint8_t> theirs_;  // by buffer number
  const std::uint16_t size_;
  std::uint16_t in_flight_ = 0;
  std::string_view violation_;
};

// Where buffer i lies for the device: base + i * stride, bytes long.
struct Buffers {
  hw::Iova base;
  std::uint32_t stride, bytes;
};

class SplitRing final : public RingBase {
 public:
  // Givings a lap of a busy queue: a device looks at the available index before each burst, and has to fetch its line
  // from our cache each time that it was moved.
  static constexpr unsigned kGivings = 8;

  // memory: hw::virtio::parts_of(size, false), zeros; outlives the ring. size: a power of two, at most 32768.
  SplitRing(std::span<std::byte> memory, unsigned size, const Buffers& buffers, bool event_index);

  // Takes what the device has given back, in its order, as much as fits.
  std::size_t collect(std::span<Used> out) noexcept;
  // Whether collect() would find something.
  bool anything() const noexcept;
  // Hands buffers to the device. True: it wants to be notified.
  bool give(std::span<const std::uint16_t> ids) noexcept;
  // From the next used buffer on the device interrupts; look once more before sleeping. disarm() takes it back.
  void arm() noexcept;
  void disarm() noexcept;

 private:
  std::uint16_t& word(std::size_t offset) const noexcept;
  std::size_t available(std::uint16_t index) const noexcept;

  const std::span<std::byte> memory_;
  const hw::virtio::QueueParts parts_;
  const std::uint16_t mask_;
  const bool event_index_;
  std::uint16_t next_available_ = 0, last_used_ = 0;
};

class PackedRing final : public RingBase {
 public:
  static constexpr unsigned kGivings = 32768;  // no common word is written: as soon as released

  // memory: hw::virtio::parts_of(size, true), zeros.
  PackedRing(std::span<std::byte> memory, unsigned size, const Buffers& buffers, bool event_index);

  std::size_t collect(std::span<Used> out) noexcept;
  bool anything() const noexcept;
  bool give(std::span<const std::uint16_t> ids) noexcept;
  void arm() noexcept;
  void disarm() noexcept;

 private:
  bool is_used(std::uint16_t flags) const noexcept;

  hw::virtio::PackedDescriptor* const ring_;
  hw::virtio::EventSuppression *const driver_, *const device_;
  const Buffers buffers_;
  const bool event_index_;
  std::uint16_t next_available_ = 0, next_used_ = 0;
  bool available_wrap_ = true, used_wrap_ = true;
};

}  // namespace vigia::vf::virtio
