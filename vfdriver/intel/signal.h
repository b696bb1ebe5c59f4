// SPDX-License-Identifier: Apache-2.0
// One MSI-X vector of a VF as something to sleep on.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "hw/mmio.h"

namespace vigia::vf::intel {

// Arms, sleeps, consumes. The vector masks itself when it fires, so a busy reader gets no interrupts until it
// arms again. Several RX queues share one vector: threads may share a Signal, and whoever wakes takes the event; the
// others wake by their time limit.
class Signal {
 public:
  // Without a vector: sleep() is a short timed sleep.
  Signal() = default;
  // unmask: the register that unmasks the vectors whose bits are written. Its BAR and the eventfd (non-blocking)
  // outlive the signal; neither is owned.
  Signal(hw::Doorbell unmask, unsigned vector, int eventfd) : unmask_(unmask), bit_(1u << vector), eventfd_(eventfd) {}

  // Unmasks the vector unless it is unmasked already. After this, look once more before sleeping: what came earlier
  // has no event.
  void arm() noexcept;
  // Until the event or the time is over; may return early.
  void sleep(std::chrono::microseconds at_most) noexcept;
  // Whether an event was there; takes it.
  bool consume() noexcept;
  // After a function reset, which masks everything.
  void forget() noexcept {
    armed_.store(false, std::memory_order_relaxed);
  }  // relaxed: a hint; a lost wake-up ends
     // with the sleeper's time limit
 private:
  hw::Doorbell unmask_;
  std::uint32_t bit_ = 0;  // 0: no vector
  int eventfd_ = -1;
  std::atomic<bool> armed_{false};
};

}  // namespace vigia::vf::intel
