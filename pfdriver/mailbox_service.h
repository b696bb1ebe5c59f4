// SPDX-License-Identifier: Apache-2.0
// The register side of the PF-VF mailboxes (82599 reference 11.1, 11.2) and of VF resets. What to answer is
// mailbox_decide's business; here: events in the right order, the lock, the words, the deadlines.
//
// Both mailbox styles are served without knowing which one a VF speaks. A request is read without the lock: a legacy VF
// has given it up with its REQ, one of API 1.5 keeps it until our ACK and writes nothing meanwhile. A reply takes the
// lock as soon as the VF lets go and is released with STS; it is never held while waiting for the VF's ACK, for a
// legacy VF needs it to read. What that ACK protects is the buffer against our own next message, which waits for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "hw/mmio.h"
#include "pfdriver/mailbox_decide.h"

namespace vigia::pf {

// Who owns the VFs' state and the registers that follow from it.
class VfHost {
 public:
  virtual ~VfHost() = default;
  virtual MailboxPolicy policy(unsigned vf) const = 0;
  virtual const VfState& state(unsigned vf) const = 0;
  // Takes the new state; with program set the registers follow it at once. On error the old state stays.
  virtual Result<Done> set_state(unsigned vf, const VfState& next, bool program) = 0;
  // A sentence for the operator.
  virtual void remark(unsigned vf, Event event, const std::string& text) = 0;
  // The VF has said whether it wants unicast promiscuous mode; for whoever explains what it does not see.
  virtual void wants_promiscuous(unsigned vf, bool wanted) = 0;
};

// One thread.
class MailboxService {
 public:
  using Clock = std::chrono::steady_clock;

  // Neither is owned. queues_per_pool: of VF pools.
  MailboxService(hw::Bar& bar, VfHost& host, unsigned vfs, unsigned queues_per_pool);

  // One pass: for each VF its reset, then at most one request, then its acknowledgement. Bounded work whatever VFs do.
  void service(Clock::time_point now);
  // The PF is up: VFs may reset, and those whose driver has worked with an earlier PF must. The PF's reset has taken
  // their interrupts, so such a driver learns of it by polling RSTD; one of API 1.5 then looks for a message once, and
  // takes none for a sign that all is well. So the message comes first, RSTD second. Linux ignores both within 10 s of
  // its own last reset: service() repeats them once, later, if a VF was heard that has still not reset.
  void announce_pf(Clock::time_point now);
  // Tells every VF that something changed. leaving: that it must reset, because the PF goes. Otherwise VFs that have to
  // reset are left alone: they have been told, and a ping would overwrite it.
  void ping_all(bool leaving, Clock::time_point now);
  // A message waits for a VF to let go of its mailbox: service() wants to be called again within a millisecond.
  bool pending() const;

 private:
  struct Outgoing {
    hw::ixgbe::mbx::Message message{};
    unsigned words = 0;
    bool is_reply = false;  // replies take the lock from a VF that never lets go; pings are not worth that
    Clock::time_point since;
  };
  struct Line {
    std::optional<Outgoing> out;
    std::optional<Clock::time_point> unread_since;  // our last message, until the VF's ACK
    bool nacked = false;                            // told to reset already; once is enough until it asks again
    bool heard = false;                             // since the PF was announced
  };

  void tell_to_reset(Clock::time_point now);
  void remind(Clock::time_point now);

  void serve_reset(unsigned vf);
  void serve_request(unsigned vf, Clock::time_point now);
  void serve_ack(unsigned vf, Clock::time_point now);
  Result<Done> perform(unsigned vf, const Decision& decision);
  void clear_mailbox(unsigned vf);
  void reset_queues(unsigned vf);
  void queue(unsigned vf, const hw::ixgbe::mbx::Message& message, unsigned words, bool is_reply, Clock::time_point now);
  void try_send(unsigned vf, Clock::time_point now);
  bool lock(unsigned vf);
  void unlock(unsigned vf);
  bool request_waits(unsigned vf) const;
  hw::ixgbe::mbx::Message read_message(unsigned vf) const;

  hw::Bar& bar_;
  VfHost& host_;
  unsigned queues_per_pool_;
  std::vector<Line> lines_;  // one per VF
  std::optional<Clock::time_point> remind_at_;
};

}  // namespace vigia::pf
