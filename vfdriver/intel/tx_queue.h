// SPDX-License-Identifier: Apache-2.0
// One transmit queue: copies frames into its own buffers, posts advanced descriptors, learns of completion by DD.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hw/intel/descriptor.h"
#include "hw/mmio.h"
#include "hw/pci_function.h"
#include "vfdriver/intel/layout.h"
#include "vfdriver/tx_port.h"

namespace vigia::vf::intel {

// What the 82599 must know to parse the copy of a frame that it loops back to a local pool (82599 reference, 6.3).
struct HeaderLengths {
  std::uint32_t mac, ip;  // bytes; ip 0: not IP
  friend bool operator==(const HeaderLengths&, const HeaderLengths&) = default;
};
// Reads the first bytes of a frame; never beyond its end.
HeaderLengths header_lengths(std::span<const std::byte> frame);

class TxQueue final : public TxPort {
 public:
  using Memory = QueueMemory<hw::intel::TxDescriptor>;

  // check_context: the bits of a descriptor's word1 that point the device to the context with the frame's header
  // lengths; 0: this device wants no contexts. max_frame: longest frame in bytes, without FCS. What is passed by
  // reference outlives the queue.
  TxQueue(const Memory& memory, std::uint64_t check_context, std::uint32_t max_frame, hw::Doorbell tail,
          const hw::PciFunction& function);

  // Empties the ring; what the device never reported counts as lost. Before the queue is enabled.
  void prepare() noexcept;

  std::size_t send(std::span<const Frame> frames) noexcept override;
  bool drain(std::chrono::milliseconds at_most) noexcept override;
  const TxCounts& counts() const noexcept override { return counts_; }

  const Memory& memory() const { return memory_; }

 private:
  // The device reports completion at descriptors with RS only: where they are and how many frames each one ends.
  struct Mark {
    std::size_t index;
    std::uint64_t frames;
  };

  bool post(Frame frame, HeaderLengths headers) noexcept;
  void request_report() noexcept;
  void reclaim() noexcept;
  std::size_t free_descriptors() const noexcept { return (clean_ - next_ - 1) & mask_; }

  Memory memory_;
  std::uint64_t check_context_;
  std::uint32_t max_frame_;
  std::size_t mask_;
  std::size_t next_ = 0;                  // first descriptor that is ours to fill
  std::size_t clean_ = 0;                 // first descriptor whose completion is not known
  std::optional<HeaderLengths> context_;  // what the device holds in context 0
  std::vector<Mark> marks_;               // a ring: first_mark_ .. next_mark_, masked
  std::size_t first_mark_ = 0, next_mark_ = 0;
  std::uint64_t unmarked_ = 0;  // frames posted since the last mark
  hw::Doorbell tail_;
  const hw::PciFunction& function_;
  TxCounts counts_;
};

}  // namespace vigia::vf::intel
