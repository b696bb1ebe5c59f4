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

// The port's cable, which carries one byte in 0.8 ns and one frame at a time.
class LineRate {
 public:
  // When a frame that was ready to leave at ready_ns has arrived whole: it counts for a receiver from then on. Nobody
  // is served before now - 20 us: a loop that comes late catches up that much, the frames were on the cable meanwhile;
  // beyond it they waited at the other end. (20 us is below the time that the packet buffer holds, 420 us.)
  std::uint64_t arrival_ns(std::uint64_t now_ns, std::uint64_t ready_ns, std::uint32_t layer1_bytes) const noexcept {
    return (begin(now_ns, ready_ns) + 8 * (layer1_bytes - kGapBytes) + 9) / 10;
  }
  void take(std::uint64_t now_ns, std::uint64_t ready_ns, std::uint32_t layer1_bytes) noexcept {
    free_at_ = begin(now_ns, ready_ns) + 8 * layer1_bytes;
  }

 private:
  static constexpr std::uint64_t kLate = 200'000;
  static constexpr std::uint32_t kGapBytes = 12;
  // All in tenths of a nanosecond.
  std::uint64_t begin(std::uint64_t now_ns, std::uint64_t ready_ns) const noexcept {
    const std::uint64_t now = 10 * now_ns;
    return std::max({free_at_, 10 * ready_ns, now - std::min(now, kLate)});
  }
  std::uint64_t free_at_ = 0;
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
