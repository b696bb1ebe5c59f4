// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/virtio/ring.h"

#include <algorithm>
#include <atomic>

namespace vigia::vf::virtio {

namespace flag = hw::virtio::DescriptorFlag;
using hw::virtio::kRingHeader;

namespace {

constexpr std::size_t kFlagsAt = 0, kIndexAt = 2;

std::uint16_t load(std::uint16_t& word, std::memory_order order) noexcept { return std::atomic_ref(word).load(order); }
void store(std::uint16_t& word, std::uint16_t value, std::memory_order order) noexcept {
  std::atomic_ref(word).store(value, order);
}
std::uint32_t load_once(std::uint32_t& word) noexcept {
  return std::atomic_ref(word).load(std::memory_order_relaxed);  // relaxed: ordered by the index or flags before it
}

// Our store before our load: the device looks at the two words the other way round.
void full_fence() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }

}  // namespace

bool RingBase::take(std::uint32_t id) noexcept {
  if (id >= size_) {
    broken("it gave back a buffer number outside the ring");
    return false;
  }
  if (theirs_[id] == 0) {
    broken("it gave back a buffer that it did not have");
    return false;
  }
  theirs_[id] = 0;
  --in_flight_;
  return true;
}

void RingBase::hand_over(std::uint16_t id) noexcept {
  check(id < size_ && theirs_[id] == 0);
  theirs_[id] = 1;
  ++in_flight_;
}

// --- split ----------------------------------------------------------------------------------------------------------

SplitRing::SplitRing(std::span<std::byte> memory, unsigned size, const Buffers& buffers, bool event_index)
    : RingBase(size),
      memory_(memory),
      parts_(hw::virtio::parts_of(size, false)),
      mask_(static_cast<std::uint16_t>(size - 1)),
      event_index_(event_index) {
  check(size >= 2 && size <= 32768 && (size & (size - 1)) == 0 && memory.size() >= parts_.bytes);
  // SAFETY: the caller's memory holds the parts, checked above, and is aligned to a page.
  auto* descriptors = reinterpret_cast<hw::virtio::SplitDescriptor*>(memory.data() + parts_.descriptors);
  for (unsigned i = 0; i < size; ++i) {
    descriptors[i] = {hw::to_integer(buffers.base + std::uint64_t{i} * buffers.stride), buffers.bytes, flag::write, 0};
  }
  disarm();
}

std::uint16_t& SplitRing::word(std::size_t offset) const noexcept {
  // SAFETY: offsets come from parts_, within memory_, even.
  return *reinterpret_cast<std::uint16_t*>(memory_.data() + offset);
}

std::size_t SplitRing::available(std::uint16_t index) const noexcept {
  return parts_.driver + kRingHeader + std::size_t{2} * static_cast<std::uint16_t>(index & mask_);
}

bool SplitRing::anything() const noexcept {
  return load(word(parts_.device + kIndexAt), std::memory_order_acquire) != last_used_;
}

std::size_t SplitRing::collect(std::span<Used> out) noexcept {
  // Acquire: the device moves the index after it has written the elements and the frames.
  const std::uint16_t index = load(word(parts_.device + kIndexAt), std::memory_order_acquire);
  const auto there = static_cast<std::uint16_t>(index - last_used_);
  if (there > in_flight_) [[unlikely]] {
    broken("its used index runs ahead of the buffers that it had");
    return 0;
  }
  const std::size_t n = violation_.empty() ? std::min<std::size_t>(there, out.size()) : 0;
  for (std::size_t i = 0; i < n; ++i) {
    // SAFETY: within the used ring by the mask; 4-byte aligned.
    auto& element = *reinterpret_cast<hw::virtio::UsedElement*>(memory_.data() + parts_.device + kRingHeader +
                                                                sizeof(hw::virtio::UsedElement) * (last_used_ & mask_));
    const std::uint32_t id = load_once(element.id);
    if (!take(id)) [[unlikely]]
      return i;
    out[i] = {static_cast<std::uint16_t>(id), load_once(element.length)};
    ++last_used_;
  }
  return n;
}

bool SplitRing::give(std::span<const std::uint16_t> ids) noexcept {
  if (ids.empty()) return false;
  const std::uint16_t old = next_available_;
  for (const std::uint16_t id : ids) {
    hand_over(id);
    std::uint16_t& entry = word(available(next_available_++));
    // A device that uses buffers in order gets the same entries each lap: unwritten, their line stays in its cache.
    if (load(entry, std::memory_order_relaxed) == id) continue;
    store(entry, id, std::memory_order_relaxed);  // relaxed: the index follows
  }
  // Release: the entries are there before the index says so.
  store(word(parts_.driver + kIndexAt), next_available_, std::memory_order_release);
  full_fence();
  if (event_index_) {
    const std::size_t at = parts_.device + kRingHeader + sizeof(hw::virtio::UsedElement) * size_;
    return hw::virtio::passed(load(word(at), std::memory_order_relaxed), next_available_, old);
  }
  return (load(word(parts_.device + kFlagsAt), std::memory_order_relaxed) & hw::virtio::kNoNotify) == 0;
}

void SplitRing::arm() noexcept {
  if (event_index_) {
    store(word(parts_.driver + kRingHeader + std::size_t{2} * size_), last_used_, std::memory_order_relaxed);
  } else {
    store(word(parts_.driver + kFlagsAt), 0, std::memory_order_relaxed);
  }
  full_fence();
}

void SplitRing::disarm() noexcept {
  if (event_index_) {
    // A position that was passed just now is the one that takes longest to be passed again.
    store(word(parts_.driver + kRingHeader + std::size_t{2} * size_), static_cast<std::uint16_t>(last_used_ - 1),
          std::memory_order_relaxed);
  } else {
    store(word(parts_.driver + kFlagsAt), hw::virtio::kNoInterrupt, std::memory_order_relaxed);
  }
}

// --- packed ---------------------------------------------------------------------------------------------------------

PackedRing::PackedRing(std::span<std::byte> memory, unsigned size, const Buffers& buffers, bool event_index)
    // SAFETY: the caller's memory holds the parts, checked below, and is aligned to a page.
    : RingBase(size),
      ring_(reinterpret_cast<hw::virtio::PackedDescriptor*>(memory.data())),
      driver_(reinterpret_cast<hw::virtio::EventSuppression*>(memory.data() + hw::virtio::parts_of(size, true).driver)),
      device_(reinterpret_cast<hw::virtio::EventSuppression*>(memory.data() + hw::virtio::parts_of(size, true).device)),
      buffers_(buffers),
      event_index_(event_index) {
  check(size >= 2 && size <= 32768 && memory.size() >= hw::virtio::parts_of(size, true).bytes);
  disarm();
}

bool PackedRing::is_used(std::uint16_t flags) const noexcept {
  return ((flags & flag::avail) != 0) == used_wrap_ && ((flags & flag::used) != 0) == used_wrap_;
}

bool PackedRing::anything() const noexcept {
  return in_flight_ > 0 && is_used(load(ring_[next_used_].flags, std::memory_order_acquire));
}

std::size_t PackedRing::collect(std::span<Used> out) noexcept {
  std::size_t n = 0;
  while (n < out.size() && in_flight_ > 0 && violation_.empty()) {
    hw::virtio::PackedDescriptor& descriptor = ring_[next_used_];
    // Acquire: the device writes the flags last.
    if (!is_used(load(descriptor.flags, std::memory_order_acquire))) break;
    const std::uint16_t id = load(descriptor.id, std::memory_order_relaxed);
    if (!take(id)) break;
    out[n++] = {id, load_once(descriptor.length)};
    if (++next_used_ == size_) {
      next_used_ = 0;
      used_wrap_ = !used_wrap_;
    }
  }
  return n;
}

bool PackedRing::give(std::span<const std::uint16_t> ids) noexcept {
  if (ids.empty()) return false;
  for (const std::uint16_t id : ids) {
    hand_over(id);
    hw::virtio::PackedDescriptor& descriptor = ring_[next_available_];
    std::atomic_ref(descriptor.address)
        .store(hw::to_integer(buffers_.base + std::uint64_t{id} * buffers_.stride), std::memory_order_relaxed);
    std::atomic_ref(descriptor.length).store(buffers_.bytes, std::memory_order_relaxed);
    store(descriptor.id, id, std::memory_order_relaxed);
    // Release: the descriptor is whole before its flags say that it is there.
    store(descriptor.flags,
          static_cast<std::uint16_t>(flag::write | (available_wrap_ ? flag::avail : 0) |
                                     (available_wrap_ ? 0 : flag::used)),
          std::memory_order_release);
    if (++next_available_ == size_) {
      next_available_ = 0;
      available_wrap_ = !available_wrap_;
    }
  }
  full_fence();
  const std::uint16_t wish = load(device_->flags, std::memory_order_acquire);
  if (wish != hw::virtio::kEventsAt || !event_index_) return wish != hw::virtio::kEventsOff;
  const std::uint16_t position = load(device_->position, std::memory_order_relaxed);
  const bool same_lap = ((position & 0x8000) != 0) == available_wrap_;
  auto event = static_cast<std::uint16_t>(position & 0x7fff);
  if (!same_lap) event = static_cast<std::uint16_t>(event - size_);
  const auto from = static_cast<std::uint16_t>(next_available_ - ids.size());
  return hw::virtio::passed(event, next_available_, from);
}

void PackedRing::arm() noexcept {
  store(driver_->flags, hw::virtio::kEventsOn, std::memory_order_relaxed);
  full_fence();
}

void PackedRing::disarm() noexcept { store(driver_->flags, hw::virtio::kEventsOff, std::memory_order_relaxed); }

}  // namespace vigia::vf::virtio
