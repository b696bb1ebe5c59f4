// SPDX-License-Identifier: Apache-2.0
// The receive side of an AF_PACKET ring of version 3 (packet_mmap.rst of the kernel; linux/if_packet.h): blocks of
// frames that the kernel fills and hands over whole.
#pragma once

#include <linux/if_packet.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "vfdriver/port.h"

namespace vigia::vf::packet {

// Whose stamps the frames get.
enum class Stamps {
  kernel,  // what it wrote beside each frame when it took it from the driver
  engine   // of the moment at which a block is handed over, by the engine's clock
};

// Segments point into the blocks; a block goes back to the kernel when the last frame of it has been released.
class Queue final : public RxPort {
 public:
  // ring: the mapped blocks, block_bytes each. socket: what to sleep on; -1: wait() is a short timed sleep. gone: set
  // by whoever finds out. Nothing is owned, all outlives the queue.
  Queue(std::span<std::byte> ring, std::uint32_t block_bytes, int socket, const std::atomic<bool>& gone,
        Stamps stamps) noexcept;

  std::size_t receive(std::span<RxSegment> out) noexcept override;
  const std::uint64_t* stamps() const noexcept override { return whose_ == Stamps::kernel ? stamps_.data() : nullptr; }
  void release() noexcept override;
  void wait(std::chrono::microseconds at_most) noexcept override;
  bool worth_spinning() const noexcept override { return false; }
  bool alive() const noexcept override { return !gone_.load(std::memory_order_relaxed); }  // relaxed: a fact, no order
  std::uint64_t pending_frames() const noexcept override;

 private:
  tpacket_hdr_v1& block(std::size_t index) const noexcept;
  bool is_ours(std::size_t index) const noexcept;
  bool enter_block() noexcept;
  void leave_block() noexcept;

  static constexpr std::size_t kMostAtOnce = 64;

  const std::span<std::byte> ring_;
  const std::uint32_t block_bytes_;
  const std::size_t blocks_;
  const int socket_;
  const std::atomic<bool>& gone_;
  const Stamps whose_;

  std::size_t reading_ = 0;                          // the block that frames are taken from, or will be next
  bool inside_ = false;                              // of it, some frames have been taken
  std::uint32_t left_ = 0;                           // frames of it that have not
  std::byte* at_ = nullptr;                          // the next of them
  std::size_t finished_ = 0;                         // blocks before it that release() gives back
  std::array<std::uint64_t, kMostAtOnce> stamps_{};  // of the frames of the last receive(), nanoseconds since 1970
};

}  // namespace vigia::vf::packet
