// SPDX-License-Identifier: Apache-2.0
// What an 82576 VF asks of its PF beyond what every family asks.
#pragma once

#include <string>

#include "hw/igb/mailbox.h"
#include "vfdriver/intel/mailbox.h"

namespace vigia::vf::igbvf {

namespace mbx = hw::igb::mbx;
using intel::Verdict;

// As the mailbox of intel/.
class Mailbox final : public intel::Mailbox {
 public:
  // bar outlives the mailbox; device is the name for messages.
  Mailbox(hw::Bar& bar, std::string device, Timing timing);

  // Frames of every multicast group, or only of those of set_multicast(). The PF keeps both wishes apart.
  Result<Done> set_all_multicast(bool on);
};

}  // namespace vigia::vf::igbvf
