// SPDX-License-Identifier: Apache-2.0
// The VF's side of the PF-VF mailbox as the 82576 and the 82599 have it: requests with deadlines, and the signs that
// the PF has restarted. What each family asks beyond the first five messages is its own. Facts: 82599 reference,
// sections 11, 13 and 17 (bit semantics, both handshake styles, message words).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "hw/intel/mailbox.h"
#include "hw/mac.h"
#include "hw/mmio.h"
#include "hw/result.h"

namespace vigia::vf::intel {

namespace mbx = hw::intel::mbx;

// How a message from the PF reads to somebody who waits for the reply to one request.
enum class Verdict {
  granted,       // the reply: yes
  refused,       // the reply: no
  ping,          // an unrequested sign of life
  unrelated,     // an old reply or nobody's message: ignore it, keep waiting
  broken,        // a reply to this request with impossible flags
  reset_needed,  // the PF has forgotten this VF
};
// expected: the id of the request.
Verdict judge(std::uint32_t word0, std::uint16_t expected);

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
    std::uint32_t multicast_type;  // 82599: MCSTCTRL.MO; 82576: means nothing
  };
  struct Registers {
    hw::Doorbell control;
    std::array<hw::Doorbell, mbx::kWords> words;

    template <class Control, class Words>
    static Registers of(hw::Bar& bar, const Control& control, const Words& words) {
      static_assert(Words::count == mbx::kWords);
      Registers r;
      r.control = bar.doorbell(control);
      for (unsigned i = 0; i < mbx::kWords; ++i) r.words[i] = bar.doorbell(words, i);
      return r;
    }
  };
  using NameOf = std::string_view (*)(std::uint16_t id);

  // The registers' BAR outlives the mailbox; device is the name for messages.
  Mailbox(const Registers& registers, NameOf name_of, std::string device, Timing timing);
  virtual ~Mailbox() = default;

  // After a function reset both sides are back at what was before any agreement.
  virtual void forget();
  // Whether the PF is still in reset or down (RSTI). Swallows RSTD, which belongs to the reset that ends.
  bool pf_in_reset();
  // A look for news: registers only, does not wait.
  Verdict poll();

  Result<ResetReply> reset();
  Result<Done> set_mac(const hw::Mac& mac);
  Result<Done> set_max_frame(std::uint32_t bytes);  // with FCS
  Result<Done> set_vlan(std::uint16_t vid, bool member);
  // The groups whose frames this VF wants, in place of those before; at most kMaxMulticastHashes. The PF's filter is by
  // hash: others may come too. multicast_type: MO.
  Result<Done> set_multicast(std::span<const hw::Mac> groups, unsigned multicast_type);

 protected:
  // Sends the first words of m and returns the reply, granted or refused.
  Result<mbx::Message> exchange(const mbx::Message& m, unsigned words);
  // As exchange(); refused is an error, told with what.
  Result<mbx::Message> request(const mbx::Message& m, unsigned words, const std::string& what);
  Error sentence(std::errc code, std::uint16_t id, const std::string& what) const;

  bool keeps_lock_ = false;  // VFU stays set until the PF has acknowledged (82599, API 1.5)

 private:
  Result<mbx::Message> await_reply(std::uint16_t id);
  Result<Done> await(std::uint32_t bit, std::uint16_t id, const char* what);
  Result<Done> lock(std::uint16_t id);
  Result<mbx::Message> read_message(std::uint16_t id);
  std::uint32_t control();
  bool take(std::uint32_t bit);

  Registers registers_;
  NameOf name_of_;
  std::string device_;
  Timing timing_;
  std::uint32_t pending_ = 0;  // read-to-clear bits seen and not yet used
  bool gone_ = false;
};

}  // namespace vigia::vf::intel
