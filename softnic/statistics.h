// SPDX-License-Identifier: Apache-2.0
// Everything that counts: the ledger's accounts (hw/accounts.h) in their mapped file, the PF's statistics registers and
// the VFs' counters. The data path adds to plain tallies; they are published once a burst, before the burst becomes
// visible to drivers, so that no reader ever has more than the accounts say.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "hw/counter_file.h"
#include "softnic/registers.h"
#include "softnic/rx_queue.h"

namespace vigia::softnic {

// What happened to frames since the last publication.
struct PortTally {
  // From the network
  std::uint64_t sent = 0, sent_bytes = 0, accepted = 0, accepted_bytes = 0;
  std::uint64_t l2 = 0, vlan = 0, oversize = 0, undersize = 0, disabled = 0, missed = 0;
  std::uint64_t broadcast = 0, multicast = 0;
  std::array<std::uint64_t, 6> sizes{};  // of accepted frames, by size_class()
  std::uint64_t held_ns = 0;
  // Switched
  std::uint64_t routed = 0, no_pool = 0;
  std::uint64_t duplicates = 0, loopback = 0, loopback_bytes = 0, loopback_duplicates = 0;
  // From the functions
  std::uint64_t tx_wire_only = 0, tx_local_only = 0, tx_both = 0, tx_nowhere = 0, tx_wire_refused = 0;
  std::uint64_t tx_spoofed = 0, tx_refused = 0, tx_malformed = 0;
  std::uint64_t spoofed_counted = 0;          // of those, from pools with their PFVMECM bit
  std::uint64_t tx_frames = 0, tx_bytes = 0;  // sent to the network
  std::uint64_t tx_broadcast = 0, tx_multicast = 0;
  std::array<std::uint64_t, 6> tx_sizes{};
};

struct TxTally {  // of one transmit queue
  std::uint32_t frames = 0, dropped = 0;
  std::uint64_t bytes = 0;  // without FCS
};

// 64, 65..127, 128..255, 256..511, 512..1023, above: bytes with FCS.
constexpr unsigned size_class(std::uint32_t frame_bytes) {
  const std::uint32_t with_fcs = frame_bytes + 4;
  return with_fcs <= 64 ? 0 : with_fcs < 128 ? 1 : with_fcs < 256 ? 2 : with_fcs < 512 ? 3 : with_fcs < 1024 ? 4 : 5;
}

class Statistics {
 public:
  // An empty path keeps the accounts in memory.
  static Result<Statistics> create(const std::filesystem::path& path, unsigned vfs);

  // Each adds a tally and clears it. vf: who owns the queue, -1 for the PF.
  void publish(PortTally& tally, RegisterFile& registers);
  void publish_rx(unsigned queue, int vf, RxTally& tally, RegisterFile& registers);
  void publish_tx(unsigned queue, int vf, TxTally& tally, RegisterFile& registers);

  void set_wire(std::uint64_t padded, std::uint64_t zero_filled, bool done, std::uint64_t left_in_buffer);

  std::map<std::string, std::uint64_t> snapshot() const { return file_.snapshot(); }

 private:
  struct Function {
    hw::Counter copies, mirror_copies, written, written_bytes, no_descriptor, queue_disabled, dma_fault, tx_sent,
        tx_dropped;
  };
  Statistics(hw::CounterFile file, unsigned vfs);
  Function& function_of(int vf) { return functions_[vf >= 0 ? static_cast<unsigned>(vf) : vfs_]; }
  void publish_registers(const PortTally& tally, RegisterFile& registers);

  unsigned vfs_;
  hw::CounterFile file_;
  std::vector<Function> functions_;  // VFs, then the PF
  hw::Counter sent_, sent_bytes_, padded_, zero_filled_, held_ns_, done_, accepted_, l2_, vlan_, oversize_, disabled_,
      missed_, left_, routed_, no_pool_, copies_, mirror_copies_, tx_sent_, tx_wire_only_, tx_local_only_, tx_both_,
      tx_nowhere_, tx_wire_refused_, tx_spoofed_, tx_refused_, tx_malformed_;
};

}  // namespace vigia::softnic
