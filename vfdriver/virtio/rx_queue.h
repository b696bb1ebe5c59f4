// SPDX-License-Identifier: Apache-2.0
// The receive queue of a virtio network device: buffers given back by the device become frames.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "hw/mmio.h"
#include "vfdriver/port.h"
#include "vfdriver/virtio/ring.h"

namespace vigia::vf::virtio {

// The two ways that a queue and its device signal each other. Not owned.
struct Signals {
  int kick = -1;                  // eventfd written when the device wants to know of new buffers; -1: none
  int call = -1;                  // eventfd that the device's interrupt arrives on; -1: none, sleeps are timed
  hw::Bar* notify_bar = nullptr;  // instead of kick: the register that is written, null: none
  const std::uint32_t* notify_at = nullptr;  // its offset, known once the device has told it
};

// What does not depend on the kind of ring.
class RxQueueBase : public RxPort {
 public:
  // Any thread. Why the device cannot be believed any more; empty: nothing is wrong. A literal.
  const char* trouble() const noexcept { return trouble_.load(std::memory_order_acquire); }
  bool alive() const noexcept override {
    // Relaxed: facts, no order.
    return !gone_.load(std::memory_order_relaxed) && trouble_.load(std::memory_order_relaxed) == nullptr;
  }
  void wait(std::chrono::microseconds at_most) noexcept override;
  // Gives all buffers to the device: once, before it is told that the driver is ready.
  virtual void fill() noexcept = 0;

 protected:
  RxQueueBase(std::span<std::byte> buffers, const Buffers& layout, const Signals& signals,
              const std::atomic<bool>& gone) noexcept
      : buffers_(buffers), layout_(layout), signals_(signals), gone_(gone) {}

  virtual void arm() noexcept = 0;
  virtual void disarm() noexcept = 0;
  virtual bool anything() const noexcept = 0;

  std::byte* buffer(std::uint16_t id) const noexcept { return buffers_.data() + std::size_t{id} * layout_.stride; }
  // How many buffers the device says that the frame which begins in this one lies in; at least 1.
  std::uint16_t buffers_of_frame(const Used& first) const noexcept;
  // One buffer as a piece of a frame, into out. In place: a segment that is put together elsewhere is copied in wider
  // pieces than it was written in, and the processor waits for each frame's stores.
  void piece(RxSegment& out, const Used& used, bool first) const noexcept {
    const std::uint32_t header = first ? sizeof(hw::virtio::NetHeader) : 0;
    const std::byte* const data = buffer(used.id) + header;
    // Longer frames than these two lines are fetched ahead by the processor.
    __builtin_prefetch(data);
    __builtin_prefetch(data + 64);
    if (used.length > header && used.length <= layout_.bytes) [[likely]] {
      ::new (&out) RxSegment{data, used.length - header, true};
    } else {
      ::new (&out) RxSegment{data, used.length <= header ? 0 : layout_.bytes - header, true, RxError::length};
    }
  }
  void kick() const noexcept;

  const std::span<std::byte> buffers_;
  const Buffers layout_;
  const Signals signals_;
  const std::atomic<bool>& gone_;
  std::atomic<const char*> trouble_{nullptr};
};

template <class Ring>
class RxQueue final : public RxQueueBase {
 public:
  // size: of the ring, as many buffers of layout lie in `buffers`. mergeable: frames may lie in several of them. What
  // is passed by reference or span outlives the queue.
  RxQueue(std::span<std::byte> ring_memory, unsigned size, std::span<std::byte> buffers, const Buffers& layout,
          bool mergeable, bool event_index, const Signals& signals, const std::atomic<bool>& gone)
      : RxQueueBase(buffers, layout, signals, gone),
        ring_(ring_memory, size, layout, event_index),
        mergeable_(mergeable),
        give_at_(std::max(1u, size / Ring::kGivings)),
        collected_(size),
        lent_(size) {
    check(buffers.size() >= std::size_t{size} * layout.stride && layout.bytes > sizeof(hw::virtio::NetHeader));
  }

  std::size_t receive(std::span<RxSegment> out) noexcept override;
  void release() noexcept override;
  std::uint64_t pending_frames() const noexcept override;
  void fill() noexcept override;

 private:
  void arm() noexcept override { ring_.arm(); }
  void disarm() noexcept override { ring_.disarm(); }
  bool anything() const noexcept override { return ring_.anything(); }

  // Empty looks one after the other, some microseconds, after which no frame is on its way.
  static constexpr unsigned kQuietLooks = 256;

  // Collected but not handed out, oldest first.
  std::size_t waiting() const noexcept { return collected_end_ - collected_begin_; }
  void collect() noexcept;
  void give_back() noexcept;
  void lend(std::uint16_t id) noexcept { lent_[lent_count_++] = id; }
  std::size_t take_long(std::span<RxSegment> out, std::size_t pieces, bool burst_is_empty) noexcept;

  Ring ring_;
  const bool mergeable_;
  const std::size_t give_at_;  // buffers released that are worth telling the device
  std::vector<Used> collected_;
  std::size_t collected_begin_ = 0, collected_end_ = 0;
  std::vector<std::uint16_t> lent_;  // go back to the device in this order
  std::size_t lent_count_ = 0;
  std::size_t released_ = 0;  // of them, from the front: nobody reads them any more
  unsigned empty_looks_ = 0;
};

template <class Ring>
void RxQueue<Ring>::collect() noexcept {
  if (collected_begin_ > 0) {
    std::copy(collected_.begin() + static_cast<std::ptrdiff_t>(collected_begin_),
              collected_.begin() + static_cast<std::ptrdiff_t>(collected_end_), collected_.begin());
    collected_end_ -= collected_begin_;
    collected_begin_ = 0;
  }
  // A few bursts ahead at most, so that what was collected is still in the cache when it is handed out.
  constexpr std::size_t kAhead = 64;
  const std::size_t room = std::min(collected_.size() - collected_end_, std::max(kAhead, waiting() + 1));
  collected_end_ += ring_.collect(std::span(collected_).subspan(collected_end_, room));
  if (!ring_.violation().empty()) trouble_.store(ring_.violation().data(), std::memory_order_release);
}

template <class Ring>
std::size_t RxQueue<Ring>::receive(std::span<RxSegment> out) noexcept {
  std::size_t n = 0;
  if (waiting() < out.size()) collect();
  while (n < out.size() && waiting() > 0) {
    const Used& used = collected_[collected_begin_];
    const std::size_t pieces = mergeable_ ? buffers_of_frame(used) : 1;
    if (pieces > 1) [[unlikely]] {
      const std::size_t more = take_long(out.subspan(n), pieces, n == 0);
      if (more == 0) break;
      n += more;
      continue;
    }
    piece(out[n++], used, true);
    lend(used.id);
    ++collected_begin_;
  }
  if (n > 0) {
    empty_looks_ = 0;
  } else if (++empty_looks_ >= kQuietLooks && released_ > 0 && released_ == lent_count_) {
    give_back();  // nobody is busy: the device had better have them all
  }
  return n;
}

// A frame of several buffers: all of it or nothing.
template <class Ring>
[[gnu::noinline]] std::size_t RxQueue<Ring>::take_long(std::span<RxSegment> out, std::size_t pieces,
                                                       bool burst_is_empty) noexcept {
  if (pieces > collected_.size()) {
    trouble_.store("it says that a frame lies in more buffers than the ring has", std::memory_order_release);
    return 0;
  }
  while (waiting() < pieces) {
    const std::size_t before = waiting();
    collect();
    if (waiting() == before) return 0;  // the rest is still on its way
  }
  if (pieces > out.size() && !burst_is_empty) return 0;  // may fit the next, empty burst
  const std::size_t handed_out = std::min(pieces, out.size());
  std::uint8_t error = pieces > handed_out ? RxError::cut : std::uint8_t{0};
  for (std::size_t i = 0; i < pieces; ++i) {
    const Used& used = collected_[collected_begin_++];
    lend(used.id);
    if (i >= handed_out) continue;
    piece(out[i], used, i == 0);
    error |= std::exchange(out[i].error, std::uint8_t{0});
    out[i].end_of_frame = i + 1 == handed_out;
  }
  out[handed_out - 1].error = error;
  return handed_out;
}

template <class Ring>
void RxQueue<Ring>::release() noexcept {
  released_ = lent_count_;
  if (released_ >= give_at_) give_back();
}

template <class Ring>
void RxQueue<Ring>::give_back() noexcept {
  const bool wanted = ring_.give(std::span(lent_).first(released_));
  lent_count_ = released_ = 0;
  if (wanted) kick();
}

template <class Ring>
void RxQueue<Ring>::fill() noexcept {
  for (std::size_t i = 0; i < lent_.size(); ++i) lent_[i] = static_cast<std::uint16_t>(i);
  lent_count_ = released_ = lent_.size();
  give_back();
}

template <class Ring>
std::uint64_t RxQueue<Ring>::pending_frames() const noexcept {
  Ring look = ring_;  // its own indices on the same memory; collect() writes nothing there
  std::vector<Used> all(collected_.begin() + static_cast<std::ptrdiff_t>(collected_begin_),
                        collected_.begin() + static_cast<std::ptrdiff_t>(collected_end_));
  const std::size_t before = all.size();
  all.resize(before + ring_.in_flight());
  all.resize(before + look.collect(std::span(all).subspan(before)));
  std::uint64_t frames = 0;
  for (std::size_t i = 0; i < all.size(); ++frames) i += mergeable_ ? buffers_of_frame(all[i]) : 1;
  return frames;
}

}  // namespace vigia::vf::virtio
