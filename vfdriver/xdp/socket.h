// SPDX-License-Identifier: Apache-2.0
// One AF_XDP socket: a queue of an interface, its memory and rings (libxdp), as a port.
#pragma once

#include <xdp/xsk.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hw/result.h"
#include "vfdriver/interface.h"
#include "vfdriver/port.h"
#include "vfdriver/xdp/kernel_time.h"

namespace vigia::vf::xdp {

struct SocketOptions {
  unsigned queue = 0, ring = 16384;  // ring: entries, a power of two, and as many frames
  std::uint32_t frame_bytes = 2048;  // 2048 or 4096, the headroom of 256 bytes and the note included
  bool generic = false;
  // Counts frames that come without a FrameNote, before they come; outlives the use of the socket. Null: none has one.
  const std::uint64_t* misses = nullptr;
};

class Socket final : public RxPort {
 public:
  // Frames come when a program directs them here. Zero-copy where the driver has it. gone outlives the socket.
  static Result<std::unique_ptr<Socket>> open(const std::string& spec, const Interface& interface,
                                              const SocketOptions& options, const std::atomic<bool>& gone);
  ~Socket() override;

  std::size_t receive(std::span<RxSegment> out) noexcept override;
  const std::uint64_t* stamps() const noexcept override {
    return options_.misses != nullptr ? stamps_.data() : nullptr;
  }
  void release() noexcept override;
  void wait(std::chrono::microseconds at_most) noexcept override;
  bool worth_spinning() const noexcept override { return false; }
  bool alive() const noexcept override { return !gone_.load(std::memory_order_relaxed); }  // relaxed: a fact, no order
  std::uint64_t pending_frames() const noexcept override;

  int fd() const noexcept;
  bool zero_copy() const noexcept { return zero_copy_; }
  // Any thread. Frames that the socket had no buffer or no ring entry for, or that are longer than a buffer.
  std::uint64_t dropped() const noexcept;
  // Any thread. Some frame came without a note: since then stamps say when frames were taken, and nobody naps for long.
  bool gave_up_notes() const noexcept { return gave_up_.load(std::memory_order_relaxed); }  // relaxed: a fact, no order

 private:
  using Duration = std::chrono::microseconds;
  static constexpr Duration kShortestNap{50};
  static constexpr std::size_t kMostAtOnce = 64;

  Socket(const SocketOptions& options, const std::atomic<bool>& gone);
  int make(const Interface& interface, bool zero_copy);
  void unmake() noexcept;
  void stamp(std::span<const RxSegment> frames) noexcept;
  bool nap(Duration at_most) noexcept;
  Duration nap_for(std::uint32_t taken, Duration since, bool stamped) const noexcept;

  const SocketOptions options_;
  const std::atomic<bool>& gone_;
  std::span<std::byte> memory_;
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  xsk_ring_prod fill_{};
  xsk_ring_cons complete_{}, rx_{};
  bool zero_copy_ = false;
  std::size_t stride_ = 0;           // from buffer to buffer, bytes
  std::vector<std::uint64_t> lent_;  // buffers of the last receive()
  std::uint32_t lent_count_ = 0;
  std::uint32_t since_wait_ = 0;  // frames taken
  Duration nap_ = kShortestNap;
  std::chrono::steady_clock::time_point last_wait_{};
  KernelTime time_;
  std::atomic<bool> gave_up_{false};
  std::array<std::uint64_t, kMostAtOnce> stamps_{};  // of the frames of the last receive(), nanoseconds since 1970
};

}  // namespace vigia::vf::xdp
