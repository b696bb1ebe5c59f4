// SPDX-License-Identifier: Apache-2.0
// Limits of the real device in real time: the 10 Gb/s cable and the PCIe slot. Pure arithmetic on the caller's clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace vigia::softnic {

enum class Timing : std::uint8_t {
  none,         // as fast as memory allows
  intel_82599,  // 10 Gb/s at layer 1; PCIe Gen2 x8 upstream (reference 16.2)
};

// The port's cable takes one byte in 0.8 ns.
class LineRate {
 public:
  bool free(std::uint64_t now_ns) const noexcept { return now_ns >= free_at_ns_; }
  void take(std::uint64_t now_ns, std::uint32_t layer1_bytes) noexcept {
    // A loop that comes late may catch up a little: frames were waiting for the port meanwhile.
    tenths_ += 8 * layer1_bytes;
    free_at_ns_ = std::max(free_at_ns_ + kLateNs, now_ns) - kLateNs + tenths_ / 10;
    tenths_ %= 10;
  }

 private:
  static constexpr std::uint64_t kLateNs = 20'000;  // below the time that the packet buffer holds (420 us)
  std::uint64_t free_at_ns_ = 0;
  std::uint32_t tenths_ = 0;  // of a nanosecond, carried over
};

// Bytes that the device may still send to memory: a bucket that fills at the slot's rate.
class PcieBudget {
 public:
  void refill(std::uint64_t now_ns) noexcept {
    if (last_ns_ != 0 && now_ns > last_ns_) {
      const double gained = static_cast<double>(now_ns - last_ns_) * kBytesPerNs;
      bytes_ = std::min(bytes_ + gained, kBurstBytes);
    }
    last_ns_ = std::max(last_ns_, now_ns);
  }
  bool allows() const noexcept { return bytes_ > 0; }
  // One copy: its writes of at most 256 bytes with 24 bytes of header each, its share of a descriptor write-back of
  // four descriptors ((64 + 24) / 4), its share of a fetch of eight descriptors (24 / 8).
  void take(std::uint32_t bytes) noexcept {
    const std::uint32_t writes = (bytes + 255) / 256;
    bytes_ -= bytes + 24 * writes + 22 + 3;
  }

 private:
  static constexpr double kBytesPerNs = 4.0;          // Gen2 x8: 32 Gb/s before packet headers
  static constexpr double kBurstBytes = 64.0 * 1024;  // what the loop may be late: 16 us
  double bytes_ = kBurstBytes;
  std::uint64_t last_ns_ = 0;
};

}  // namespace vigia::softnic
