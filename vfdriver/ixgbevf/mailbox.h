// SPDX-License-Identifier: Apache-2.0
// What an 82599 VF asks of its PF beyond what every family asks: API versions 1.1 to 1.5.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "hw/ixgbe/mailbox.h"
#include "vfdriver/intel/mailbox.h"

namespace vigia::vf::ixgbevf {

namespace mbx = hw::ixgbe::mbx;
using intel::judge_unasked;
using intel::Verdict;

inline Verdict judge(std::uint32_t word0, mbx::Id expected) {
  return intel::judge(word0, static_cast<std::uint16_t>(expected));
}

// As the mailbox of intel/.
class Mailbox final : public intel::Mailbox {
 public:
  // bar outlives the mailbox; device is the name for messages.
  Mailbox(hw::Bar& bar, std::string device, Timing timing);

  // Back at API 1.0 and the legacy handshake.
  void forget() override;
  // Tries 1.5, 1.4, 1.3, 1.2, 1.1, 1.0; a PF that knows none leaves 1.0. Sets the handshake style.
  Result<mbx::Api> negotiate();
  mbx::Api api() const { return api_; }

  Result<mbx::Queues> get_queues();                        // API 1.1
  Result<mbx::Xcast> set_multicast_mode(mbx::Xcast mode);  // API 1.2; what was granted
  Result<bool> link_enabled();                             // API 1.2
  Result<std::array<std::uint8_t, 128>> reta();            // API 1.2
  Result<std::array<std::uint8_t, 40>> rss_key();          // API 1.2

 private:
  mbx::Api api_ = mbx::Api::v1_0;
};

}  // namespace vigia::vf::ixgbevf
