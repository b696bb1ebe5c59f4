// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/intel/mailbox.h"

#include <fmt/format.h>

#include <utility>

namespace vigia::vf::intel {

using mbx::Message;
namespace Id = mbx::CommonId;

Verdict judge_unasked(std::uint32_t word0) {
  if ((word0 & mbx::kCts) == 0) {
    const bool control = (word0 & 0xffff) == mbx::kPfControl;
    return control || (word0 & mbx::kFailure) != 0 ? Verdict::reset_needed : Verdict::unrelated;
  }
  return (word0 & 0xffff) == mbx::kPfControl ? Verdict::ping : Verdict::unrelated;
}

Verdict judge(std::uint32_t word0, std::uint16_t expected) {
  const bool success = (word0 & mbx::kSuccess) != 0, failure = (word0 & mbx::kFailure) != 0;
  if (mbx::number_of(word0) == expected) {
    if (success == failure) return Verdict::broken;
    if (expected == Id::reset) {  // the only reply without CTS; nothing but flag and id may be in it
      const auto flag = success ? mbx::kSuccess : mbx::kFailure;
      if (word0 != (flag | mbx::word0(Id::reset))) return Verdict::broken;
    } else if ((word0 & mbx::kCts) == 0) {
      return Verdict::reset_needed;
    }
    return success ? Verdict::granted : Verdict::refused;
  }
  const Verdict unasked = judge_unasked(word0);
  // While asking for a reset it is no news that the PF wants one: Linux sends such a NACK when an old message is
  // acknowledged.
  return expected == Id::reset && unasked == Verdict::reset_needed ? Verdict::unrelated : unasked;
}

Mailbox::Mailbox(const Registers& registers, NameOf name_of, std::string device, Timing timing)
    : registers_(registers), name_of_(name_of), device_(std::move(device)), timing_(timing) {}

void Mailbox::forget() {
  keeps_lock_ = false;
  pending_ = 0;
  gone_ = false;
}

std::uint32_t Mailbox::control() {
  const std::uint32_t now = registers_.control.read();
  if (now == ~0u) {  // a device that is gone; no bit of it means anything
    gone_ = true;
    return 0;
  }
  pending_ |= now & mbx::VfBit::read_to_clear;
  return now;
}

bool Mailbox::take(std::uint32_t bit) {
  const bool seen = (pending_ & bit) != 0;
  pending_ &= ~bit;
  return seen;
}

bool Mailbox::pf_in_reset() {
  const std::uint32_t now = control();
  take(mbx::VfBit::rstd);
  return gone_ || (now & mbx::VfBit::rsti) != 0;
}

Verdict Mailbox::poll() {
  const std::uint32_t now = control();
  if (gone_) return Verdict::unrelated;
  if ((now & mbx::VfBit::rsti) != 0 || (pending_ & mbx::VfBit::rstd) != 0) return Verdict::reset_needed;
  if ((pending_ & mbx::VfBit::pfsts) == 0) return Verdict::unrelated;
  // A PF that holds the buffer right now is about to send more: the message stays pending, the next look takes it.
  if (!keeps_lock_) {
    registers_.control.ring(mbx::VfBit::vfu);
    if ((control() & mbx::VfBit::vfu) == 0) return Verdict::unrelated;
  }
  take(mbx::VfBit::pfsts);
  const std::uint32_t word0 = registers_.words[0].read();
  registers_.control.ring(mbx::VfBit::ack);  // drops VFU as well
  return judge_unasked(word0);
}

Error Mailbox::sentence(std::errc code, std::uint16_t id, const std::string& what) const {
  return {code, fmt::format("mailbox request {} on {}: {}", name_of_(id), device_, what)};
}

Result<Done> Mailbox::await(std::uint32_t bit, std::uint16_t id, const char* what) {
  const auto seen = wait_until(
      what, timing_.limit,
      [&] {
        const std::uint32_t now = control();
        return gone_ || (pending_ & bit) != 0 || (now & mbx::VfBit::rsti) != 0;
      },
      timing_.step);
  if (gone_) return sentence(std::errc::no_such_device, id, "the device is gone (registers read as all ones)");
  if (!seen) {
    return sentence(std::errc::timed_out, id, seen.error().text + "; is the PF driver running and serving this VF?");
  }
  if (take(bit)) return Done{};
  return sentence(std::errc::connection_reset, id, "the PF went into reset; reset the VF when the PF is back");
}

Result<Done> Mailbox::lock(std::uint16_t id) {
  const auto locked = wait_until(
      "mailbox lock (VFU)", timing_.limit,
      [&] {
        registers_.control.ring(mbx::VfBit::vfu);
        return (control() & mbx::VfBit::vfu) != 0 || gone_;
      },
      timing_.step);
  if (gone_) return sentence(std::errc::no_such_device, id, "the device is gone (registers read as all ones)");
  if (!locked)
    return sentence(std::errc::timed_out, id, locked.error().text + "; the PF does not let go of the buffer");
  return Done{};
}

Result<Message> Mailbox::read_message(std::uint16_t id) {
  if (!keeps_lock_) {
    if (auto locked = lock(id); !locked) return locked.error();
  }
  Message m{};
  for (unsigned i = 0; i < mbx::kWords; ++i) m[i] = registers_.words[i].read();
  registers_.control.ring(mbx::VfBit::ack);  // exactly this bit: drops VFU in the same store
  return m;
}

Result<Message> Mailbox::await_reply(std::uint16_t id) {
  const auto deadline = std::chrono::steady_clock::now() + timing_.limit;
  while (true) {
    if (auto there = await(mbx::VfBit::pfsts, id, "the PF's reply (PFSTS)"); !there) return there.error();
    auto m = read_message(id);
    if (!m) return m.error();
    const std::uint32_t word0 = (*m)[0];
    switch (judge(word0, id)) {
      case Verdict::granted:
      case Verdict::refused:
        return m;
      case Verdict::broken:
        return sentence(std::errc::protocol_error, id,
                        fmt::format("the PF answered {:#010x}, which is no reply", word0));
      case Verdict::reset_needed:
        return sentence(std::errc::connection_reset, id,
                        fmt::format("the PF has forgotten this VF (it answered {:#010x}); reset the VF", word0));
      case Verdict::ping:
      case Verdict::unrelated:
        break;
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return sentence(std::errc::timed_out, id, "the PF sends messages, but no reply to this one");
    }
  }
}

Result<Message> Mailbox::exchange(const Message& m, unsigned words) {
  const std::uint16_t id = mbx::number_of(m[0]);
  control();
  if ((pending_ & mbx::VfBit::pfsts) != 0) {  // a ping nobody has read yet: taken now, so that it is not the reply
    take(mbx::VfBit::pfsts);
    if (auto old = read_message(id); !old)
      return old.error();
    else if (judge((*old)[0], id) == Verdict::reset_needed) {
      return sentence(std::errc::connection_reset, id, "the PF has forgotten this VF; reset the VF");
    }
  }
  if (auto locked = lock(id); !locked) return locked.error();
  take(mbx::VfBit::pfack);  // of a request that timed out
  for (unsigned i = 0; i < words; ++i) registers_.words[i].ring(m[i]);
  registers_.control.ring(mbx::VfBit::req | (keeps_lock_ ? mbx::VfBit::vfu : 0));
  auto acknowledged = await(mbx::VfBit::pfack, id, "the PF's acknowledgement (PFACK)");
  if (keeps_lock_) registers_.control.ring(0);
  if (!acknowledged) return acknowledged.error();
  return await_reply(id);
}

Result<Message> Mailbox::request(const Message& m, unsigned words, const std::string& what) {
  auto reply = exchange(m, words);
  if (!reply) return reply.error();
  const std::uint16_t id = mbx::number_of(m[0]);
  if (judge((*reply)[0], id) == Verdict::refused) {
    return sentence(std::errc::operation_not_permitted, id,
                    "the PF refused " + what + "; see the PF driver's log for why");
  }
  return reply;
}

Result<Mailbox::ResetReply> Mailbox::reset() {
  auto reply = exchange(Message{mbx::word0(Id::reset)}, 1);
  if (!reply) return reply.error();
  const bool assigned = judge((*reply)[0], Id::reset) == Verdict::granted;
  return ResetReply{assigned, mbx::get_mac(*reply), (*reply)[3]};
}

Result<Done> Mailbox::set_mac(const hw::Mac& mac) {
  Message m{mbx::word0(Id::set_mac_addr)};
  mbx::put_mac(m, mac);
  auto reply = request(m, 3, "the address " + mac.text());
  if (!reply) return reply.error();
  return Done{};
}

Result<Done> Mailbox::set_max_frame(std::uint32_t bytes) {
  auto reply = request(Message{mbx::word0(Id::set_lpe), bytes}, 2, fmt::format("frames of {} bytes", bytes));
  if (!reply) return reply.error();
  return Done{};
}

Result<Done> Mailbox::set_vlan(std::uint16_t vid, bool member) {
  auto reply = request(Message{mbx::word0(Id::set_vlan, member ? 1 : 0), vid}, 2,
                       fmt::format("{} VLAN {}", member ? "joining" : "leaving", vid));
  if (!reply) return reply.error();
  return Done{};
}

Result<Done> Mailbox::set_multicast(std::span<const hw::Mac> groups, unsigned multicast_type) {
  check(groups.size() <= mbx::kMaxMulticastHashes);
  const auto count = static_cast<unsigned>(groups.size());
  Message m{mbx::word0(Id::set_multicast, count)};
  for (unsigned i = 0; i < count; ++i) {
    mbx::put_multicast_hash(m, i, mbx::multicast_hash(groups[i], multicast_type));
  }
  auto reply = request(m, mbx::kWords, fmt::format("{} multicast groups", count));
  if (!reply) return reply.error();
  return Done{};
}

}  // namespace vigia::vf::intel
