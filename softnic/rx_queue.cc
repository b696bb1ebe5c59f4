// SPDX-License-Identifier: Apache-2.0
#include "softnic/rx_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "hw/ixgbe/model.h"
#include "hw/log.h"
#include "softnic/copy.h"
#include "softnic/registers.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;

// Offsets within a queue's 64 bytes of registers.
constexpr std::uint32_t kRdbal = 0x00, kRdbah = 0x04, kRdlen = 0x08, kRdh = 0x10, kSrrctl = 0x14, kRdt = 0x18,
                        kRxdctl = 0x28;
constexpr std::uint32_t kTagOffset = 12, kTagBytes = 4;
constexpr std::uint32_t kDescriptorBytes = sizeof(RxDescriptor);

// The packet buffers a 1 KiB unit of SRRCTL.BSIZEPACKET; up to 16 are legal.
constexpr std::uint32_t kMaxBufferKib = 16;

std::uint64_t load_word(const std::byte* at) {
  // SAFETY: descriptors are 16-byte aligned (RingView) and live in shared memory, hence the atomic access.
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(at))).load(std::memory_order_relaxed);
}

void store_word(std::byte* at, std::uint64_t value, std::memory_order order) {
  // SAFETY: as above.
  std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at)).store(value, order);
}

}  // namespace

std::uint32_t RxQueue::reg(std::uint32_t member) const noexcept { return RegisterFile::load(block_ + member / 4); }
void RxQueue::set_reg(std::uint32_t member, std::uint32_t value) noexcept {
  RegisterFile::store(block_ + member / 4, value);
}

void RxQueue::bind(unsigned number, std::uint32_t* block, FunctionCore* owner) {
  number_ = number;
  block_ = block;
  owner_ = owner;
  stop();
}

void RxQueue::stop() {
  flush();
  enabled_ = false;
  available_ = fetched_ = 0;
  starved_since_ns = 0;
  ring_.clear();
  // The client may write the word at the same time: only our bit must go.
  std::atomic_ref(block_[kRxdctl / 4]).fetch_and(~Rxdctl::enable, std::memory_order_relaxed);
}

bool RxQueue::validate(std::string& why) const {
  const std::uint32_t length = reg(kRdlen), srrctl = reg(kSrrctl);
  const std::uint32_t kib = srrctl & Srrctl::bsizepacket_mask, type = srrctl & Srrctl::desctype_mask;
  if (length == 0 || length % kRingAlign != 0 || length > kMaxRingBytes) {
    why = fmt::format("RDLEN {} is not a multiple of {} between {} and {}", length, kRingAlign, kRingAlign,
                      kMaxRingBytes);
  } else if (kib == 0 || kib > kMaxBufferKib) {
    why = fmt::format("SRRCTL.BSIZEPACKET is {} KiB, must be 1 to {}", kib, kMaxBufferKib);
  } else if (type != Srrctl::desctype_advanced && type != Srrctl::desctype_legacy) {
    why = fmt::format("SRRCTL.DESCTYPE {} (header split) is not modelled, use 1", type >> 25);
  } else if (reg(kRdh) >= length / kDescriptorBytes) {
    why = fmt::format("RDH {} lies beyond the ring of {} descriptors", reg(kRdh), length / kDescriptorBytes);
  }
  return why.empty();
}

bool RxQueue::start() {
  std::string why;
  if (!validate(why)) {
    fault(why);
    return false;
  }
  entries_ = reg(kRdlen) / kDescriptorBytes;
  const auto base = static_cast<hw::Iova>((reg(kRdbal) & ~0x7fu) | std::uint64_t{reg(kRdbah)} << 32);
  if (!ring_.translate(owner_->dma, base, entries_)) {
    fault(fmt::format("ring at {:#x}, {} descriptors, is not in the function's DMA memory", hw::to_integer(base),
                      entries_));
    return false;
  }
  generation_ = owner_->dma.generation();
  head_ = tail_ = pending_index_ = reg(kRdh);
  available_ = fetched_ = pending_ = 0;
  enabled_ = true;
  logged_ = false;
  return true;
}

void RxQueue::fault(std::string_view why) {
  ++faults_;
  stop();
  if (!logged_) log::warning("{}: receive queue {} stopped: {}", owner_->name, number_, why);
  logged_ = true;
}

void RxQueue::sync(bool force_drop) {
  const std::uint32_t rxdctl = reg(kRxdctl);
  const bool wanted = (rxdctl & Rxdctl::enable) != 0;
  if (!wanted) {
    if (enabled_) stop();
    return;
  }
  if (!enabled_ && !start()) return;
  const std::uint32_t srrctl = reg(kSrrctl);
  const std::uint32_t kib = srrctl & Srrctl::bsizepacket_mask;
  if (kib == 0 || kib > kMaxBufferKib) return fault(fmt::format("SRRCTL.BSIZEPACKET became {} KiB", kib));
  if (generation_ != owner_->dma.generation()) {
    const auto base = static_cast<hw::Iova>((reg(kRdbal) & ~0x7fu) | std::uint64_t{reg(kRdbah)} << 32);
    if (!ring_.translate(owner_->dma, base, entries_)) return fault("its ring was unmapped while it was enabled");
    generation_ = owner_->dma.generation();
    fetched_ = 0;
  }
  if (buffer_bytes_ != kib * 1024) {
    buffer_bytes_ = kib * 1024;
    fetched_ = 0;  // what was fetched was translated for another size
  }
  strip_ = (rxdctl & Rxdctl::vme) != 0;
  legacy_ = (srrctl & Srrctl::desctype_mask) == Srrctl::desctype_legacy;
  drop_ = force_drop || (srrctl & Srrctl::drop_en) != 0;
  // Acquire: descriptors that software stored before it moved the tail are read after this.
  const std::uint32_t tail = std::atomic_ref(block_[kRdt / 4]).load(std::memory_order_acquire);
  if (tail == tail_) return;
  if (tail >= entries_) return fault(fmt::format("tail {} lies beyond the ring of {} descriptors", tail, entries_));
  tail_ = tail;
  available_ = tail >= head_ ? tail - head_ : tail + entries_ - head_;
  fetched_ = std::min(fetched_, available_);
  starved_since_ns = 0;
}

void RxQueue::fetch() noexcept {
  const std::uint32_t n = std::min({kFetch, available_ - fetched_, kFetched - fetched_});
  std::uint32_t at = wrap(head_ + fetched_);
  for (std::uint32_t i = 0; i < n; ++i, at = wrap(at + 1)) {
    Slot& slot = slots_[(first_slot_ + fetched_) % kFetched];
    std::byte* const descriptor = ring_.at(at);
    slot.iova = static_cast<hw::Iova>(load_word(descriptor));
    slot.memory = owner_->dma.translate(slot.iova, buffer_bytes_, true);
    ++fetched_;
  }
  // The descriptors of the next fetch.
  __builtin_prefetch(ring_.at(at), 1);
  __builtin_prefetch(ring_.at(wrap(at + 4)), 1);
}

RxQueue::Slot RxQueue::take() noexcept {
  if (fetched_ <= kFetched / 2 && fetched_ < available_) fetch();
  const Slot slot = slots_[first_slot_];
  first_slot_ = (first_slot_ + 1) % kFetched;
  --fetched_;
  --available_;
  head_ = wrap(head_ + 1);
  return slot;
}

void RxQueue::finish(std::uint64_t word0, std::uint64_t word1) noexcept {
  if (pending_ == kPending) flush();
  done_[pending_++] = {word0, word1};
}

void RxQueue::flush() noexcept {
  if (pending_ == 0) return;
  _mm_sfence();  // what stream_bytes() has written comes before the done bits
  std::uint32_t at = pending_index_;
  for (std::uint32_t i = 0; i < pending_; ++i, at = wrap(at + 1)) {
    std::byte* const descriptor = ring_.at(at);
    store_word(descriptor, done_[i].word0, std::memory_order_relaxed);
    // Release: the frame and word 0 are visible before the done bit in word 1. Pairs with the driver's acquire load.
    store_word(descriptor + 8, done_[i].word1, std::memory_order_release);
  }
  pending_ = 0;
  pending_index_ = at;
}

void RxQueue::show_head() noexcept {
  if (reg(kRdh) != head_) set_reg(kRdh, head_);
}

// Copies [from, from + bytes) of the frame, as it looks without its tag if strip, into the slot's buffer.
bool RxQueue::copy(const Slot& slot, const RxFrame& frame, std::uint32_t from, std::uint32_t bytes,
                   bool strip) noexcept {
  const std::byte* const data = frame.bytes.data();
  const std::uint32_t before_tag = !strip ? bytes : from < kTagOffset ? std::min(bytes, kTagOffset - from) : 0;
  const std::uint32_t after_tag = bytes - before_tag;
  const std::byte* const second = data + from + before_tag + kTagBytes;
  if (slot.memory != nullptr) [[likely]] {
    const bool whole_lines = reinterpret_cast<std::uintptr_t>(slot.memory) % kCacheLine == 0 &&
                             (bytes + kCacheLine - 1) / kCacheLine * kCacheLine <= buffer_bytes_;
    if (whole_lines && after_tag == 0 && bytes >= 16) [[likely]] {
      stream_bytes(slot.memory, data + from, bytes);
      return true;
    }
    if (before_tag != 0) copy_bytes(slot.memory, data + from, before_tag);
    if (after_tag != 0) copy_bytes(slot.memory + before_tag, second, after_tag);
    return true;
  }
  return (before_tag == 0 || owner_->dma.write(slot.iova, {data + from, before_tag})) &&
         (after_tag == 0 || owner_->dma.write(slot.iova + before_tag, {second, after_tag}));
}

std::uint64_t RxQueue::last_word1(const RxFrame& frame, std::uint32_t length, bool strip) const noexcept {
  const std::uint64_t tag = strip ? frame.tci : 0;
  const std::uint64_t status = frame.status | RxStatus::dd | RxStatus::eop;
  // Legacy: length in bytes 8 and 9, status (low 8 bits) in byte 12, tag in bytes 14 and 15.
  if (legacy_) return length | (status & 0xff) << 32 | tag << 48;
  return status | std::uint64_t{length} << RxStatus::length_shift | tag << RxStatus::vlan_shift;
}

void RxQueue::write(const RxFrame& frame, bool mirrored) noexcept {
  tally_.mirror += mirrored;
  if (!usable()) [[unlikely]] {
    ++tally_.disabled;
    return;
  }
  const bool strip = strip_ && frame.tagged;
  const auto length = static_cast<std::uint32_t>(frame.bytes.size()) - (strip ? kTagBytes : 0);
  if (length > buffer_bytes_) [[unlikely]] {
    write_chain(frame, length, strip);
    return;
  }
  if (available_ == 0) {
    ++tally_.no_descriptor;
    return;
  }
  const Slot slot = take();
  if (!copy(slot, frame, 0, length, strip)) [[unlikely]] {
    ++tally_.dma_fault;
    fault(fmt::format("a descriptor points to {:#x}, outside the function's DMA memory", hw::to_integer(slot.iova)));
    return;
  }
  finish(legacy_ ? hw::to_integer(slot.iova) : frame.word0, last_word1(frame, length, strip));
  ++tally_.written;
  tally_.bytes += frame.bytes.size();
  tally_.multicast += frame.multicast;
}

// A frame longer than a buffer: all its descriptors or none. The last one carries everything, the others length, done
// bit and the next descriptor's index (NEXTP).
void RxQueue::write_chain(const RxFrame& frame, std::uint32_t length, bool strip) noexcept {
  const std::uint32_t needed = (length + buffer_bytes_ - 1) / buffer_bytes_;
  if (available_ < needed || needed > kPending) {
    ++tally_.no_descriptor;
    return;
  }
  if (pending_ + needed > kPending) flush();
  const std::uint32_t pending_before = pending_;
  for (std::uint32_t from = 0; from < length;) {
    const std::uint32_t part = std::min(buffer_bytes_, length - from);
    const Slot slot = take();
    if (!copy(slot, frame, from, part, strip)) {
      ++tally_.dma_fault;
      pending_ = pending_before;  // no half frames for software
      fault(fmt::format("a descriptor points to {:#x}, outside the function's DMA memory", hw::to_integer(slot.iova)));
      return;
    }
    from += part;
    const std::uint64_t word0 = legacy_ ? hw::to_integer(slot.iova) : frame.word0;
    if (from == length) {
      finish(word0, last_word1(frame, part, strip));
    } else if (legacy_) {
      finish(word0, part | RxStatus::dd << 32);
    } else {
      finish(word0, RxStatus::dd | std::uint64_t{head_} << RxStatus::nextp_shift |
                        std::uint64_t{part} << RxStatus::length_shift);
    }
  }
  ++tally_.written;
  tally_.bytes += frame.bytes.size();
  tally_.multicast += frame.multicast;
}

}  // namespace vigia::softnic
