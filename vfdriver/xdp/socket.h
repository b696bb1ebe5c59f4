// SPDX-License-Identifier: Apache-2.0
// One AF_XDP socket: a queue of an interface, its memory and rings (libxdp), as a port.
#pragma once

#include <xdp/xsk.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hw/result.h"
#include "vfdriver/interface.h"
#include "vfdriver/port.h"

namespace vigia::vf::xdp {

struct SocketOptions {
  unsigned queue = 0, ring = 16384;  // ring: entries, a power of two, and as many frames
  std::uint32_t frame_bytes = 2048;  // 2048 or 4096, the kernel's headroom of 256 bytes included
  bool generic = false;
};

class Socket final : public RxPort {
 public:
  // Frames come when a program directs them here. Zero-copy where the driver has it. gone outlives the socket.
  static Result<std::unique_ptr<Socket>> open(const std::string& spec, const Interface& interface,
                                              const SocketOptions& options, const std::atomic<bool>& gone);
  ~Socket() override;

  std::size_t receive(std::span<RxSegment> out) noexcept override;
  void release() noexcept override;
  void wait(std::chrono::microseconds at_most) noexcept override;
  bool worth_spinning() const noexcept override { return false; }
  bool alive() const noexcept override { return !gone_.load(std::memory_order_relaxed); }  // relaxed: a fact, no order
  std::uint64_t pending_frames() const noexcept override;

  int fd() const noexcept;
  bool zero_copy() const noexcept { return zero_copy_; }
  // Any thread. Frames that the socket had no buffer or no ring entry for, or that are longer than a buffer.
  std::uint64_t dropped() const noexcept;

 private:
  static constexpr std::chrono::microseconds kShortestNap{50};

  Socket(const SocketOptions& options, const std::atomic<bool>& gone) : options_(options), gone_(gone) {}
  int make(const Interface& interface, bool zero_copy);
  void unmake() noexcept;
  bool nap(std::chrono::microseconds at_most) noexcept;

  const SocketOptions options_;
  const std::atomic<bool>& gone_;
  std::span<std::byte> memory_;
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  xsk_ring_prod fill_{};
  xsk_ring_cons complete_{}, rx_{};
  bool zero_copy_ = false;
  std::vector<std::uint64_t> lent_;  // buffers of the last receive()
  std::uint32_t lent_count_ = 0;
  std::uint32_t since_wait_ = 0;  // frames taken
  std::chrono::microseconds nap_ = kShortestNap;
};

}  // namespace vigia::vf::xdp
