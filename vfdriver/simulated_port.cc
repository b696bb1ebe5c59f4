// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/simulated_port.h"

#include <algorithm>
#include <array>
#include <thread>

#include "hw/result.h"

namespace vigia::vf {
namespace {

// As many as a descriptor ring has: their content comes from memory, not from the first-level cache.
constexpr std::size_t kBuffers = 2048;
constexpr std::size_t kEthernet = 14, kIp = 20, kUdp = 8;

void put16(std::byte* at, std::size_t value) {
  at[0] = static_cast<std::byte>(value >> 8);
  at[1] = static_cast<std::byte>(value);
}

// RFC 1071.
std::uint16_t checksum(const std::byte* at, std::size_t bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes; i += 2) {
    sum += std::to_integer<std::uint32_t>(at[i]) << 8 | std::to_integer<std::uint32_t>(at[i + 1]);
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

std::vector<std::byte> simulated_frame(std::uint32_t bytes, std::uint16_t number) {
  check(bytes >= kMinSimulated && bytes <= kMaxSimulated);
  std::vector<std::byte> frame(bytes);
  for (std::size_t i = kEthernet + kIp + kUdp; i < bytes; ++i) frame[i] = static_cast<std::byte>(i * 7 + number);
  constexpr std::array kMacs{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0};  // locally administered; IPv4
  std::transform(kMacs.begin(), kMacs.end(), frame.begin(), [](int b) { return static_cast<std::byte>(b); });
  std::byte* ip = frame.data() + kEthernet;
  ip[0] = std::byte{0x45};
  put16(ip + 2, bytes - kEthernet);
  ip[8] = std::byte{64};
  ip[9] = std::byte{17};
  // 198.18.0.0/15 is for benchmarks (RFC 2544).
  constexpr std::array kAddresses{198, 18, 0, 1, 198, 19, 0, 1};
  std::transform(kAddresses.begin(), kAddresses.end(), ip + 12, [](int b) { return static_cast<std::byte>(b); });
  put16(ip + 10, checksum(ip, kIp));
  std::byte* udp = ip + kIp;
  put16(udp, 1024u + number);
  put16(udp + 2, 9);                        // discard
  put16(udp + 4, bytes - kEthernet - kIp);  // its checksum stays 0: not computed
  return frame;
}

SimulatedPort::SimulatedPort(std::uint32_t frame_bytes, std::function<bool()> room) : room_(std::move(room)) {
  for (std::size_t i = 0; i < kBuffers; ++i) {
    frames_.push_back(simulated_frame(frame_bytes, static_cast<std::uint16_t>(i)));
  }
}

std::size_t SimulatedPort::receive(std::span<RxSegment> out) noexcept {
  if (!room_()) return 0;
  for (RxSegment& segment : out) {
    const std::vector<std::byte>& frame = frames_[next_++ % kBuffers];
    segment = {frame.data(), static_cast<std::uint32_t>(frame.size()), true};
  }
  return out.size();
}

void SimulatedPort::wait(std::chrono::microseconds at_most) noexcept {
  // The store makes room block by block: 1 MiB in some hundred microseconds.
  std::this_thread::sleep_for(std::min(at_most, std::chrono::microseconds(200)));
}

}  // namespace vigia::vf
