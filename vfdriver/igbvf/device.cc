// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/igbvf/device.h"

#include <array>
#include <utility>

#include "vfdriver/intel/vf_impl.h"

namespace vigia::vf {

template class intel::Vf<igbvf::Chip>;

namespace igbvf {
namespace {

unsigned mbps_of(std::uint32_t status) {
  constexpr std::array<unsigned, 4> kMbps{10, 100, 1000, 1000};
  return kMbps[(status & hw::igb::Status::speed_mask) >> hw::igb::Status::speed_shift];
}

}  // namespace

std::span<const Igbvf::Step> Igbvf::steps() {
  using S = Igbvf;
  static const std::array kSteps{
      step("bus master on", &S::switch_bus_master_on),
      step("mask interrupts", &S::mask_interrupts),
      step("stop queues, wait until they are off", &S::stop_queues),
      step("reset the function", &S::reset_function),
      step("wait for the PF to leave reset", &S::wait_for_pf),
      step("clear registers that a VF reset keeps", &S::clear_leftovers),
      step("tell the PF: RESET", &S::say_hello),
      step("use one queue", &S::use_one_queue),
      step("ask the address", &S::ask_mac),
      step("ask the frame size", &S::ask_frame_size),
      step("ask for multicast", &S::ask_multicast),
      step("join VLANs", &S::ask_vlans),
      step("program receive queues", &S::program_receive),
      step("program the transmit queue", &S::program_transmit),
      step("program interrupts", &S::program_interrupts),
      step("enable receive queues, wait until they are on", &S::enable_receive),
      step("enable the transmit queue, wait until it is on", &S::enable_transmit),
  };
  return kSteps;
}

Result<std::unique_ptr<VfDevice>> Igbvf::open(std::unique_ptr<hw::PciFunction> function, const PortOptions& options,
                                              const Timing& timing) {
  auto parts = take_over(std::move(function), options);
  if (!parts) return parts.error();
  return std::unique_ptr<VfDevice>(new Igbvf(std::move(*parts), options, timing));  // private constructor
}

Result<Done> Igbvf::use_one_queue() {
  choose_queues(1);
  return Done{};
}

// Linux's PF lets any VF have all multicast. Its two ways exclude each other: with all of them it does not fill the
// hash table, and what this VF asks for last holds.
Result<Done> Igbvf::ask_multicast() {
  multicast_.clear();
  const bool all = options().multicast.empty();
  auto answer = mailbox().set_all_multicast(all);
  if (answer && !all) answer = mailbox().set_multicast(options().multicast, multicast_type());
  if (answer) multicast_ = all ? "allmulti" : "multi";
  return all ? tolerated(std::move(answer)) : answer;
}

void Igbvf::add_info(PortInfo& info) {
  const std::uint32_t status = bar().read(hw::igb::vf::STATUS);
  info.link_up = (status & hw::igb::Status::link_up) != 0;
  info.link_mbps = *info.link_up ? mbps_of(status) : 0;
  info.multicast_mode = multicast_;
}

}  // namespace igbvf
}  // namespace vigia::vf
