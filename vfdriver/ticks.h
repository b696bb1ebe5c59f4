// SPDX-License-Identifier: Apache-2.0
// Counters that stamps are made from.
#pragma once

#include <x86intrin.h>

#include <cstdint>
#include <ctime>
#include <string>

namespace vigia::vf {

enum class TickSource {
  tsc,       // the processor's time stamp counter, where it is invariant
  monotonic  // CLOCK_MONOTONIC_RAW, nanoseconds: about twice the cost per stamp
};

// Ticks of a source, any thread.
inline std::uint64_t read_ticks(TickSource source) noexcept {
  if (source == TickSource::tsc) [[likely]]
    return __rdtsc();
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}
// What this machine can do: tsc if CPUID calls it invariant. Emulated processors and guests whose host does not promise
// it have none; their CLOCK_MONOTONIC_RAW is what the kernel makes of kvm-clock or whatever it trusts.
TickSource best_tick_source();
// "tsc", or "CLOCK_MONOTONIC_RAW on kvm-clock": with the kernel's clock source.
std::string describe(TickSource source);

}  // namespace vigia::vf
