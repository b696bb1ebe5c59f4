// SPDX-License-Identifier: Apache-2.0
// The software 82599: functions for a server or a test to drive, and the port between them. One thread, no sockets, no
// clock of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hw/result.h"
#include "softnic/data_path.h"
#include "softnic/function_base.h"

namespace vigia::softnic {

struct DeviceOptions {
  unsigned vfs = 1;  // 0 to 63
  Timing timing = Timing::none;
  bool map_doorbells = true;       // offer the VFs' queue register pages as memory
  unsigned start_when_ready = 0;   // the wire waits until so many VFs have descriptors
  std::filesystem::path counters;  // empty: the accounts stay in memory
};

class Device {
 public:
  static constexpr unsigned kMaxVfs = 63;

  // wire and tx_pcap may be empty.
  static Result<std::unique_ptr<Device>> create(const DeviceOptions& options, std::unique_ptr<Wire> wire,
                                                std::unique_ptr<TxPcap> tx_pcap);

  unsigned vfs() const { return chip_->vfs(); }
  FunctionModel& pf() { return *pf_; }
  FunctionModel& vf(unsigned v) { return *vfs_[v]; }

  // One round: doorbells, one burst of everything that is due, interrupts. now_ns: any monotonic clock. Returns whether
  // anything moved.
  bool run_once(std::uint64_t now_ns);
  // How long the caller may sleep when run_once() had nothing to do, ns; other causes to wake up are the sockets and
  // doorbells in memory.
  std::uint64_t may_sleep_ns(std::uint64_t now_ns) const { return data_path_->next_due(now_ns); }

  // Whether a client has touched any function and not left since.
  bool has_clients() const;

  bool wire_started() const { return data_path_->wire_started(); }
  bool wire_done() const { return data_path_->wire_done(); }
  // What the wire waits for, for the operator; empty when it has started.
  std::string waits_for() const;

  // Accounts by name (hw/accounts.h).
  std::map<std::string, std::uint64_t> accounts() const { return data_path_->statistics().snapshot(); }
  // Queues of a function that were stopped for a fault, by "vf3.rx_faults" and the like; zeros left out.
  std::map<std::string, std::uint64_t> faults() const;

  // See DataPath. now_ns of run_once() must be CLOCK_MONOTONIC's then.
  void keep_arrivals(ArrivalLog& log) { data_path_->keep_arrivals(log); }

  TxPcap* tx_pcap() { return data_path_->tx_pcap(); }
  const Wire* wire() const { return data_path_->wire(); }
  LiveWire* live_wire() { return data_path_->live_wire(); }  // nullptr: none, or a wire without a peer
  Chip& chip() { return *chip_; }

 private:
  // Mapped pages of queues that are off are looked at so often; those of active queues in each round.
  static constexpr std::uint64_t kScanNs = 20'000;

  Device() = default;
  unsigned ready_receivers() const;
  bool port_up() const;
  void scan();

  DeviceOptions options_;
  std::unique_ptr<Chip> chip_;
  std::unique_ptr<DataPath> data_path_;
  std::unique_ptr<PfFunction> pf_;
  std::vector<std::unique_ptr<VfFunction>> vfs_;
  std::uint64_t last_scan_ns_ = 0;
};

}  // namespace vigia::softnic
