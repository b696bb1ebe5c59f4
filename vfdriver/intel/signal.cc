// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/intel/signal.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace vigia::vf::intel {

void Signal::arm() noexcept {
  // Relaxed here and in consume(): the flag only saves register writes, it guards no data.
  if (bit_ == 0 || armed_.exchange(true, std::memory_order_relaxed)) return;
  unmask_.ring(bit_);
}

bool Signal::consume() noexcept {
  std::uint64_t events = 0;
  if (bit_ == 0 || ::read(eventfd_, &events, sizeof events) != sizeof events) return false;
  armed_.store(false, std::memory_order_relaxed);  // it masked itself when it fired; relaxed: see arm()
  return true;
}

void Signal::sleep(std::chrono::microseconds at_most) noexcept {
  if (bit_ == 0) {
    // Nothing wakes this sleeper. 200 us of frames at the 1 Mpps of a polling lab fit a tenth of a 2048 ring.
    constexpr std::chrono::microseconds kNap{200};
    std::this_thread::sleep_for(std::min(at_most, kNap));
    return;
  }
  pollfd waiting{eventfd_, POLLIN, 0};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(at_most);
  const timespec limit{seconds.count(), std::chrono::nanoseconds(at_most - seconds).count()};
  if (::ppoll(&waiting, 1, &limit, nullptr) > 0) consume();
}

}  // namespace vigia::vf::intel
