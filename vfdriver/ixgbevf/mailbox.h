// SPDX-License-Identifier: Apache-2.0
// The VF's side of the PF-VF mailbox: requests with deadlines, and the signs that the PF has restarted.
// Facts: 82599 reference, sections 11 and 13 (bit semantics, both handshake styles, message words).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

#include "hw/ixgbe/mailbox.h"
#include "hw/mac.h"
#include "hw/mmio.h"
#include "hw/result.h"

namespace vigia::vf::ixgbevf {

namespace mbx = hw::ixgbe::mbx;

// How a message from the PF reads to somebody who waits for the reply to one request.
enum class Verdict {
  granted,       // the reply: yes
  refused,       // the reply: no
  ping,          // an unrequested sign of life
  unrelated,     // an old reply or nobody's message: ignore it, keep waiting
  broken,        // a reply to this request with impossible flags
  reset_needed,  // the PF has forgotten this VF
};
Verdict judge(std::uint32_t word0, mbx::Id expected);

// How a message reads to somebody who waits for nothing: ping, unrelated or reset_needed.
Verdict judge_unasked(std::uint32_t word0);

// One VF's mailbox. Control thread only. Every call ends within its limit. Error codes: timed_out (the PF is silent),
// connection_reset (the PF has forgotten this VF: reset and begin again), operation_not_permitted (the PF said no),
// no_such_device (registers read as all ones).
class Mailbox {
 public:
  struct Timing {
    // For the lock, the acknowledgement and the reply each: 2000 x 500 us in Linux and DPDK.
    std::chrono::milliseconds limit{1000};
    // Between two looks. A look is a trapped access (tens of us); not measured further.
    std::chrono::microseconds step{200};
  };
  struct ResetReply {
    bool mac_assigned;
    hw::Mac mac;
    std::uint32_t multicast_type;  // MCSTCTRL.MO
  };

  // bar outlives the mailbox; device is the name for messages.
  Mailbox(hw::Bar& bar, std::string device, Timing timing);

  // After a function reset both sides are back at API 1.0 and the legacy handshake.
  void forget();
  // Whether the PF is still in reset or down (RSTI). Swallows RSTD, which belongs to the reset that ends.
  bool pf_in_reset();
  // A look for news: registers only, does not wait.
  Verdict poll();

  Result<ResetReply> reset();
  // Tries 1.5, 1.4, 1.3, 1.2, 1.1, 1.0; a PF that knows none leaves 1.0. Sets the handshake style.
  Result<mbx::Api> negotiate();
  mbx::Api api() const { return api_; }

  Result<mbx::Queues> get_queues();                        // API 1.1
  Result<Done> set_mac(const hw::Mac& mac);                //
  Result<Done> set_max_frame(std::uint32_t bytes);         // with FCS
  Result<Done> set_vlan(std::uint16_t vid, bool member);   //
  Result<mbx::Xcast> set_multicast_mode(mbx::Xcast mode);  // API 1.2; what was granted
  Result<bool> link_enabled();                             // API 1.2
  Result<std::array<std::uint8_t, 128>> reta();            // API 1.2
  Result<std::array<std::uint8_t, 40>> rss_key();          // API 1.2

 private:
  // Sends the first words of m and returns the reply, granted or refused.
  Result<mbx::Message> exchange(const mbx::Message& m, unsigned words);
  // As exchange(); refused is an error, told with what.
  Result<mbx::Message> request(const mbx::Message& m, unsigned words, const std::string& what);
  Result<mbx::Message> await_reply(mbx::Id id);
  Result<Done> await(std::uint32_t bit, mbx::Id id, const char* what);
  Result<Done> lock(mbx::Id id);
  Result<mbx::Message> read_message(mbx::Id id);
  std::uint32_t control();
  bool take(std::uint32_t bit);
  Error sentence(std::errc code, mbx::Id id, const std::string& what) const;

  hw::Bar& bar_;
  std::string device_;
  Timing timing_;
  mbx::Api api_ = mbx::Api::v1_0;
  bool keeps_lock_ = false;    // API 1.5 style: VFU stays set until the PF has acknowledged
  std::uint32_t pending_ = 0;  // read-to-clear bits seen and not yet used
  bool gone_ = false;
};

}  // namespace vigia::vf::ixgbevf
