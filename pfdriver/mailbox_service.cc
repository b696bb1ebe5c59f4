// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/mailbox_service.h"

#include <algorithm>
#include <array>

#include "hw/ixgbe/regs_pf.h"
#include "pfdriver/bring_up.h"

namespace vigia::pf {
namespace {

namespace reg = hw::ixgbe::pf;
namespace mbx = hw::ixgbe::mbx;
namespace PfBit = mbx::PfBit;
using std::chrono::milliseconds;

// VF drivers give up on a reply after 1 s; one that holds the lock for a tenth of that is stuck or hostile.
constexpr milliseconds kLockLimit{100};
// After this an unread message of ours may be overwritten: drivers that poll read at most 1 s late.
constexpr milliseconds kReadLimit{1000};
// Linux VF drivers take no notice of a PF that came back within 10 s of their own last reset.
constexpr milliseconds kRemindAfter{12000};
constexpr unsigned kPerCause = 16;  // VFs in a PFMBICR word: requests below, acknowledgements above

std::uint32_t request_bit(unsigned vf) { return 1u << vf % kPerCause; }
std::uint32_t ack_bit(unsigned vf) { return 1u << (vf % kPerCause + kPerCause); }

}  // namespace

MailboxService::MailboxService(hw::Bar& bar, VfHost& host, unsigned vfs, unsigned queues_per_pool)
    : bar_(bar), host_(host), queues_per_pool_(queues_per_pool), lines_(vfs) {}

bool MailboxService::pending() const {
  return std::any_of(lines_.begin(), lines_.end(), [](const Line& line) { return line.out.has_value(); });
}

void MailboxService::service(Clock::time_point now) {
  const auto vfs = static_cast<unsigned>(lines_.size());
  // Causes first, resets second: a request that is seen here came after any reset that is not seen yet, so no reset can
  // undo what its VF asked for afterwards.
  std::array<std::uint32_t, reg::PFMBICR.count> causes{};
  for (unsigned w = 0; w * kPerCause < vfs; ++w) causes[w] = bar_.read(reg::PFMBICR, w);
  std::array<std::uint32_t, reg::PFVFLRE.count> resets{};
  for (unsigned w = 0; w * 32 < vfs; ++w) resets[w] = bar_.read(reg::PFVFLRE, w);

  for (unsigned vf = 0; vf < vfs; ++vf) {
    if ((resets[vf / 32] >> vf % 32 & 1) != 0) serve_reset(vf);
    if ((causes[vf / kPerCause] & request_bit(vf)) != 0) serve_request(vf, now);
    if ((causes[vf / kPerCause] & ack_bit(vf)) != 0) serve_ack(vf, now);
    Line& line = lines_[vf];
    if (line.unread_since && now - *line.unread_since > kReadLimit) line.unread_since.reset();
    if (line.out) try_send(vf, now);
  }
  if (remind_at_ && now >= *remind_at_) remind(now);
}

void MailboxService::announce_pf(Clock::time_point now) {
  tell_to_reset(now);
  announce(bar_);
  remind_at_ = now + kRemindAfter;
}

void MailboxService::tell_to_reset(Clock::time_point now) {
  for (unsigned vf = 0; vf < lines_.size(); ++vf) {
    const auto nack = decide_ack(host_.state(vf));
    if (!nack) continue;
    lines_[vf] = Line{};
    queue(vf, *nack, 1, false, now);
    lines_[vf].nacked = true;
  }
}

// Only where it is needed: RSTD is every VF's, and one that is at work may reset once more for it.
void MailboxService::remind(Clock::time_point now) {
  remind_at_.reset();
  bool waits = false;
  for (unsigned vf = 0; vf < lines_.size(); ++vf) waits |= lines_[vf].heard && !host_.state(vf).clear_to_send;
  if (!waits) return;
  tell_to_reset(now);
  announce(bar_);
}

void MailboxService::ping_all(bool leaving, Clock::time_point now) {
  for (unsigned vf = 0; vf < lines_.size(); ++vf) {
    Line& line = lines_[vf];
    if (leaving) line = Line{};  // nothing that it has not read yet matters any more
    if (!leaving && !host_.state(vf).clear_to_send) continue;
    if (line.out) continue;  // it is about to hear from us anyway
    queue(vf, ping(host_.state(vf), leaving), 1, false, now);
  }
}

void MailboxService::serve_reset(unsigned vf) {
  bar_.write(reg::PFVFLREC, vf / 32, 1u << vf % 32);
  lines_[vf] = Line{};
  const Decision decision = decide_reset(host_.state(vf), host_.policy(vf));
  if (auto done = perform(vf, decision); !done) host_.remark(vf, Event::refusal, done.error().text);
  if (!decision.remark.empty()) host_.remark(vf, decision.event, decision.remark);
}

void MailboxService::serve_request(unsigned vf, Clock::time_point now) {
  bar_.write(reg::PFMBICR, vf / kPerCause, request_bit(vf));
  const mbx::Message request = read_message(vf);
  bar_.write(reg::PFMAILBOX, vf, PfBit::ack);
  Line& line = lines_[vf];
  line = Line{};  // an older message of ours is of no interest to a VF that asks anew
  line.heard = true;
  Decision decision = decide(request, host_.state(vf), host_.policy(vf));
  if (auto done = perform(vf, decision); !done) {
    host_.remark(vf, Event::refusal, done.error().text);
    if (decision.reply) *decision.reply = mbx::Message{request[0] | mbx::kFailure};
    decision.words = 1;
  }
  if (!decision.remark.empty()) host_.remark(vf, decision.event, decision.remark);
  if (decision.wants_promiscuous) host_.wants_promiscuous(vf, *decision.wants_promiscuous);
  if (decision.reply) queue(vf, *decision.reply, decision.words, true, now);
}

void MailboxService::serve_ack(unsigned vf, Clock::time_point now) {
  bar_.write(reg::PFMBICR, vf / kPerCause, ack_bit(vf));
  Line& line = lines_[vf];
  line.unread_since.reset();
  line.heard = true;
  if (line.out || line.nacked) return;
  if (const auto nack = decide_ack(host_.state(vf))) {
    queue(vf, *nack, 1, false, now);
    line.nacked = true;
  }
}

Result<Done> MailboxService::perform(unsigned vf, const Decision& decision) {
  bool program = false;
  for (const Action action : decision.actions) {
    switch (action) {
      case Action::clear_mailbox:
        clear_mailbox(vf);
        break;
      case Action::reset_queues:
        reset_queues(vf);
        break;
      case Action::program:
        program = true;
        break;
    }
  }
  return host_.set_state(vf, decision.next, program);
}

// The next owner of the VF must not read the last one's messages. Left alone when the VF is writing or has written: it
// may have sent its RESET already.
void MailboxService::clear_mailbox(unsigned vf) {
  if (!lock(vf)) return;
  if (!request_waits(vf)) {
    for (unsigned w = 0; w < mbx::kWords; ++w) bar_.write(reg::PFMBMEM, vf * mbx::kWords + w, 0);
  }
  unlock(vf);
}

// A VF reset leaves the head write-back address (82599 reference 5, TDWBAL): the next owner's memory would be written.
void MailboxService::reset_queues(unsigned vf) {
  for (unsigned q = 0; q < queues_per_pool_; ++q) {
    bar_.write(reg::TDWBAL, vf * queues_per_pool_ + q, 0);
    bar_.write(reg::TDWBAH, vf * queues_per_pool_ + q, 0);
  }
}

void MailboxService::queue(unsigned vf, const mbx::Message& message, unsigned words, bool is_reply,
                           Clock::time_point now) {
  lines_[vf].out = Outgoing{message, words, is_reply, now};
  try_send(vf, now);
}

void MailboxService::try_send(unsigned vf, Clock::time_point now) {
  Line& line = lines_[vf];
  Outgoing& out = *line.out;
  if (!out.is_reply && line.unread_since) return;  // the VF has not read our last message yet
  if (!lock(vf)) {
    if (now - out.since < kLockLimit) return;
    if (!out.is_reply) {
      line.out.reset();
      return;
    }
    bar_.write(reg::PFMAILBOX, vf, PfBit::rvfu);
    if (!lock(vf)) return;
    host_.remark(vf, Event::note, "a VF held its mailbox for longer than 100 ms; the lock has been taken from it");
  }
  if (!out.is_reply && request_waits(vf)) {
    // Its words are in the buffer: they are read first, in the next pass, and its reply stands for our message.
    line.out.reset();
    unlock(vf);
    return;
  }
  for (unsigned w = 0; w < out.words; ++w) bar_.write(reg::PFMBMEM, vf * mbx::kWords + w, out.message[w]);
  bar_.write(reg::PFMAILBOX, vf, PfBit::sts);  // releases the lock in the same store
  line.out.reset();
  line.unread_since = now;
}

bool MailboxService::lock(unsigned vf) {
  bar_.write(reg::PFMAILBOX, vf, PfBit::pfu);
  return (bar_.read(reg::PFMAILBOX, vf) & PfBit::pfu) != 0;
}

void MailboxService::unlock(unsigned vf) { bar_.write(reg::PFMAILBOX, vf, 0); }

bool MailboxService::request_waits(unsigned vf) const {
  return (bar_.read(reg::PFMBICR, vf / kPerCause) & request_bit(vf)) != 0;
}

// Only the words that the message has: each is a round trip to the device.
mbx::Message MailboxService::read_message(unsigned vf) const {
  mbx::Message message{};
  const auto read = [&](unsigned w) { message[w] = bar_.read(reg::PFMBMEM, vf * mbx::kWords + w); };
  for (unsigned w = 0; w < 3; ++w) read(w);
  if (mbx::id_of(message[0]) == mbx::Id::set_multicast) {
    for (unsigned w = 3; w < mbx::kWords; ++w) read(w);
  }
  return message;
}

}  // namespace vigia::pf
