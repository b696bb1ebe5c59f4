// SPDX-License-Identifier: Apache-2.0
// What a capture says of itself: while it runs, at its end, to people and to programs.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vfdriver/capture.h"
#include "vfdriver/clock.h"
#include "vfdriver/engine.h"
#include "vfdriver/frame_writer.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/store.h"

namespace vigia::vf {

struct CaptureReport {
  std::string name, device, driver, mac, api, file;  // mac: empty: none; file: empty when frames are only counted
  std::string hardware;                              // the port in one line
  unsigned restarts = 0;                             // of the PF, that were survived
  bool hugepages = false, running = false;           // running: what the store has not read yet is not lost
  ClockReport clock;
  EngineTotals engine;              // of all queues
  std::vector<EngineTotals> lanes;  // of each
  EngineCpus cpus;
  StoreTotals store;
  StoreWay store_way;
  std::string store_problem;                  // why nothing is stored at the moment; empty: nothing is wrong
  std::uint64_t first_file = 0;               // number of the capture's first RAW file; 0: none yet
  std::uint64_t ring_bytes = 0, snaplen = 0;  // ring_bytes: of each queue
  std::string dedup;           // how duplicates are found, as parse_duplicate_options() takes it; empty: not at all
  bool mirrors_known = false;  // engine.copies counts
  double seconds = 0;
  std::map<std::string, std::uint64_t> accounts;
  std::vector<ListenerState> listeners;

  // Frames that the port had no room for; 0 also where it cannot tell (accounts has no such name then).
  std::uint64_t port_dropped() const;
  // Frames the device delivered or had to drop that are not in the file; without a file, not in the ring.
  std::uint64_t lost() const {
    return port_dropped() + engine.left_in_ring + engine.ring_full + store.lapped + (running ? 0 : store.unread) +
           store.disk_dropped;
  }
};

// One object; keys are stable.
std::string to_json(const CaptureReport& report);
// What ends a pcapng: the ledger's numbers and what they mean.
CaptureSummary summary_of(const CaptureReport& report);
// "agent: 1000000 frames (60.0 MiB) in 3.2 s, 0 lost; agent.pcapng", then one line per way of losing that was taken.
std::vector<std::string> closing_lines(const CaptureReport& report);

// The line that a terminal shows while a capture runs: rate since the last call, losses, fill of the ring.
class ProgressLine {
 public:
  std::string next(const CaptureReport& report, std::uint64_t ring_used);

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::uint64_t last_taken_ = 0, last_bytes_ = 0;
};

}  // namespace vigia::vf
