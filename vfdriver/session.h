// SPDX-License-Identifier: Apache-2.0
// One capture from start to end: lanes, stores, listeners, and the control thread that looks after them.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "vfdriver/capture.h"
#include "vfdriver/capture_report.h"
#include "vfdriver/engine_cpus.h"
#include "vfdriver/lane.h"
#include "vfdriver/mirror_file.h"
#include "vfdriver/terminal.h"

namespace vigia::vf {

// The control thread calls everything here; engines and stores have threads of their own.
class Session {
 public:
  // The device is open and started; info is its own. observer may be null.
  Session(const CaptureOptions& options, StopRequest& stop, VfDevice& device, const PortInfo& info,
          hw::CounterFile counters, std::unique_ptr<Clock> clock, CaptureObserver* observer);

  // One ring for each queue; cores: for engines that choose their CPUs.
  Result<Done> prepare(std::vector<RingMemory> rings, const Result<std::vector<CpuCore>>& cores);
  Result<Done> run();

 private:
  Result<Done> make_lanes(std::vector<RingMemory> rings);
  Result<Done> make_stores();
  Result<Done> read_mirrors();
  void follow_mirrors();
  void place_engines(const Result<std::vector<CpuCore>>& cores);
  CaptureDescription describe() const;
  void start_stores();
  void start_engines();
  void stop_engines();
  bool engines_running() const;
  Result<Done> watch();
  Result<Done> recover();
  void drain();
  void close_rings();
  void count_port();
  CaptureReport report(bool running) const;
  std::uint64_t ring_used() const;
  void show_observer();

  CaptureObserver* observer_;  // may be null
  const CaptureOptions& options_;
  StopRequest& stop_;
  VfDevice& device_;
  PortInfo info_;
  hw::CounterFile counters_;
  std::unique_ptr<Clock> clock_;
  std::optional<FrameLimit> limit_;
  std::optional<CurrentMirrors> mirrors_;
  std::optional<MirrorFile> mirror_file_;       // with mirrors_
  std::vector<std::unique_ptr<Lane>> lanes_;    // in the order of the queues
  std::vector<std::unique_ptr<Store>> stores_;  // one for each lane, or one, or none
  std::optional<ListenerServer> server_;
  std::vector<std::thread> store_threads_;
  EngineCpus cpus_;
  CpuClaims claims_;
  Terminal terminal_{observer_ == nullptr};
  ProgressLine progress_;
  unsigned restarts_ = 0;
  bool stopped_told_ = false;  // that the IOMMU stops accesses of the device
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now(), port_asked_;
  Result<PortInfo> port_ = info_;
};

}  // namespace vigia::vf
