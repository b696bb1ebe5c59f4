// SPDX-License-Identifier: Apache-2.0
// A sink of frames to send: what tenants use. Good enough for labs, not a packet generator.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vigia::vf {

// What became of frames given to send(). Frames, unless the name says bytes.
struct TxCounts {
  std::uint64_t posted = 0;        // handed to the device
  std::uint64_t posted_bytes = 0;  // without FCS
  std::uint64_t completed = 0;     // of posted: the device has fetched them (done bit seen)
  std::uint64_t lost = 0;          // of posted: the device was reset before it reported them
  std::uint64_t refused = 0;       // not sent: shorter than an Ethernet header or longer than the port's frame size
};

// One TX queue. A single thread uses it.
class TxPort {
 public:
  using Frame = std::span<const std::byte>;

  virtual ~TxPort() = default;

  // Copies frames into the port's own buffers and posts them with one doorbell. Returns how many of them it dealt with
  // (posted or refused); fewer than frames.size() means that the ring is full: try again later. Never blocks.
  virtual std::size_t send(std::span<const Frame> frames) noexcept = 0;
  // Waits until the device has fetched everything posted. False: not within the time.
  virtual bool drain(std::chrono::milliseconds at_most) noexcept = 0;
  // Updated by send() and drain().
  virtual const TxCounts& counts() const noexcept = 0;
};

}  // namespace vigia::vf
