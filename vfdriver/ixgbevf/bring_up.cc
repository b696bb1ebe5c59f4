// SPDX-License-Identifier: Apache-2.0
// The start sequence of a virtual function, one step per function, in the order of the 82599 reference, section 13.
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <thread>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_vf.h"
#include "hw/log.h"
#include "vfdriver/ixgbevf/device.h"

namespace vigia::vf::ixgbevf {

namespace reg = hw::ixgbe::vf;
namespace bit = hw::ixgbe;
using namespace std::chrono_literals;

namespace {

// What the device may still be writing after a queue's ENABLE bit has gone: wait this long (82599 reference, 4.3).
constexpr auto kAfterDisable = 100us;

std::uint32_t low(hw::Iova iova) { return static_cast<std::uint32_t>(hw::to_integer(iova)); }
std::uint32_t high(hw::Iova iova) { return static_cast<std::uint32_t>(hw::to_integer(iova) >> 32); }

hw::Mac random_mac() {
  constexpr std::uint64_t kMulticast = 1, kLocal = 2;  // first byte
  std::random_device random;
  const std::uint64_t bits = std::uint64_t{random()} << 32 | random();
  return hw::Mac::unpack((bits & ~kMulticast) | kLocal);
}

// VTIVAR byte of a queue's receive side: RX 2i, TX 2i, RX 2i+1, TX 2i+1 from the lowest.
std::uint32_t rx_ivar(unsigned queue, unsigned vector) { return (bit::Ivar::valid | vector) << (16 * (queue % 2)); }

}  // namespace

std::span<const Ixgbevf::Step> Ixgbevf::steps() {
  using S = Ixgbevf;
  static constexpr std::array kSteps{
      Step{"bus master on", &S::switch_bus_master_on},
      Step{"mask interrupts", &S::mask_interrupts},                               // 13.1, 1
      Step{"stop queues, wait until they are off", &S::stop_queues},              // 13.1, 2
      Step{"reset the function", &S::reset_function},                             // 13.1, 3 and 4
      Step{"wait for the PF to leave reset", &S::wait_for_pf},                    // 13.1, 5 to 7
      Step{"clear registers that a VF reset keeps", &S::clear_leftovers},         // 13.1, 8
      Step{"tell the PF: RESET", &S::say_hello},                                  // 13.1, 9 to 12
      Step{"negotiate the mailbox API", &S::negotiate},                           // 13.2
      Step{"ask the number of queues", &S::ask_queues},                           //
      Step{"ask the address", &S::ask_mac},                                       // 13.3, 2
      Step{"ask the frame size", &S::ask_frame_size},                             //
      Step{"ask the multicast mode", &S::ask_multicast},                          //
      Step{"join VLANs", &S::ask_vlans},                                          //
      Step{"program receive queues", &S::program_receive},                        // 13.3, 3 and 4
      Step{"program the transmit queue", &S::program_transmit},                   //
      Step{"program interrupts", &S::program_interrupts},                         //
      Step{"enable receive queues, wait until they are on", &S::enable_receive},  // 13.3, 5
      Step{"enable the transmit queue, wait until it is on", &S::enable_transmit},
  };
  return kSteps;
}

Result<Done> Ixgbevf::switch_bus_master_on() { return function_->set_bus_master(true); }

Result<Done> Ixgbevf::mask_interrupts() {
  constexpr std::uint32_t kAll = (1u << reg::kMsixVectors) - 1;
  bar_.write(reg::VTEIMC, kAll);
  (void)bar_.read(reg::VTEICR);  // takes the causes that are pending
  rx_signal_->forget();
  pf_signal_->forget();
  return Done{};
}

template <class Ready>
Result<Done> Ixgbevf::await_queue(const std::string& what, Ready ready) {
  flush();
  auto done = wait_until(what, timing_.queue, [&] { return !function_->alive() || ready(); });
  if (done && !function_->alive()) return work_error(what + ": the device is gone");
  return done;
}

Result<Done> Ixgbevf::stop_queues() {
  bar_.write(reg::VFTXDCTL, 0, bit::Txdctl::swflsh);
  for (unsigned q = 0; q < rx_.size(); ++q) bar_.clear(reg::VFRXDCTL, q, bit::Rxdctl::enable);
  bar_.write(reg::VFPSRTYPE, 0);
  for (unsigned q = 0; q < rx_.size(); ++q) {
    auto off = await_queue(fmt::format("receive queue {} off (VFRXDCTL.ENABLE = 0)", q),
                           [&] { return (bar_.read(reg::VFRXDCTL, q) & bit::Rxdctl::enable) == 0; });
    if (!off) return off;
  }
  auto off = await_queue("transmit queue off (VFTXDCTL.ENABLE = 0)",
                         [&] { return (bar_.read(reg::VFTXDCTL, 0) & bit::Txdctl::enable) == 0; });
  if (!off) return off;
  std::this_thread::sleep_for(kAfterDisable);
  return Done{};
}

Result<Done> Ixgbevf::reset_function() {
  bar_.write(reg::VFCTRL, bit::Ctrl::rst);
  flush();
  mailbox_.forget();
  return Done{};
}

Result<Done> Ixgbevf::wait_for_pf() {
  bool canceled = false;
  auto there = wait_until(
      "PF ready (VFMAILBOX.RSTI = 0)", options_.pf_wait,
      [&] {
        canceled = options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed);  // orders nothing
        return canceled || !function_->alive() || !mailbox_.pf_in_reset();
      },
      1ms);
  if (canceled) return Error{std::errc::operation_canceled, "stopped while waiting for the PF"};
  if (!there) return Error{there.error().code, there.error().text + "; start the PF driver (vigia-pf) for this NIC"};
  if (!function_->alive()) return work_error("the device is gone");
  return Done{};
}

// Section 12: VF resets leave these as they were, so a predecessor's values may be in them.
Result<Done> Ixgbevf::clear_leftovers() {
  for (unsigned q = 0; q < rx_.size(); ++q) {
    bar_.write(reg::VFRXDCTL, q, 0);
    bar_.write(reg::VFRDH, q, 0);
    bar_.write(reg::VFRDT, q, 0);
  }
  bar_.write(reg::VFTXDCTL, 0, 0);
  bar_.write(reg::VFTDH, 0, 0);
  bar_.write(reg::VFTDT, 0, 0);
  bar_.write(reg::VFTDWBAH, 0, 0);
  bar_.write(reg::VFTDWBAL, 0, 0);
  bar_.write(reg::VFPSRTYPE, 0);
  flush();
  return Done{};
}

Result<Done> Ixgbevf::say_hello() {
  auto reply = mailbox_.reset();
  if (!reply) return reply.error();
  mac_assigned_ = reply->mac_assigned && !reply->mac.zero() && !reply->mac.multicast();
  if (mac_assigned_) mac_ = reply->mac;
  return Done{};
}

Result<Done> Ixgbevf::negotiate() {
  auto api = mailbox_.negotiate();
  if (!api) return api.error();
  return Done{};
}

Result<Done> Ixgbevf::ask_queues() {
  granted_ = {};
  if (mbx::at_least(mailbox_.api(), mbx::Api::v1_1)) {
    auto answer = mailbox_.get_queues();
    if (!answer) return answer.error();
    granted_ = *answer;
    // A number that no VF can have is replaced, as Linux does (13.2).
    if (granted_.rx == 0 || granted_.rx > reg::kMaxQueues) granted_.rx = reg::kMaxQueues;
    if (granted_.tx == 0 || granted_.tx > reg::kMaxQueues) granted_.tx = reg::kMaxQueues;
  }
  queues_ = 1;
  while (queues_ * 2 <= std::min(options_.queues, granted_.rx)) queues_ *= 2;
  if (queues_ < options_.queues) {
    log::warning("{}: {} receive queues wanted, the PF grants {}: {} used", function_->name(), options_.queues,
                 granted_.rx, queues_);
  }
  return Done{};
}

Result<Done> Ixgbevf::ask_mac() {
  if (options_.mac) {
    if (mac_assigned_ && mac_ == *options_.mac) return Done{};
    mac_ = *options_.mac;
  } else if (mac_assigned_) {
    return Done{};
  } else if (mac_.zero()) {
    mac_ = random_mac();  // kept over restarts
  }
  mac_assigned_ = false;
  return mailbox_.set_mac(mac_);
}

Result<Done> Ixgbevf::ask_frame_size() {
  auto done = mailbox_.set_max_frame(max_frame());
  // With a standard MTU the VF receives without it, unless the PF's own MTU is larger.
  constexpr unsigned kStandardMtu = 1500;
  if (!done && done.error().code == std::errc::operation_not_permitted && options_.mtu <= kStandardMtu) {
    log::warning("{}; going on: if nothing is received, the PF's MTU is above {}", done.error().text, kStandardMtu);
    return Done{};
  }
  return done;
}

Result<Done> Ixgbevf::ask_multicast() {
  multicast_.reset();
  if (!mbx::at_least(mailbox_.api(), mbx::Api::v1_2)) return Done{};
  auto granted = mailbox_.set_multicast_mode(mbx::Xcast::multi);
  if (granted) {
    multicast_ = *granted;
  } else if (granted.error().code == std::errc::operation_not_permitted) {
    log::warning("{}; going on without", granted.error().text);
  } else {
    return granted.error();
  }
  return Done{};
}

Result<Done> Ixgbevf::ask_vlans() {
  for (const std::uint16_t vid : options_.vlans) {
    if (auto joined = mailbox_.set_vlan(vid, true); !joined) return joined;
  }
  return Done{};
}

Result<Done> Ixgbevf::program_receive() {
  for (unsigned q = 0; q < queues_; ++q) {
    rx_[q]->prepare();
    const RxQueue::Memory& m = rx_[q]->memory();
    bar_.write(reg::VFRDBAL, q, low(m.ring_iova));
    bar_.write(reg::VFRDBAH, q, high(m.ring_iova));
    bar_.write(reg::VFRDLEN, q, m.ring_bytes());
    bar_.clear(reg::VFDCA_RXCTRL, q, bit::DcaRxctrl::must_clear);
    bar_.write(reg::VFSRRCTL, q,
               bit::Srrctl::drop_en | bit::Srrctl::desctype_advanced |
                   (m.buffer_bytes / 1024 & bit::Srrctl::bsizepacket_mask));
  }
  bar_.write(reg::VFPSRTYPE, queues_ / 2 << bit::Psrtype::rqpl_shift);  // RSS index bits: 0, 1, 2 for 1, 2, 4 queues
  return Done{};
}

Result<Done> Ixgbevf::program_transmit() {
  if (!tx_) return Done{};
  tx_->prepare();
  const TxQueue::Memory& m = tx_->memory();
  bar_.write(reg::VFTDBAL, 0, low(m.ring_iova));
  bar_.write(reg::VFTDBAH, 0, high(m.ring_iova));
  bar_.write(reg::VFTDLEN, 0, m.ring_bytes());
  return Done{};
}

Result<Done> Ixgbevf::program_interrupts() {
  if (!interrupts_) return Done{};
  for (unsigned pair = 0; pair * 2 < queues_; ++pair) {
    std::uint32_t routes = rx_ivar(pair * 2, kRxVector);
    if (pair * 2 + 1 < queues_) routes |= rx_ivar(pair * 2 + 1, kRxVector);
    bar_.write(reg::VTIVAR, pair, routes);
  }
  bar_.write(reg::VTIVAR_MISC, bit::Ivar::valid | kPfVector);
  constexpr std::uint32_t kBoth = 1u << kRxVector | 1u << kPfVector;
  bar_.write(reg::VTEIAC, kBoth);  // causes clear when the vector fires,
  bar_.write(reg::VTEIAM, kBoth);  // and it masks itself until it is armed again
  pf_signal_->arm();
  return Done{};
}

Result<Done> Ixgbevf::enable_receive() {
  for (unsigned q = 0; q < queues_; ++q) {
    bar_.set(reg::VFRXDCTL, q, bit::Rxdctl::enable);  // VME stays off: the VLAN tag stays in the frame
    auto on = await_queue(fmt::format("receive queue {} on (VFRXDCTL.ENABLE = 1)", q),
                          [&] { return (bar_.read(reg::VFRXDCTL, q) & bit::Rxdctl::enable) != 0; });
    if (!on) return on;
    rx_[q]->open();
  }
  flush();
  return Done{};
}

Result<Done> Ixgbevf::enable_transmit() {
  if (!tx_) return Done{};
  bar_.set(reg::VFTXDCTL, 0, bit::Txdctl::enable);
  return await_queue("transmit queue on (VFTXDCTL.ENABLE = 1)",
                     [&] { return (bar_.read(reg::VFTXDCTL, 0) & bit::Txdctl::enable) != 0; });
}

}  // namespace vigia::vf::ixgbevf
