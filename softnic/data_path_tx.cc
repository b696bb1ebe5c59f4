// SPDX-License-Identifier: Apache-2.0
// Frames from the functions: offloads, tags, the transmit switch, the way out of the port.
#include <cstring>

#include "hw/ixgbe/model.h"
#include "softnic/data_path.h"

namespace vigia::softnic {
namespace {

constexpr std::size_t kMacHeader = 14, kTagAt = 12, kTagBytes = 4, kMinFrame = 60;
constexpr unsigned kFramesPerQueue = 32;
// A packet is fetched only while its local copies find room in the packet buffer if they have to wait. One large
// packet of segments may need more; what does not fit then is dropped like any other frame without room.
constexpr std::size_t kLocalRoom = PacketBuffer::kMaxFrame;

// Puts an 802.1Q tag into a frame that begins at storage[begin]; it then begins 4 bytes earlier.
std::size_t insert_tag(std::vector<std::byte>& storage, std::size_t begin, std::uint16_t tci) {
  check(begin >= kTagBytes);
  std::byte* const frame = storage.data() + begin - kTagBytes;
  std::memmove(frame, frame + kTagBytes, kTagAt);
  frame[kTagAt] = std::byte{0x81};
  frame[kTagAt + 1] = std::byte{0x00};
  frame[kTagAt + 2] = static_cast<std::byte>(tci >> 8);
  frame[kTagAt + 3] = static_cast<std::byte>(tci);
  return begin - kTagBytes;
}

}  // namespace

bool DataPath::transmit_all() {
  if (!transmit_on_) return false;
  bool moved = false;
  for_each_queue(chip_.tx_enabled, [&](unsigned q) {
    chip_.sync_tx(q);
    moved = transmit(q) || moved;
  });
  return moved;
}

bool DataPath::may_transmit(const TxQueue& queue, unsigned pool) const {
  return queue.usable() && queue.has_work() && queue.may_send(now_ns_) &&
         (!tables_.vt || (tables_.transmit_enable >> pool & 1) != 0) &&
         (buffer_.empty() || buffer_.room_for(kLocalRoom));
}

bool DataPath::transmit(unsigned q) {
  TxQueue& queue = chip_.tx[q];
  const unsigned pool = choice_->pool_of(q);
  bool moved = false;
  for (unsigned n = 0; n < kFramesPerQueue && may_transmit(queue, pool); ++n) {
    const TxQueue::Gather found = queue.gather(packet_);
    if (found == TxQueue::Gather::nothing) break;
    tx_touched_[q / 64] |= std::uint64_t{1} << q % 64;
    moved = true;
    if (found == TxQueue::Gather::fault) {
      drop_transmit(q, tally_.tx_malformed);
      break;
    }
    send(q, pool);
    queue.complete();
  }
  return moved;
}

void DataPath::send(unsigned q, unsigned pool) {
  if (!packet_.offload.segment) {
    apply_checksums(packet_.offload, packet_.bytes());
    send_frame(q, pool, packet_.storage);
    return;
  }
  Segmenter segments(packet_.offload, packet_.bytes());
  while (segments.next(segment_, TxPacket::kHeadroom)) send_frame(q, pool, segment_);
}

void DataPath::drop_transmit(unsigned q, std::uint64_t& account) {
  ++tx_tally_[q].frames;
  ++tx_tally_[q].dropped;
  ++account;
}

void DataPath::send_frame(unsigned q, unsigned pool, std::vector<std::byte>& storage) {
  std::size_t begin = TxPacket::kHeadroom;
  const std::size_t bytes = storage.size() - begin;
  if (bytes < kMacHeader || (bytes < kMinFrame && !pad_)) return drop_transmit(q, tally_.tx_malformed);
  if (packet_.insert_tag) begin = insert_tag(storage, begin, packet_.tci);
  if (storage.size() - begin < kMinFrame) storage.resize(begin + kMinFrame);  // zeros
  const auto frame = [&] { return FrameBytes(storage).subspan(begin); };
  if (tables_.vt) {
    switch (port_vlan(tables_, parse_l2(frame()), pool)) {
      case PortVlan::unchanged:
        break;
      case PortVlan::insert:
        begin = insert_tag(storage, begin, static_cast<std::uint16_t>(tables_.vmvir[pool]));
        break;
      case PortVlan::refuse:
        return drop_transmit(q, tally_.tx_refused);
    }
  }
  send_classified(frame(), q, pool);
}

void DataPath::send_classified(FrameBytes frame, unsigned q, unsigned pool) {
  const Classified c(*this, frame, pool);
  switch (c.selection.verdict) {
    case Verdict::mac_spoofed:
    case Verdict::vlan_spoofed:
      tally_.spoofed_counted += count_spoofs_ >> pool & 1;
      return drop_transmit(q, tally_.tx_spoofed);
    case Verdict::oversize:
    case Verdict::tag_refused:
    case Verdict::transmit_disabled:
      return drop_transmit(q, tally_.tx_refused);
    case Verdict::accepted:
    case Verdict::undersize:
    case Verdict::l2_filter:
    case Verdict::vlan_filter:
      break;
  }
  const bool local = c.pools != 0, wire = c.selection.to_wire;
  ++(wire ? local ? tally_.tx_both : tally_.tx_wire_only : local ? tally_.tx_local_only : tally_.tx_nowhere);
  ++tx_tally_[q].frames;
  tx_tally_[q].bytes += frame.size();
  chip_.tx[q].sent(now_ns_, static_cast<std::uint32_t>(frame.size()) + kLayer1Overhead);
  if (local) {
    find_targets(c.l2, c.parsed, c.pools, c.selection.mirrored, true);
    const bool wait = !buffer_.empty() || (timed_ && !budget_.allows()) ||
                      must_wait_for_targets(static_cast<std::uint32_t>(frame.size())) != Wait::no;
    if (wait && buffer_.room_for(frame.size())) {
      enqueue(frame, c, false);
    } else {
      write_to_targets(frame, c, true);
    }
  }
  if (wire) emit(frame, c.l2);
}

void DataPath::emit(FrameBytes frame, const L2Key& l2) {
  ++tally_.tx_frames;
  tally_.tx_bytes += frame.size();
  ++tally_.tx_sizes[size_class(static_cast<std::uint32_t>(frame.size()))];
  if (l2.broadcast()) {
    ++tally_.tx_broadcast;
  } else if (l2.multicast()) {
    ++tally_.tx_multicast;
  }
  if (tx_pcap_ != nullptr) tx_pcap_->write(frame, now_ns_ + epoch_offset_ns_);
  if (!mac_loopback_) {
    if (live_ != nullptr) tally_.tx_wire_refused += !live_->send(frame);
    return;
  }
  // HLREG0.LPBK: the MAC takes as received what it sends.
  const Classified c(*this, frame);
  receive(frame, c, look_ahead(frame, c));
}

}  // namespace vigia::softnic
