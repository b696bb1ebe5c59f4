// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ixgbevf/device.h"

#include <array>
#include <utility>

#include "hw/log.h"
#include "vfdriver/intel/vf_impl.h"

namespace vigia::vf {

template class intel::Vf<ixgbevf::Chip>;

namespace ixgbevf {
namespace {

std::string_view text_of(mbx::Xcast mode) {
  switch (mode) {
    case mbx::Xcast::none:
      return "none";
    case mbx::Xcast::multi:
      return "multi";
    case mbx::Xcast::allmulti:
      return "allmulti";
    case mbx::Xcast::promisc:
      return "promisc";
  }
  return "unknown";
}

unsigned mbps_of(std::uint32_t links) {
  constexpr unsigned kSpeedShift = 28;
  constexpr std::array<unsigned, 4> kMbps{0, 100, 1000, 10000};
  return kMbps[(links & hw::ixgbe::Links::speed_10g) >> kSpeedShift];
}

// An optional answer: a PF that does not give it is not an error.
template <class T>
std::optional<T> known(Result<T> answer) {
  if (!answer) return std::nullopt;
  return std::move(*answer);
}

}  // namespace

std::span<const Ixgbevf::Step> Ixgbevf::steps() {
  using S = Ixgbevf;
  static const std::array kSteps{
      step("bus master on", &S::switch_bus_master_on),
      step("mask interrupts", &S::mask_interrupts),                               // 13.1, 1
      step("stop queues, wait until they are off", &S::stop_queues),              // 13.1, 2
      step("reset the function", &S::reset_function),                             // 13.1, 3 and 4
      step("wait for the PF to leave reset", &S::wait_for_pf),                    // 13.1, 5 to 7
      step("clear registers that a VF reset keeps", &S::clear_leftovers),         // 13.1, 8
      step("tell the PF: RESET", &S::say_hello),                                  // 13.1, 9 to 12
      step("negotiate the mailbox API", &S::negotiate),                           // 13.2
      step("ask the number of queues", &S::ask_queues),                           //
      step("ask the address", &S::ask_mac),                                       // 13.3, 2
      step("ask the frame size", &S::ask_frame_size),                             //
      step("ask the multicast mode", &S::ask_multicast),                          //
      step("join VLANs", &S::ask_vlans),                                          //
      step("program receive queues", &S::program_receive),                        // 13.3, 3 and 4
      step("program the transmit queue", &S::program_transmit),                   //
      step("program interrupts", &S::program_interrupts),                         //
      step("enable receive queues, wait until they are on", &S::enable_receive),  // 13.3, 5
      step("enable the transmit queue, wait until it is on", &S::enable_transmit),
  };
  return kSteps;
}

Result<std::unique_ptr<VfDevice>> Ixgbevf::open(std::unique_ptr<hw::PciFunction> function, const PortOptions& options,
                                                const Timing& timing) {
  auto parts = take_over(std::move(function), options);
  if (!parts) return parts.error();
  return std::unique_ptr<VfDevice>(new Ixgbevf(std::move(*parts), options, timing));  // private constructor
}

Result<Done> Ixgbevf::negotiate() {
  auto api = mailbox().negotiate();
  if (!api) return api.error();
  return Done{};
}

Result<Done> Ixgbevf::ask_queues() {
  mbx::Queues granted;
  if (mbx::at_least(mailbox().api(), mbx::Api::v1_1)) {
    auto answer = mailbox().get_queues();
    if (!answer) return answer.error();
    granted = *answer;
    // A number that no VF can have is replaced, as Linux does (13.2).
    if (granted.rx == 0 || granted.rx > Chip::max_queues) granted.rx = Chip::max_queues;
    if (granted.tx == 0 || granted.tx > Chip::max_queues) granted.tx = Chip::max_queues;
  }
  granted_rx_ = granted.rx;
  granted_tx_ = granted.tx;
  choose_queues(granted.rx);
  return Done{};
}

Result<Done> Ixgbevf::ask_multicast() {
  multicast_.reset();
  if (mbx::at_least(mailbox().api(), mbx::Api::v1_2)) {
    auto granted = mailbox().set_multicast_mode(mbx::Xcast::multi);
    if (granted) multicast_ = *granted;
    if (!granted) {
      if (auto without = tolerated(granted.error()); !without) return without;
    }
  }
  if (options().multicast.empty()) return Done{};
  return mailbox().set_multicast(options().multicast, multicast_type());
}

void Ixgbevf::add_info(PortInfo& info) {
  info.api = mbx::text_of(mailbox().api());
  const std::uint32_t links = bar().read(hw::ixgbe::vf::VFLINKS);
  info.link_up = (links & hw::ixgbe::Links::up) != 0;
  info.link_mbps = *info.link_up ? mbps_of(links) : 0;
  if (multicast_) info.multicast_mode = text_of(*multicast_);
  if (!mbx::at_least(mailbox().api(), mbx::Api::v1_2)) return;
  info.link_enabled = known(mailbox().link_enabled());
  info.reta = known(mailbox().reta());
  info.rss_key = known(mailbox().rss_key());
}

}  // namespace ixgbevf
}  // namespace vigia::vf
