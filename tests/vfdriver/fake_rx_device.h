// SPDX-License-Identifier: Apache-2.0
// The device's side of a receive queue: fetches descriptors between head and tail, writes the frame through the IOVA
// it finds there, then the write-back. Mixed-up buffers, early tails and stale descriptors show.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "hw/intel/descriptor.h"
#include "hw/ixgbe/regs_vf.h"
#include "hw/mmio.h"
#include "vfdriver/intel/layout.h"
#include "vfdriver/intel/rx_queue.h"

namespace vigia::vf::test {

class FakeRxDevice final : public hw::Bar::Trap {
 public:
  static constexpr hw::Iova kBase{0x7'0000'0000};

  // ring: a power of two.
  explicit FakeRxDevice(std::uint32_t ring, std::uint32_t buffer_bytes = 2048)
      : layout_(intel::plan_memory(1, ring, buffer_bytes, 0)),
        memory_(layout_.total),
        queue_memory_(intel::RxQueue::Memory::at(memory_, kBase, layout_.rx[0])) {}

  const intel::RxQueue::Memory& memory() const { return queue_memory_; }
  hw::Doorbell doorbell() { return bar_.doorbell(hw::ixgbe::vf::VFRDT, 0); }
  std::uint32_t tail() const { return tail_; }
  unsigned doorbells() const { return doorbells_; }
  std::uint32_t room() const { return (tail_ - head_) & mask(); }
  std::span<hw::intel::RxDescriptor> ring() { return queue_memory_.ring; }

  // Writes a frame over as many descriptors as it needs; false when there are too few. extra: more status bits of the
  // last descriptor.
  bool deliver(std::span<const std::uint8_t> frame, std::uint64_t extra = 0) {
    const std::uint32_t needed = std::max<std::uint32_t>(
        1, static_cast<std::uint32_t>((frame.size() + queue_memory_.buffer_bytes - 1) / queue_memory_.buffer_bytes));
    if (needed > room()) return false;
    for (std::uint32_t i = 0; i < needed; ++i) {
      const std::size_t at = std::size_t{i} * queue_memory_.buffer_bytes;
      piece(frame.subspan(at, std::min<std::size_t>(queue_memory_.buffer_bytes, frame.size() - at)), i + 1 == needed,
            i + 1 == needed ? extra : 0);
    }
    return true;
  }

  // One descriptor.
  void piece(std::span<const std::uint8_t> bytes, bool last, std::uint64_t extra = 0) {
    hw::intel::RxDescriptor& d = queue_memory_.ring[head_];
    check(d.word1 == 0);  // given back without being made ready
    const std::uint64_t at = d.word0 - hw::to_integer(queue_memory_.buffers_iova);
    check(at + queue_memory_.buffer_bytes <= queue_memory_.buffers.size());
    if (!bytes.empty()) std::memcpy(queue_memory_.buffers.data() + at, bytes.data(), bytes.size());
    namespace status = hw::intel::RxStatus;
    d.word0 = 0;  // hash and type
    write_back(bytes.size(), status::dd | (last ? status::eop : 0) | extra);
  }

  // Any write-back, honest or not, of the next descriptor.
  void write_back(std::uint64_t length, std::uint64_t bits) {
    namespace status = hw::intel::RxStatus;
    // Release: the done bit comes after the frame; pairs with the driver's acquire load.
    std::atomic_ref(queue_memory_.ring[head_].word1)
        .store(bits | length << status::length_shift, std::memory_order_release);
    head_ = (head_ + 1) & mask();
  }

  std::uint32_t read32(std::uint32_t) noexcept override { return tail_; }
  void write32(std::uint32_t, std::uint32_t value) noexcept override {
    tail_ = value;
    ++doorbells_;
  }

 private:
  std::uint32_t mask() const { return static_cast<std::uint32_t>(queue_memory_.ring.size() - 1); }

  intel::Layout layout_;
  std::vector<std::byte> memory_;
  intel::RxQueue::Memory queue_memory_;
  hw::Bar bar_{hw::ixgbe::vf::kBarSize, *this};
  std::uint32_t head_ = 0, tail_ = 0;
  unsigned doorbells_ = 0;
};

}  // namespace vigia::vf::test
