// SPDX-License-Identifier: Apache-2.0
// Delivery into receive queues and the end of a burst.
#include "softnic/data_path.h"

#include <bit>
#include <chrono>

#include "hw/ixgbe/descriptor.h"
#include "hw/log.h"

namespace vigia::softnic {

using namespace hw::ixgbe;

namespace {

void touch(QueueSet& set, unsigned queue) { set[queue / 64] |= std::uint64_t{1} << queue % 64; }

std::uint64_t epoch_offset() {
  using namespace std::chrono;
  const auto wall = duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
  const auto steady = duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
  return static_cast<std::uint64_t>(wall - steady);
}

}  // namespace

DataPath::DataPath(Chip& chip, Statistics statistics, std::unique_ptr<Wire> wire, std::unique_ptr<TxPcap> tx_pcap,
                   Timing timing)
    : chip_(chip),
      statistics_(std::move(statistics)),
      wire_(std::move(wire)),
      live_(wire_ != nullptr ? wire_->live() : nullptr),
      tx_pcap_(std::move(tx_pcap)),
      timed_(timing == Timing::intel_82599),
      closed_loop_(wire_ != nullptr && live_ == nullptr && wire_->rate().kind == Rate::Kind::maximum),
      epoch_offset_ns_(epoch_offset()) {
  decode();
}

void DataPath::decode() {
  const RegisterFile& r = chip_.registers;
  tables_ = decode_filters(r);
  decisions_.forget();
  choice_ = std::make_unique<QueueChoice>(r);
  receive_on_ = (r.get(pf::RXCTRL) & Rxctrl::rxen) != 0 && (r.get(pf::SECRXCTRL) & Secrx::rx_dis) == 0;
  transmit_on_ = (r.get(pf::DMATXCTL) & Dmatxctl::te) != 0;
  pad_ = (r.get(pf::HLREG0) & Hlreg0::txpaden) != 0;
  mac_loopback_ = (r.get(pf::HLREG0) & Hlreg0::lpbk) != 0;
  count_spoofs_ = r.get(pf::PFVMECM, 0) | PoolMask{r.get(pf::PFVMECM, 1)} << 32;
  buffer_.set_limit(((r.get(pf::RXPBSIZE, 0) & Pbsize::kib_mask) >> Pbsize::kib_shift) * 1024);
  chip_.filters_dirty = false;
  const std::string_view conflict = receive_on_ ? vt_mode_conflict(r) : std::string_view();
  if (!conflict.empty() && !conflict_logged_) log::warning("pf: {}; pools follow GCR_EXT", conflict);
  conflict_logged_ = !conflict.empty();
}

bool DataPath::run(std::uint64_t now_ns) {
  now_ns_ = now_ns;
  if (arrivals_ != nullptr) arrivals_->begin_round(now_ns);
  if (timed_) budget_.refill(now_ns);
  for_each_queue(chip_.rx_enabled, [&](unsigned q) { chip_.sync_rx(q); });
  if (chip_.filters_dirty) decode();
  bool moved = drain();
  moved = transmit_all() || moved;
  moved = receive_burst() || moved;
  if (moved) publish();
  if (!moved || ++busy_runs_ == kShowRegisters) show_registers();
  return moved;
}

void DataPath::show_registers() {
  busy_runs_ = 0;
  for_each_queue(std::exchange(rx_behind_, QueueSet{}), [&](unsigned q) {
    chip_.rx[q].show_head();
    const int v = chip_.vf_of(q);
    if (v >= 0) chip_.publish_vf_counters(static_cast<unsigned>(v));
  });
}

DataPath::Classified::Classified(DataPath& path, FrameBytes frame)
    : l2(parse_l2(frame)),
      selection(path.decisions_.from_network(path.tables_, l2)),
      pools(path.receive_on_ ? selection.pools : 0),
      parsed(parse(path, frame)) {}

DataPath::Classified::Classified(const DataPath& path, FrameBytes frame, unsigned sender)
    : l2(parse_l2(frame)),
      own(select_from_pool(path.tables_, l2, sender)),
      selection(own),
      pools(path.receive_on_ ? selection.pools : 0),  // no local switching either while the receiver is off (8.5)
      parsed(parse(path, frame)) {}

QueueChoice::Parsed DataPath::Classified::parse(const DataPath& path, FrameBytes frame) const {
  return pools != 0 ? path.choice_->parse(frame, l2) : QueueChoice::Parsed{};
}

void DataPath::find_targets(const L2Key& l2, const QueueChoice::Parsed& parsed, PoolMask pools, PoolMask mirrored,
                            bool local) {
  target_count_ = 0;
  for (PoolMask rest = pools; rest != 0; rest &= rest - 1) {
    const auto pool = static_cast<unsigned>(std::countr_zero(rest));
    const unsigned number = choice_->queue(pool, l2, parsed.hash, parsed.ethertype_filter, local);
    targets_[target_count_++] = {&chip_.rx[number], static_cast<std::uint16_t>(number), static_cast<std::uint8_t>(pool),
                                 (mirrored >> pool & 1) != 0};
  }
}

DataPath::Wait DataPath::must_wait(RxQueue& queue, std::uint32_t bytes) {
  if (!queue.usable() || queue.room_for(bytes)) [[likely]]
    return Wait::no;
  if (closed_loop_) {
    if (queue.starved_since_ns == 0) queue.starved_since_ns = now_ns_ | 1;
    if (now_ns_ - queue.starved_since_ns <= kPatienceNs || now_ns_ < queue.starved_since_ns) return Wait::for_reader;
  }
  return queue.drops_when_empty() ? Wait::no : Wait::blocked;
}

DataPath::Wait DataPath::must_wait_for_targets(std::uint32_t bytes) {
  Wait worst = Wait::no;
  for (unsigned i = 0; i < target_count_; ++i) {
    const Wait wait = must_wait(*targets_[i].queue, bytes);
    if (wait == Wait::for_reader) return wait;
    if (wait == Wait::blocked) worst = wait;
  }
  return worst;
}

void DataPath::write_to(const Target& target, const RxFrame& frame) {
  target.queue->write(frame, target.mirrored);
  touch(rx_touched_, target.number);
  if (timed_) budget_.take(static_cast<std::uint32_t>(frame.bytes.size()));
}

void DataPath::count_copies(std::size_t bytes, PoolMask pools, bool local) {
  const auto copies = static_cast<unsigned>(std::popcount(pools));
  if (local) {
    ++tally_.loopback;
    tally_.loopback_bytes += bytes;
    tally_.loopback_duplicates += copies - 1;
  } else {
    ++tally_.routed;
    tally_.duplicates += copies - 1;
  }
}

namespace {

std::uint64_t status_of(const L2Key& l2, const Selection& selection, bool local) {
  return (l2.tagged ? RxStatus::vp : 0) | (selection.inexact ? RxStatus::pif : 0) | (local ? RxStatus::lb : 0);
}

}  // namespace

// Targets have been found for exactly this frame.
void DataPath::write_to_targets(FrameBytes frame, const Classified& c, bool local) {
  const RxFrame rx{frame, c.parsed.word0, status_of(c.l2, c.selection, local), c.l2.tci, c.l2.tagged, c.l2.multicast()};
  for (unsigned i = 0; i < target_count_; ++i) write_to(targets_[i], rx);
  count_copies(frame.size(), c.pools, local);
}

void DataPath::enqueue(FrameBytes frame, const Classified& c, bool from_network) {
  PacketBuffer::Entry entry;
  entry.length = static_cast<std::uint32_t>(frame.size());
  entry.from_network = from_network;
  entry.l2 = c.l2;
  entry.word0 = c.parsed.word0;
  entry.status = status_of(c.l2, c.selection, !from_network);
  entry.hash = c.parsed.hash;
  entry.ethertype_filter = c.parsed.ethertype_filter;
  entry.pools = c.pools;
  entry.mirrored = c.selection.mirrored;
  buffer_.push(entry, frame);
  count_copies(frame.size(), c.pools, !from_network);
  if (from_network) --tally_.routed;  // it is counted there when it leaves the buffer
}

bool DataPath::drain() {
  bool moved = false;
  buffer_waits_for_reader_ = false;
  while (!buffer_.empty()) {
    if (timed_ && !budget_.allows()) break;
    PacketBuffer::Entry& entry = buffer_.front();
    const FrameBytes bytes = buffer_.front_bytes();
    const RxFrame frame{bytes, entry.word0, entry.status, entry.l2.tci, entry.l2.tagged, entry.l2.multicast()};
    find_targets(entry.l2, {entry.word0, entry.hash, entry.ethertype_filter}, entry.pools, entry.mirrored,
                 !entry.from_network);
    PoolMask left = 0;
    for (unsigned i = 0; i < target_count_; ++i) {
      const Wait wait = must_wait(*targets_[i].queue, entry.length);
      if (wait == Wait::no) {
        write_to(targets_[i], frame);
        moved = true;
      } else {
        left |= PoolMask{1} << targets_[i].pool;
        buffer_waits_for_reader_ = buffer_waits_for_reader_ || wait == Wait::for_reader;
      }
    }
    entry.pools = left;
    if (left != 0) break;
    tally_.routed += entry.from_network;
    buffer_.pop();
  }
  return moved;
}

void DataPath::flush_buffer() {
  while (!buffer_.empty()) {
    PacketBuffer::Entry& entry = buffer_.front();
    const RxFrame frame{buffer_.front_bytes(), entry.word0,     entry.status,
                        entry.l2.tci,          entry.l2.tagged, entry.l2.multicast()};
    find_targets(entry.l2, {entry.word0, entry.hash, entry.ethertype_filter}, entry.pools, entry.mirrored,
                 !entry.from_network);
    for (unsigned i = 0; i < target_count_; ++i) write_to(targets_[i], frame);
    tally_.routed += entry.from_network;
    buffer_.pop();
  }
  publish();
}

void DataPath::publish() {
  statistics_.publish(tally_, chip_.registers);
  if (wire_ != nullptr) {
    const WireCounts& counts = wire_->counts();
    statistics_.set_wire(counts.padded, counts.zero_filled, wire_done(), buffer_.network_frames());
  }
  publish_tx();
  publish_rx();
}

void DataPath::publish_rx() {
  const QueueSet touched = std::exchange(rx_touched_, QueueSet{});
  QueueSet wrote{};
  for_each_queue(touched, [&](unsigned q) {
    if (chip_.rx[q].tally().written != 0) touch(wrote, q);
    statistics_.publish_rx(q, chip_.vf_of(q), chip_.rx[q].tally(), chip_.registers);
  });
  for_each_queue(wrote, [&](unsigned q) {
    const int v = chip_.vf_of(q);
    chip_.rx[q].flush();
    touch(rx_behind_, q);
    if (v >= 0) {
      chip_.interrupts->raise_vf_queue(static_cast<unsigned>(v), q % chip_.queues_per_pool(), false);
    } else {
      chip_.interrupts->raise_pf_queue(q, false);
    }
  });
}

void DataPath::publish_tx() {
  for_each_queue(std::exchange(tx_touched_, QueueSet{}), [&](unsigned q) {
    const int v = chip_.vf_of(q);
    statistics_.publish_tx(q, v, tx_tally_[q], chip_.registers);
    if (v >= 0) chip_.publish_vf_counters(static_cast<unsigned>(v));
    if (!chip_.tx[q].publish()) return;
    if (v >= 0) {
      chip_.interrupts->raise_vf_queue(static_cast<unsigned>(v), q % chip_.queues_per_pool(), true);
    } else {
      chip_.interrupts->raise_pf_queue(q, true);
    }
  });
}

}  // namespace vigia::softnic
