// SPDX-License-Identifier: Apache-2.0
// A scripted VF that receives: it fetches the descriptors that the driver has programmed it with, in any family's
// registers. Frames may come from another thread than the driver's.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <span>

#include "hw/intel/descriptor.h"
#include "tests/vfdriver/fake_vf.h"
#include "vfdriver/intel/vf.h"

namespace vigia::vf::test {

template <class Chip>
class LiveVf final : public FakeVf {
 public:
  explicit LiveVf(const FakeMap& map) : FakeVf(map) {}

  FakeFunction* function = nullptr;  // the driver's, as long as there is one

  std::uint32_t read32(std::uint32_t offset) noexcept override {
    const std::lock_guard guard(lock_);
    return FakeVf::read32(offset);
  }
  void write32(std::uint32_t offset, std::uint32_t value) noexcept override {
    const std::lock_guard guard(lock_);
    if (offset == Chip::rdh.at(0)) head_ = value;
    if (offset == Chip::unmask.at()) armed_ |= value;
    FakeVf::write32(offset, value);
  }

  // False: no descriptor is free, or the queue is off.
  bool deliver(std::span<const std::byte> frame) {
    namespace status = hw::intel::RxStatus;
    const std::lock_guard guard(lock_);
    const std::uint32_t tail = get(Chip::rdt.at(0)), count = get(Chip::rdlen.at(0)) / 16;
    if ((get(Chip::rxdctl.at(0)) & Chip::rx_enable) == 0 || head_ == tail) return false;
    const std::uint64_t base = std::uint64_t{get(Chip::rdbah.at(0))} << 32 | get(Chip::rdbal.at(0));
    // SAFETY: the driver's memory; place() checks the range, and descriptors are two plain words.
    auto* ring = reinterpret_cast<hw::intel::RxDescriptor*>(place(base, count * sizeof(hw::intel::RxDescriptor)));
    std::memcpy(place(ring[head_].word0, frame.size()), frame.data(), frame.size());
    ring[head_].word0 = 0;
    std::atomic_ref(ring[head_].word1)
        .store(status::dd | status::eop | std::uint64_t{frame.size()} << status::length_shift,
               std::memory_order_release);  // the done bit comes after the frame
    head_ = (head_ + 1) % count;
    if ((std::exchange(armed_, armed_ & ~1u) & 1u) != 0) function->ring(intel::kRxVector);
    return true;
  }

 private:
  std::byte* place(std::uint64_t iova, std::size_t bytes) {
    const std::uint64_t at = iova - hw::to_integer(FakeFunction::kIova);
    check(at <= function->dma.size() && function->dma.size() - at >= bytes);
    return function->dma.data() + at;
  }

  std::mutex lock_;
  std::uint32_t head_ = 0, armed_ = 0;
};

}  // namespace vigia::vf::test
