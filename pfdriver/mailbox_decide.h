// SPDX-License-Identifier: Apache-2.0
// What the PF answers to a VF: pure (request, state of the VF, policy) -> (reply, new state, actions). Behaviour: the
// best of Linux ixgbe and DPDK, as 82599 reference 11.3 to 11.6 and 8.6 put it together.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hw/ixgbe/mailbox.h"
#include "hw/mac.h"
#include "pfdriver/config.h"
#include "pfdriver/vf_state.h"

namespace vigia::pf {

// What the answer depends on besides the VF itself.
struct MailboxPolicy {
  VfConfig vf;  // what the operator says about this VF
  unsigned queues_per_pool = 4;
  unsigned port_frame = kOrdinaryFrame;  // bytes with FCS that pf.mtu stands for
  unsigned largest_frame = 9728;         // bytes with FCS that the NIC can do
  bool one_frame_size = true;
  bool unicast_promiscuous = false;          // the NIC has it for VFs
  std::vector<hw::Mac> foreign_macs;         // of other VFs and of the PF
  std::vector<std::uint16_t> foreign_vlans;  // that a tap keeps for other VFs
  bool vlan_entry_free = true;               // a VLAN that nobody has yet would fit
  std::vector<std::uint16_t> known_vlans;    // that have an entry
  unsigned extra_macs_free = 0;
  std::array<std::uint8_t, 128> reta{};
  std::array<std::uint8_t, 40> rss_key{};
};

enum class Action : std::uint8_t {
  clear_mailbox,  // zero the VF's mailbox memory
  reset_queues,   // registers of its queues that a VF reset leaves as they were
  program,        // bring the registers in line with the new state
};

// What a remark is about, for those who count.
enum class Event : std::uint8_t { note, reset, refusal };

struct Decision {
  VfState next;
  std::vector<Action> actions;                   // in this order, before the reply
  std::optional<hw::ixgbe::mbx::Message> reply;  // none: the message was the PF's own old reply
  unsigned words = 1;                            // of the reply
  Event event = Event::note;
  std::string remark;  // a sentence for the operator, empty when there is nothing to say
  // The VF has said whether it wants unicast promiscuous mode; none: it did not talk of that.
  std::optional<bool> wants_promiscuous{};
};

Decision decide(const hw::ixgbe::mbx::Message& request, const VfState& state, const MailboxPolicy& policy);

// The VF was reset by other means than a message (FLR, VFCTRL.RST): what it was granted is forgotten.
Decision decide_reset(const VfState& state, const MailboxPolicy& policy);

// The VF acknowledged something. A VF that is not clear to send is told that it has to reset; else nothing.
std::optional<hw::ixgbe::mbx::Message> decide_ack(const VfState& state);

// A ping: link, configuration or the PF itself has changed. With leaving set the VF is told that it must reset.
hw::ixgbe::mbx::Message ping(const VfState& state, bool leaving);

}  // namespace vigia::pf
