// SPDX-License-Identifier: Apache-2.0
// A plain endpoint for labs: receives and counts, may answer, may send. No ring, no store.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hw/counter_file.h"
#include "hw/result.h"
#include "vfdriver/traffic.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf {

struct TenantOptions {
  std::string device;  // as open_port() takes it
  std::string name = "tenant";
  unsigned mtu = 1500;
  unsigned queues = 1;
  std::vector<std::uint16_t> vlans;
  bool reply = false;                     // sends every unicast frame back, addresses swapped
  std::string send;                       // a spec for load_traffic(); empty: sends nothing of its own
  std::filesystem::path send_start_file;  // sending begins when it exists; empty: at once
  std::filesystem::path counters;         // empty: private
  std::filesystem::path ready_file;       // written when the queues are on and the PF has replied; empty: none
  std::filesystem::path stats_json;       // written at the end; empty: none
};

// Frames unless the name says otherwise.
struct TenantStats {
  std::uint64_t frames = 0, bytes = 0;
  std::uint64_t bad = 0;             // of frames: marked bad (RxError)
  std::uint64_t left_in_ring = 0;    // finished by the device, not taken
  std::uint64_t sent = 0;            // of --send
  std::uint64_t replies = 0;         // posted
  std::uint64_t reply_dropped = 0;   // no reply: the transmit ring was full
  std::uint64_t reply_declined = 0;  // no reply: multicast, bad, or too long to send
  std::uint64_t pf_restarts = 0;     // survived
};

// The endpoint's loop on a started device. One thread. What is passed by reference outlives it.
class Tenant {
 public:
  // counters holds hw::accounts::capture_names().
  Tenant(VfDevice& device, const TenantOptions& options, Traffic traffic, const hw::CounterFile& counters,
         const std::atomic<bool>& stop);

  // Until stop is set, or the device is gone (an error). Either way the device is stopped and everything it finished
  // has been taken when this returns.
  Result<Done> run();
  const TenantStats& stats() const { return stats_; }

 private:
  bool serve();
  bool take_burst(RxPort& queue);
  void count(std::span<const RxSegment> segments);
  void reply(std::span<const RxSegment> segments);
  bool send_some();
  bool may_send();
  void nap();
  Result<Done> recover();
  void drain();
  void finish();

  VfDevice& device_;
  const TenantOptions& options_;
  Traffic traffic_;
  hw::Counter taken_, taken_bytes_, left_in_ring_;
  const std::atomic<bool>& stop_;
  TenantStats stats_;
  std::vector<std::byte> reply_bytes_;
  bool sending_ = false;
  bool may_reply_ = true;  // the device takes frames
  std::chrono::steady_clock::time_point busy_until_{}, next_health_{};
};

// Opens the device, runs a Tenant on it until stop is set, writes the files. An error of the input leaves nothing
// behind; a device that dies is an error after counters and statistics were written.
Result<Done> run_tenant(const TenantOptions& options, const std::atomic<bool>& stop);

}  // namespace vigia::vf
