// SPDX-License-Identifier: Apache-2.0
// How far apart two processors are.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "benchmarks/rx/bench.h"
#include "benchmarks/rx/pauses.h"

namespace vigia::bench {

using Clock = std::chrono::steady_clock;

void measure_cores() {
  constexpr unsigned kRounds = 20, kTurns = 20'000;
  alignas(64) static std::atomic<unsigned> line{0};  // odd: it is the other's turn
  std::thread other([] {
    pin_to(1);
    for (unsigned turn = 0; turn < kRounds * kTurns; ++turn) {
      while (line.load(std::memory_order_acquire) != 2 * turn + 1) {
      }
      line.store(2 * turn + 2, std::memory_order_release);
    }
  });
  pin_to(0);
  double best = 1e9;
  for (unsigned turn = 0; turn < kRounds * kTurns;) {
    const auto begin = Clock::now();
    for (const unsigned end = turn + kTurns; turn < end; ++turn) {
      line.store(2 * turn + 1, std::memory_order_release);
      while (line.load(std::memory_order_acquire) != 2 * turn + 2) {
      }
    }
    best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count() / kTurns);
  }
  other.join();
  fmt::print("{{\"round_trip_ns\": {:.0f}}}\n", best * 1e9);
}

}  // namespace vigia::bench
