// SPDX-License-Identifier: Apache-2.0
// Frames through the port, in bursts: from the wire and from transmit queues through the switch into receive queues, or
// out of the port. Nothing here waits, allocates or calls the system, but for writing --tx-pcap and interrupts once a
// burst.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "softnic/arrival_log.h"
#include "softnic/chip.h"
#include "softnic/decision_cache.h"
#include "softnic/filter_decode.h"
#include "softnic/pacer.h"
#include "softnic/packet_buffer.h"
#include "softnic/statistics.h"
#include "softnic/timing.h"
#include "softnic/tx_pcap.h"
#include "softnic/wire.h"

namespace vigia::softnic {

class DataPath {
 public:
  // wire, tx_pcap may be empty. chip outlives the data path.
  DataPath(Chip& chip, Statistics statistics, std::unique_ptr<Wire> wire, std::unique_ptr<TxPcap> tx_pcap,
           Timing timing);

  // One burst of everything that is due. Returns whether anything moved.
  bool run(std::uint64_t now_ns);
  // After registers changed: what the data path had decoded.
  void decode();

  // From now on the log is told when each frame of the wire arrived; with Timing::intel_82599. It outlives this.
  void keep_arrivals(ArrivalLog& log) { arrivals_ = &log; }

  void start_wire(std::uint64_t now_ns);
  bool wire_started() const { return started_; }
  // The wire has handed out its last frame and every frame of it has been switched.
  bool wire_done() const { return wire_ended_ && held_ == nullptr && buffer_.network_frames() == 0; }
  // Nanoseconds until the wire's next frame is due; 0: now, ~0: nothing to wait for.
  std::uint64_t next_due(std::uint64_t now_ns) const;
  // RXCTRL.RXEN and the security engine let frames in.
  bool receiver_on() const { return receive_on_; }

  // What waits for good goes through as if its queues were off: before a reset empties them.
  void flush_buffer();

  const Wire* wire() const { return wire_.get(); }
  LiveWire* live_wire() { return live_; }
  TxPcap* tx_pcap() { return tx_pcap_.get(); }
  const Statistics& statistics() const { return statistics_; }

 private:
  // A closed-loop wire waits so long for a queue that takes nothing; then not until the queue takes again.
  static constexpr std::uint64_t kPatienceNs = 1'000'000'000;
  static constexpr unsigned kBurst = 64;
  // While frames move, the registers that software can see in a VF's page follow after so many bursts: they lie in the
  // cache line of the doorbell, which would go to and fro between two cores with every burst.
  static constexpr unsigned kShowRegisters = 64;

  enum class Wait : std::uint8_t { no, for_reader, blocked };
  struct Target {
    RxQueue* queue;
    std::uint16_t number;
    std::uint8_t pool;
    bool mirrored;
  };
  // What the switch says about a frame. Built in place and never copied: copying such a struct right after it was
  // written stalls the store buffer, which cost a fifth of the speed (benchmarks/bench_device).
  struct Classified {
    Classified(DataPath& path, FrameBytes frame);                         // from the network
    Classified(const DataPath& path, FrameBytes frame, unsigned sender);  // from a pool
    Classified(const Classified&) = delete;
    Classified& operator=(const Classified&) = delete;
    QueueChoice::Parsed parse(const DataPath& path, FrameBytes frame) const;

    const L2Key l2;
    const Selection own;         // of a frame from a pool
    const Selection& selection;  // the switch's
    const PoolMask pools;        // of the selection, none while the receiver is off
    const QueueChoice::Parsed parsed;
  };

  // Delivery (data_path.cc)
  void find_targets(const L2Key& l2, const QueueChoice::Parsed& parsed, PoolMask pools, PoolMask mirrored, bool local);
  Wait must_wait(RxQueue& queue, std::uint32_t bytes);
  Wait must_wait_for_targets(std::uint32_t bytes);
  void write_to(const Target& target, const RxFrame& frame);
  void write_to_targets(FrameBytes frame, const Classified& c, bool local);
  void count_copies(std::size_t bytes, PoolMask pools, bool local);
  void enqueue(FrameBytes frame, const Classified& c, bool from_network);
  bool drain();
  void publish();
  void publish_rx();
  void show_registers();
  void publish_tx();

  // From the network (data_path_wire.cc)
  bool receive_burst();
  Wait look_ahead(FrameBytes frame, const Classified& c);
  bool hold_wire(Wait wait);
  bool receive(FrameBytes frame, const Classified& c, Wait wait);
  bool count_verdict(Verdict verdict);
  void accept(FrameBytes frame, const L2Key& l2);

  // From the functions (data_path_tx.cc)
  bool transmit_all();
  bool transmit(unsigned queue);
  bool may_transmit(const TxQueue& queue, unsigned pool) const;
  void send(unsigned queue, unsigned pool);
  void send_frame(unsigned queue, unsigned pool, std::vector<std::byte>& storage);
  void send_classified(FrameBytes frame, unsigned queue, unsigned pool);
  void drop_transmit(unsigned queue, std::uint64_t& account);
  void emit(FrameBytes frame, const L2Key& l2);

  Chip& chip_;
  Statistics statistics_;
  std::unique_ptr<Wire> wire_;
  LiveWire* const live_;  // wire_, if it is one
  std::unique_ptr<TxPcap> tx_pcap_;
  const bool timed_;
  const bool closed_loop_;

  // Decoded registers
  FilterTables tables_;
  DecisionCache decisions_;
  std::unique_ptr<QueueChoice> choice_;
  bool receive_on_ = false, transmit_on_ = false, pad_ = true, mac_loopback_ = false;
  PoolMask count_spoofs_ = 0;

  // The frame that the wire offers
  bool started_ = false, wire_ended_ = false;
  const WireFrame* held_ = nullptr;
  std::uint64_t held_since_ns_ = 0;
  WireClock clock_;
  LineRate line_;
  ArrivalLog* arrivals_ = nullptr;  // may be null
  PcieBudget budget_;

  std::uint64_t now_ns_ = 0;
  PacketBuffer buffer_;
  bool buffer_waits_for_reader_ = false;
  std::array<Target, 64> targets_;
  unsigned target_count_ = 0;

  PortTally tally_;
  std::array<TxTally, hw::ixgbe::pf::kQueues> tx_tally_{};
  QueueSet rx_touched_{}, tx_touched_{};
  QueueSet rx_behind_{};    // receive queues whose registers do not show their last bursts
  unsigned busy_runs_ = 0;  // since they did
  TxPacket packet_;
  std::vector<std::byte> segment_;
  std::uint64_t epoch_offset_ns_ = 0;  // to 1970, for --tx-pcap
  bool conflict_logged_ = false;
};

}  // namespace vigia::softnic
