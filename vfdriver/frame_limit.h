// SPDX-License-Identifier: Apache-2.0
// A number of frames that several engines take together, exactly.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vigia::vf {

// Any thread. Relaxed throughout: numbers, they order nothing.
class FrameLimit {
 public:
  explicit FrameLimit(std::uint64_t frames) noexcept : frames_(frames), left_(frames) {}

  // Before a look: how many frames, at most so many, it may take; settle() gives back what it did not. 0: others have
  // claimed the rest, or it is reached.
  std::size_t claim(std::size_t wanted) noexcept {
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    std::uint64_t got = 0;
    do {
      got = std::min<std::uint64_t>(left, wanted);
    } while (!left_.compare_exchange_weak(left, left - got, std::memory_order_relaxed));
    return got;
  }
  void settle(std::size_t claimed, std::size_t taken) noexcept {
    if (claimed > taken) left_.fetch_add(claimed - taken, std::memory_order_relaxed);
    if (taken > 0) taken_.fetch_add(taken, std::memory_order_relaxed);
  }
  bool reached() const noexcept { return taken_.load(std::memory_order_relaxed) >= frames_; }

 private:
  const std::uint64_t frames_;
  std::atomic<std::uint64_t> left_, taken_{0};
};

}  // namespace vigia::vf
