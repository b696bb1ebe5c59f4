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
  if (!started_ || wire_ == nullptr) return false;
  bool moved = false;
  for (unsigned n = 0; n < kBurst && !wire_ended_; ++n) {
    if (held_ == nullptr) {
      held_ = wire_->next();
      classified_for_ = 0;
      if (held_ == nullptr) {
        wire_ended_ = moved = true;
        break;
      }
    }
    if (!clock_.due(held_->departure_ns, now_ns_) || (timed_ && !line_.free(now_ns_))) break;
    const FrameBytes frame = held_->bytes;
    if (classified_for_ != decoded_) classify(frame);
    if (closed_loop_ && hold_wire(frame)) break;
    if (timed_) line_.take(now_ns_, static_cast<std::uint32_t>(frame.size()) + kLayer1Overhead);
    receive(frame, held_class_);
    held_ = nullptr;
    moved = true;
  }
  return moved;
}

void DataPath::classify(FrameBytes frame) {
  held_class_.l2 = parse_l2(frame);
  held_class_.selection = select_from_network(tables_, held_class_.l2);
  if (held_class_.selection.pools != 0) held_class_.parsed = choice_->parse(frame, held_class_.l2);
  classified_for_ = decoded_;
}

// Whether a closed-loop wire has to wait with its frame.
bool DataPath::hold_wire(FrameBytes frame) {
  bool hold = false;
  if (receive_on_ && held_class_.selection.verdict == Verdict::accepted) {
    if (buffer_.empty()) {
      find_targets(held_class_.l2, held_class_.parsed, held_class_.selection.pools, held_class_.selection.mirrored,
                   false);
      hold = must_wait_for_targets(static_cast<std::uint32_t>(frame.size())) == Wait::for_reader;
    } else {
      hold = buffer_waits_for_reader_;
    }
  }
  if (hold) {
    if (held_since_ns_ == 0) held_since_ns_ = now_ns_;
  } else if (held_since_ns_ != 0) {
    tally_.held_ns += now_ns_ - held_since_ns_;
    held_since_ns_ = 0;
  }
  return hold;
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

void DataPath::receive(FrameBytes frame, const Classified& c) {
  ++tally_.sent;
  tally_.sent_bytes += frame.size();
  if (!receive_on_) {
    ++tally_.disabled;
    return;
  }
  if (!count_verdict(c.selection.verdict)) return;
  if (c.selection.pools == 0) {
    accept(frame, c.l2);
    ++tally_.no_pool;
    return;
  }
  const bool direct = buffer_.empty() && (!timed_ || budget_.allows());
  if (direct) {
    find_targets(c.l2, c.parsed, c.selection.pools, c.selection.mirrored, false);
    if (must_wait_for_targets(static_cast<std::uint32_t>(frame.size())) == Wait::no) {
      accept(frame, c.l2);
      write_to_targets(frame, c, false);
      return;
    }
  }
  if (!buffer_.room_for(frame.size())) {
    ++tally_.missed;
    return;
  }
  accept(frame, c.l2);
  enqueue(frame, c, true);
}

}  // namespace vigia::softnic
