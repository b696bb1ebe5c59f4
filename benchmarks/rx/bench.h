// SPDX-License-Identifier: Apache-2.0
// The receive path under measurement: what the programs' parts share. Not installed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hw/result.h"
#include "vfdriver/duplicates.h"
#include "vfdriver/stamp_policy.h"

namespace vigia::bench {

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "rx_bench: %s\n", result.error().text.c_str());
    std::exit(1);
  }
  return std::move(*result);
}

// Processor time of this thread, seconds: what other work on the machine takes does not count.
inline double thread_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Lengths of frames in the order of their arrival, without FCS: "60", "imix" (7:4:1), or every frame of a capture file.
std::vector<std::uint16_t> frame_lengths(const std::string& spec);

struct MemoryRun {
  std::string lengths = "60";
  unsigned runs = 5;
  double seconds = 0.2;                 // of each
  unsigned listeners = 0, stalled = 0;  // overwritable ones in threads of their own that read on, or never
  std::optional<vf::DuplicateOptions> duplicates;
};
// Rates of the engine on a descriptor ring that is always full, and beside each the limit of that moment: one JSON
// object on standard output.
void measure_memory(const MemoryRun& run);

// So many frames through driver and engine and nothing else, for an instruction counter that starts and stops at
// counted_step.
void run_frames(const MemoryRun& run, std::uint64_t frames);

struct SoftnicRun {
  std::string rate = "max";          // as softnic's generator takes it; max: the wire waits for the receiver
  std::uint64_t count = 10'000'000;  // frames
  unsigned size = 64;                // bytes with FCS
  unsigned queues = 1;
  unsigned listeners = 1, stalled = 0;  // lossless ones that keep up; overwritable ones that never read
  bool poll = true;
  bool realtime = false;  // SCHED_FIFO where it is allowed: no ordinary thread takes a processor from the poll loops
  vf::ClockPolicy policy = vf::ClockPolicy::hybrid;
  unsigned rx_ring = 4096;  // descriptors of a queue
  double at_most = 60;      // seconds
  std::uint64_t ring_bytes = 256u << 20;
  std::optional<vf::DuplicateOptions> duplicates;
};
// How long a cache line takes from this process's first processor to the second and back, nanoseconds, at best: on a
// virtual machine the host may put both on one core, on two that share a cache, or far apart, and move them at any
// time. One JSON object on standard output.
void measure_cores();

// One trial: what was sent, what was lost, in which time. One JSON object on standard output.
void try_softnic(const SoftnicRun& run);

}  // namespace vigia::bench
