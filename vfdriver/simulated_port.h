// SPDX-License-Identifier: Apache-2.0
// A receive queue without a device: UDP frames from memory, as fast as they are taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "vfdriver/port.h"

namespace vigia::vf {

constexpr std::uint32_t kMinSimulated = 60, kMaxSimulated = 9018;

// A UDP datagram in an Ethernet frame without FCS, kMinSimulated to kMaxSimulated bytes, with a right IP checksum;
// numbers differ in source port and content.
std::vector<std::byte> simulated_frame(std::uint32_t bytes, std::uint16_t number);

// A single thread uses it.
class SimulatedPort final : public RxPort {
 public:
  // room: whether the ring takes another burst without losing anything; asked once per burst.
  SimulatedPort(std::uint32_t frame_bytes, std::function<bool()> room);

  std::size_t receive(std::span<RxSegment> out) noexcept override;
  void release() noexcept override {}
  void wait(std::chrono::microseconds at_most) noexcept override;
  bool alive() const noexcept override { return true; }
  std::uint64_t pending_frames() const noexcept override { return 0; }

 private:
  std::vector<std::vector<std::byte>> frames_;
  std::size_t next_ = 0;
  std::function<bool()> room_;
};

}  // namespace vigia::vf
