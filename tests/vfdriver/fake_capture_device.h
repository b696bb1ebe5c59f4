// SPDX-License-Identifier: Apache-2.0
// A device for tests of engine and capture: a queue that delivers the frames a test gives it, from another thread too.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <thread>
#include <vector>

#include "tests/vfdriver/ring_fixture.h"
#include "vfdriver/port.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf {

// Delivers frames numbered first, first + 1, ... up to `offered` of them, in segments of at most segment_bytes.
class FakePort final : public RxPort {
 public:
  std::atomic<std::uint64_t> offered{0};  // frames that the device has written
  std::atomic<bool> dead{false};
  std::uint32_t frame_bytes = 60, segment_bytes = 2048, beyond = 0;
  std::uint8_t error = 0;  // of every second frame
  std::size_t largest_burst = 1u << 30;
  std::uint64_t first = 0;
  std::uint64_t taken = 0, released = 0, bursts = 0;
  std::uint64_t cut = 0;  // frames for which there was too little room

  std::size_t receive(std::span<RxSegment> out) noexcept override {
    const std::size_t pieces = (frame_bytes + segment_bytes - 1) / segment_bytes;
    std::size_t n = 0;
    while (n + pieces <= std::min(out.size(), largest_burst) && taken < offered.load(std::memory_order_acquire)) {
      auto& frame = frames_[taken % frames_.size()];
      const std::uint64_t number = first + taken;
      if (frame.size() != frame_bytes) frame = frame_of(number, frame_bytes);
      std::memcpy(frame.data(), &number, sizeof(number));
      for (std::uint32_t at = 0; at < frame_bytes; at += segment_bytes) {
        const std::uint32_t length = std::min(segment_bytes, frame_bytes - at);
        out[n++] = {frame.data() + at, length, at + length == frame_bytes, 0};
        if (at + length < frame_bytes) continue;
        out[n - 1].beyond = static_cast<std::uint16_t>(beyond);
        out[n - 1].error = taken % 2 == 1 ? error : std::uint8_t{0};
      }
      ++taken;
    }
    if (n == 0 && pieces > out.size() && taken < offered.load(std::memory_order_acquire)) {
      for (RxSegment& piece : out) piece = {cut_.data(), segment_bytes, false, 0};
      out.back().end_of_frame = true;
      out.back().error = RxError::cut;
      n = out.size();
      ++cut;
      ++taken;
    }
    if (n > 0) ++bursts;
    return n;
  }
  void release() noexcept override { released = taken; }
  void wait(std::chrono::microseconds at_most) noexcept override { std::this_thread::sleep_for(at_most); }
  bool alive() const noexcept override { return !dead; }
  std::uint64_t pending_frames() const noexcept override { return offered - taken; }

 private:
  std::vector<std::vector<std::byte>> frames_{64};
  std::vector<std::byte> cut_ = std::vector<std::byte>(2048);
};

class FakeDevice final : public VfDevice {
 public:
  // The frames of queue q are numbered from q << 32 on.
  explicit FakeDevice(unsigned queues = 1) : ports(queues), port(ports.front()), granted(queues) {
    for (std::uint64_t q = 0; q < queues; ++q) ports[q].first = q << 32;
  }

  std::deque<FakePort> ports;
  FakePort& port;
  std::atomic<unsigned> granted;
  std::atomic<Health> state{Health::good};
  unsigned starts = 0, stops = 0, failing_starts = 0;
  std::string stamps;  // what it says of stamps of its own

  unsigned queues() const override { return granted; }
  RxPort& queue(unsigned i) override { return ports[i]; }
  TxPort* tx() override { return nullptr; }
  Result<Done> start() override {
    if (failing_starts > 0) {
      --failing_starts;
      return work_error("the PF is down");
    }
    ++starts;
    state = Health::good;
    return Done{};
  }
  Result<Done> stop() override {
    ++stops;
    return Done{};
  }
  Health health() override { return state; }
  Result<Done> set_mac(const hw::Mac&) override { return Done{}; }
  Result<PortInfo> info() override {
    PortInfo info;
    info.device = "fake:0";
    info.driver = "fakevf";
    info.api = "1.5";
    info.queues = granted;
    info.stamps = stamps;
    info.engine_stamps = stamps.empty() ? "" : "fake:0,stamps=engine";
    return info;
  }
};

}  // namespace vigia::vf
