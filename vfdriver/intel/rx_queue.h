// SPDX-License-Identifier: Apache-2.0
// One receive queue: the ring, its buffers and the hot path. Knows memory and one doorbell, no other register.
#pragma once

#include <cstdint>

#include "hw/intel/descriptor.h"
#include "hw/mmio.h"
#include "hw/pci_function.h"
#include "vfdriver/intel/layout.h"
#include "vfdriver/intel/signal.h"
#include "vfdriver/port.h"

namespace vigia::vf::intel {

// Descriptor i owns buffer i for ever. receive() copies nothing: segments point into the buffers. A descriptor is made
// ready for the device again as soon as it is read, while its cache line is at hand; the device may use it only after
// release() has moved the tail past it.
//
// The device is not trusted: it can make frames out of thin air, but nothing outside the buffers is ever pointed at,
// and every call ends after at most a ring of descriptors.
class RxQueue final : public RxPort {
 public:
  using Memory = QueueMemory<hw::intel::RxDescriptor>;

  // A frame of more segments than this is no frame: 16 KiB, the largest these devices can make, is 16 of the smallest
  // buffers (1 KiB).
  static constexpr std::size_t kMaxSegments = 16;

  // bad_frame: the error bits of a descriptor's word1 that the device sets for MAC errors. What is passed by reference
  // outlives the queue.
  RxQueue(const Memory& memory, std::uint64_t bad_frame, hw::Doorbell tail, Signal& signal,
          const hw::PciFunction& function);

  // Poisons the buffers, gives all descriptors but one to the device. Before the queue is enabled.
  void prepare() noexcept;
  // After the queue is enabled: the device may write from here on.
  void open() noexcept { tail_.ring(static_cast<std::uint32_t>(mask_)); }

  std::size_t receive(std::span<RxSegment> out) noexcept override;
  void release() noexcept override;
  void wait(std::chrono::microseconds at_most) noexcept override;
  bool alive() const noexcept override { return function_.alive(); }
  std::uint64_t pending_frames() const noexcept override;

  const Memory& memory() const { return memory_; }

 private:
  std::uint64_t status_at(std::size_t index) const noexcept;
  RxSegment take(std::size_t index, std::uint64_t status) noexcept;
  std::size_t take_any(std::span<RxSegment> out, bool burst_is_empty) noexcept;
  void skip_rest_of_cut_frame() noexcept;

  Memory memory_;
  hw::intel::RxDescriptor* ring_;
  std::byte* buffers_;
  std::size_t mask_;
  std::uint64_t bad_frame_;
  std::size_t next_ = 0;      // first descriptor that was not handed out
  std::size_t released_ = 0;  // first descriptor that the device has not been given back
  bool skipping_ = false;     // the rest of a cut frame is still to come
  hw::Doorbell tail_;
  Signal& signal_;
  const hw::PciFunction& function_;
};

}  // namespace vigia::vf::intel
