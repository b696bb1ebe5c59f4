// SPDX-License-Identifier: Apache-2.0
// Frames from the network: the wire's clock, the filters, the packet buffer.
#include "softnic/data_path.h"

namespace vigia::softnic {

void DataPath::start_wire(std::uint64_t now_ns) {
  started_ = true;
  clock_.start(now_ns);
}

std::uint64_t DataPath::next_due(std::uint64_t now_ns) const {
  if (!started_ || wire_ == nullptr || wire_ended_ || held_ == nullptr) return ~std::uint64_t{0};
  return clock_.until(held_->departure_ns, now_ns);
}

bool DataPath::receive_burst() {
  // What a live wire brings before its start is taken all the same, or it would wake us for ever.
  if (wire_ == nullptr || (!started_ && live_ == nullptr)) return false;
  bool moved = false;
  for (unsigned n = 0; n < kBurst && !wire_ended_; ++n) {
    if (held_ == nullptr) held_ = wire_->next();
    if (held_ == nullptr) {
      if (live_ != nullptr) break;
      wire_ended_ = moved = true;
      break;
    }
    if (live_ == nullptr && !clock_.due(held_->departure_ns, now_ns_)) break;
    const FrameBytes frame = held_->bytes;
    const auto on_cable = static_cast<std::uint32_t>(frame.size()) + kLayer1Overhead;
    const std::uint64_t ready_ns = live_ == nullptr ? clock_.at(held_->departure_ns) : 0;
    const std::uint64_t arrival_ns = timed_ ? line_.arrival_ns(now_ns_, ready_ns, on_cable) : now_ns_;
    if (arrival_ns > now_ns_) break;
    const Classified c(*this, frame);
    const Wait wait = look_ahead(frame, c);
    if (closed_loop_ && hold_wire(wait)) break;
    if (timed_) line_.take(now_ns_, ready_ns, on_cable);
    const bool delivered = receive(frame, c, wait);
    if (arrivals_ != nullptr) arrivals_->add(arrival_ns, static_cast<std::uint32_t>(frame.size()), delivered);
    held_ = nullptr;
    moved = true;
  }
  return moved;
}

// What would keep the frame from its receivers. Finds the targets unless there are none or others are in front.
DataPath::Wait DataPath::look_ahead(FrameBytes frame, const Classified& c) {
  if (c.pools == 0) return Wait::no;
  if (!buffer_.empty()) return buffer_waits_for_reader_ ? Wait::for_reader : Wait::blocked;
  find_targets(c.l2, c.parsed, c.pools, c.selection.mirrored, false);
  const Wait wait = must_wait_for_targets(static_cast<std::uint32_t>(frame.size()));
  return wait == Wait::no && timed_ && !budget_.allows() ? Wait::blocked : wait;
}

// Whether a closed-loop wire keeps its frame; counts how long.
bool DataPath::hold_wire(Wait wait) {
  if (wait == Wait::for_reader) {
    if (held_since_ns_ == 0) held_since_ns_ = now_ns_;
    return true;
  }
  if (held_since_ns_ != 0) {
    tally_.held_ns += now_ns_ - held_since_ns_;
    held_since_ns_ = 0;
  }
  return false;
}

bool DataPath::count_verdict(Verdict verdict) {
  switch (verdict) {
    case Verdict::accepted:
      return true;
    case Verdict::oversize:
      ++tally_.oversize;
      return false;
    case Verdict::undersize:
      ++tally_.undersize;
      return false;
    case Verdict::vlan_filter:
      ++tally_.vlan;
      return false;
    case Verdict::l2_filter:
    case Verdict::mac_spoofed:  // these are verdicts on local frames only
    case Verdict::vlan_spoofed:
    case Verdict::tag_refused:
    case Verdict::transmit_disabled:
      break;
  }
  ++tally_.l2;
  return false;
}

void DataPath::accept(FrameBytes frame, const L2Key& l2) {
  ++tally_.accepted;
  tally_.accepted_bytes += frame.size();
  ++tally_.sizes[size_class(static_cast<std::uint32_t>(frame.size()))];
  if (l2.broadcast()) {
    ++tally_.broadcast;
  } else if (l2.multicast()) {
    ++tally_.multicast;
  }
}

// wait: what look_ahead() said. Whether some pool gets the frame, if it has descriptors.
bool DataPath::receive(FrameBytes frame, const Classified& c, Wait wait) {
  ++tally_.sent;
  tally_.sent_bytes += frame.size();
  if (!receive_on_) {
    ++tally_.disabled;
    return false;
  }
  if (!count_verdict(c.selection.verdict)) return false;
  if (c.pools == 0) {
    accept(frame, c.l2);
    ++tally_.no_pool;
    return false;
  }
  if (wait == Wait::no) {
    accept(frame, c.l2);
    write_to_targets(frame, c, false);
    return true;
  }
  if (!buffer_.room_for(frame.size())) {
    ++tally_.missed;
    return false;
  }
  accept(frame, c.l2);
  enqueue(frame, c, true);
  return true;
}

}  // namespace vigia::softnic
