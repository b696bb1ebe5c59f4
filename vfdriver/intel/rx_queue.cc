// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/intel/rx_queue.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace vigia::vf::intel {

namespace status = hw::intel::RxStatus;

namespace {

constexpr std::uint64_t kWhole = status::dd | status::eop;

}  // namespace

RxQueue::RxQueue(const Memory& memory, std::uint64_t bad_frame, hw::Doorbell tail, Signal& signal,
                 const hw::PciFunction& function)
    : memory_(memory),
      ring_(memory.ring.data()),
      buffers_(memory.buffers.data()),
      mask_(memory.ring.size() - 1),
      bad_frame_(bad_frame),
      tail_(tail),
      signal_(signal),
      function_(function) {
  check(memory.ring.size() >= 2 && (memory.ring.size() & mask_) == 0);
  check(memory.buffers.size() >= memory.ring.size() * memory.stride && memory.stride >= memory.buffer_bytes);
}

void RxQueue::prepare() noexcept {
  // What the device did not write must not look like a frame.
  std::memset(buffers_, 0xff, memory_.buffers.size());
  for (std::size_t i = 0; i <= mask_; ++i) {
    ring_[i].word0 = hw::to_integer(memory_.buffers_iova + i * memory_.stride);
    ring_[i].word1 = 0;
  }
  next_ = released_ = 0;
  skipping_ = false;
}

std::uint64_t RxQueue::status_at(std::size_t index) const noexcept {
  // Acquire: the device stores this word last, so nothing of the frame may be read before it. Pairs with the device's
  // release store (softnic) or with PCI's write ordering (hardware).
  return std::atomic_ref(ring_[index].word1).load(std::memory_order_acquire);
}

namespace {

std::uint32_t length_of(std::uint64_t word1) noexcept {
  return static_cast<std::uint32_t>(word1 >> status::length_shift & 0xffff);
}

// Makes a descriptor ready for its next use.
void turn_over(hw::intel::RxDescriptor& descriptor, hw::Iova buffer) noexcept {
  descriptor.word0 = hw::to_integer(buffer);
  // Relaxed: release() orders it before the doorbell.
  std::atomic_ref(descriptor.word1).store(0, std::memory_order_relaxed);
}

}  // namespace

RxSegment RxQueue::take(std::size_t index, std::uint64_t word1) noexcept {
  const std::uint64_t at = index * memory_.stride;
  RxSegment segment{buffers_ + at, length_of(word1), (word1 & status::eop) != 0};
  if ((word1 & bad_frame_) != 0) segment.error = RxError::mac;
  if (segment.length == 0 || segment.length > memory_.buffer_bytes) {
    segment.length = std::min(segment.length, memory_.buffer_bytes);
    segment.error |= RxError::length;
  }
  turn_over(ring_[index], memory_.buffers_iova + at);
  return segment;
}

std::size_t RxQueue::receive(std::span<RxSegment> out) noexcept {
  if (skipping_) [[unlikely]] {
    skip_rest_of_cut_frame();
    if (skipping_) return 0;
  }
  // Descriptors ahead are not prefetched: the ring is read in order, which the processor foresees, and a line that the
  // device is about to write would be taken away from it (benchmarks/bench_ixgbevf.cc, across_cores: 12 Mpps with a
  // prefetch 8 ahead, 17 without).
  //
  // In registers: a member would be read again after every store into a descriptor, and each frame wait for the last.
  hw::intel::RxDescriptor* const ring = ring_;
  std::byte* const buffers = buffers_;
  const hw::Iova iova = memory_.buffers_iova;
  const std::uint64_t stride = memory_.stride, looked_at = kWhole | bad_frame_;
  const std::uint32_t buffer_bytes = memory_.buffer_bytes;
  const std::size_t mask = mask_, room = out.size();
  RxSegment* const segments = out.data();
  std::size_t n = 0, next = next_;
  while (n < room) {
    // Acquire: as in status_at().
    const std::uint64_t word1 = std::atomic_ref(ring[next].word1).load(std::memory_order_acquire);
    const std::uint32_t length = length_of(word1);
    if ((word1 & looked_at) != kWhole || length - 1 >= buffer_bytes) [[unlikely]] {  // none at all counts as too many
      if ((word1 & status::dd) == 0) break;
      next_ = next;
      const std::size_t more = take_any(out.subspan(n), n == 0);
      next = next_;
      if (more == 0) break;
      n += more;
      if (skipping_) break;
      continue;
    }
    const std::uint64_t at = next * stride;
    // Field by field into its place: a segment made elsewhere and copied whole is read in wider pieces than it was
    // written, for which the processor waits until all stores have left.
    RxSegment& segment = segments[n++];
    segment.data = buffers + at;
    segment.length = length;
    segment.end_of_frame = true;
    segment.error = 0;
    segment.beyond = 0;
    turn_over(ring[next], iova + at);
    __builtin_prefetch(buffers + at);  // the caller reads the headers next
    next = (next + 1) & mask;
  }
  next_ = next;
  return n;
}

// A frame of any shape, from next_ on: all of it or nothing. Out of line: frames beyond one buffer and bad ones are
// rare.
[[gnu::noinline]] std::size_t RxQueue::take_any(std::span<RxSegment> out, bool burst_is_empty) noexcept {
  const std::size_t room = std::min(out.size(), kMaxSegments);
  std::size_t segments = 0;
  bool complete = false;
  for (; segments < room && !complete; ++segments) {
    const std::uint64_t word1 = status_at((next_ + segments) & mask_);
    if ((word1 & status::dd) == 0) return 0;  // the rest is still on its way
    complete = (word1 & status::eop) != 0;
  }
  if (!complete && room < kMaxSegments && !burst_is_empty) return 0;  // may fit the next, empty burst
  std::uint8_t error = 0;
  for (std::size_t i = 0; i < segments; ++i) {
    out[i] = take(next_, status_at(next_));
    error |= std::exchange(out[i].error, std::uint8_t{0});
    out[i].end_of_frame = false;
    next_ = (next_ + 1) & mask_;
  }
  if (!complete) {
    error |= RxError::cut;
    skipping_ = true;
  }
  out[segments - 1].end_of_frame = true;
  out[segments - 1].error = error;
  return segments;
}

// The frame was handed out already; its remaining descriptors only go back to the device.
void RxQueue::skip_rest_of_cut_frame() noexcept {
  const bool nothing_is_lent = next_ == released_;
  for (std::size_t i = 0; i < mask_ && skipping_; ++i) {
    const std::uint64_t word1 = status_at(next_);
    if ((word1 & status::dd) == 0) break;
    skipping_ = (word1 & status::eop) == 0;
    take(next_, word1);
    next_ = (next_ + 1) & mask_;
  }
  if (nothing_is_lent) release();  // else the caller's release() does it: it still reads the frames before
}

void RxQueue::release() noexcept {
  if (released_ == next_) return;
  // Release: the descriptors rewritten in take() must be in memory before the device sees the new tail. x86 keeps
  // stores in order, so this holds the compiler only.
  std::atomic_thread_fence(std::memory_order_release);
  tail_.ring(static_cast<std::uint32_t>((next_ - 1) & mask_));  // tail == head would mean "no descriptors"
  released_ = next_;
}

void RxQueue::wait(std::chrono::microseconds at_most) noexcept {
  const auto something_there = [this] { return (status_at(next_) & status::dd) != 0; };
  if (something_there()) return;
  signal_.arm();
  if (something_there()) return;  // came between the first look and the arming
  signal_.sleep(at_most);
}

std::uint64_t RxQueue::pending_frames() const noexcept {
  std::uint64_t frames = 0;
  bool counted_already = skipping_;
  for (std::size_t i = 0, at = next_; i < mask_; ++i, at = (at + 1) & mask_) {
    const std::uint64_t word1 = status_at(at);
    if ((word1 & status::dd) == 0) break;
    if ((word1 & status::eop) == 0) continue;
    frames += counted_already ? 0 : 1;
    counted_already = false;
  }
  return frames;
}

}  // namespace vigia::vf::intel
