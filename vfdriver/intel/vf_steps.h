// SPDX-License-Identifier: Apache-2.0
// The steps of a start that every family has, one per function, as the 82599 reference, section 13, has them. Part of
// intel/vf_impl.h.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>

#include "hw/log.h"
#include "vfdriver/intel/vf.h"

namespace vigia::vf::intel {

inline std::uint32_t low(hw::Iova iova) { return static_cast<std::uint32_t>(hw::to_integer(iova)); }
inline std::uint32_t high(hw::Iova iova) { return static_cast<std::uint32_t>(hw::to_integer(iova) >> 32); }

inline hw::Mac random_mac() {
  constexpr std::uint64_t kMulticast = 1, kLocal = 2;  // first byte
  std::random_device random;
  const std::uint64_t bits = std::uint64_t{random()} << 32 | random();
  return hw::Mac::unpack((bits & ~kMulticast) | kLocal);
}

template <class Chip>
Result<Done> Vf<Chip>::switch_bus_master_on() {
  return function_->set_bus_master(true);
}

template <class Chip>
Result<Done> Vf<Chip>::mask_interrupts() {
  bar_.write(Chip::mask, Chip::all_vectors);
  (void)bar_.read(Chip::cause);  // takes the causes that are pending
  rx_signal_->forget();
  pf_signal_->forget();
  return Done{};
}

template <class Chip>
template <class Ready>
Result<Done> Vf<Chip>::await_queue(const std::string& what, Ready ready) {
  flush();
  auto done = wait_until(what, timing_.queue, [&] { return !function_->alive() || ready(); });
  if (done && !function_->alive()) return work_error(what + ": the device is gone");
  return done;
}

template <class Chip>
Result<Done> Vf<Chip>::stop_queues() {
  // What the device may still be writing after a queue's ENABLE bit has gone: wait this long (82599 reference, 4.3).
  constexpr std::chrono::microseconds kAfterDisable{100};
  bar_.write(Chip::txdctl, 0, Chip::tx_flush);
  for (unsigned q = 0; q < rx_.size(); ++q) bar_.clear(Chip::rxdctl, q, Chip::rx_enable);
  bar_.write(Chip::psrtype, 0);
  for (unsigned q = 0; q < rx_.size(); ++q) {
    auto off = await_queue(fmt::format("receive queue {} off ({}.ENABLE = 0)", q, Chip::rxdctl.name),
                           [&] { return (bar_.read(Chip::rxdctl, q) & Chip::rx_enable) == 0; });
    if (!off) return off;
  }
  auto off = await_queue(fmt::format("transmit queue off ({}.ENABLE = 0)", Chip::txdctl.name),
                         [&] { return (bar_.read(Chip::txdctl, 0) & Chip::tx_enable) == 0; });
  if (!off) return off;
  std::this_thread::sleep_for(kAfterDisable);
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::reset_function() {
  bar_.write(Chip::ctrl, Chip::reset);
  flush();
  mailbox_.forget();
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::wait_for_pf() {
  bool canceled = false;
  auto there = wait_until(
      "PF ready (the mailbox's RSTI = 0)", options_.pf_wait,
      [&] {
        canceled = options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed);  // orders nothing
        return canceled || !function_->alive() || !mailbox_.pf_in_reset();
      },
      std::chrono::milliseconds(1));
  if (canceled) return Error{std::errc::operation_canceled, "stopped while waiting for the PF"};
  if (!there) {
    return Error{there.error().code,
                 fmt::format("{}; start the PF driver ({}) for this NIC", there.error().text, Chip::pf_driver)};
  }
  if (!function_->alive()) return work_error("the device is gone");
  return Done{};
}

// Section 12: VF resets leave these as they were, so a predecessor's values may be in them.
template <class Chip>
Result<Done> Vf<Chip>::clear_leftovers() {
  for (unsigned q = 0; q < rx_.size(); ++q) {
    bar_.write(Chip::rxdctl, q, 0);
    bar_.write(Chip::rdh, q, 0);
    bar_.write(Chip::rdt, q, 0);
  }
  bar_.write(Chip::txdctl, 0, 0);
  bar_.write(Chip::tdh, 0, 0);
  bar_.write(Chip::tdt, 0, 0);
  bar_.write(Chip::tdwbah, 0, 0);
  bar_.write(Chip::tdwbal, 0, 0);
  bar_.write(Chip::psrtype, 0);
  flush();
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::say_hello() {
  auto reply = mailbox_.reset();
  if (!reply) return reply.error();
  mac_assigned_ = reply->mac_assigned && !reply->mac.zero() && !reply->mac.multicast();
  if (mac_assigned_) mac_ = reply->mac;
  multicast_type_ = Chip::tells_multicast_type ? reply->multicast_type : 0;
  return Done{};
}

template <class Chip>
void Vf<Chip>::choose_queues(unsigned granted) {
  queues_ = 1;
  const auto usable = std::min<std::size_t>(granted, rx_.size());
  while (queues_ * 2 <= usable) queues_ *= 2;
  if (queues_ < options_.queues) {
    log::warning("{}: {} receive queues wanted, the PF grants {}: {} used", function_->name(), options_.queues, granted,
                 queues_);
  }
}

template <class Chip>
Result<Done> Vf<Chip>::tolerated(Result<Done> answer) const {
  if (answer || answer.error().code != std::errc::operation_not_permitted) return answer;
  log::warning("{}; going on without", answer.error().text);
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::ask_mac() {
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

template <class Chip>
Result<Done> Vf<Chip>::ask_frame_size() {
  auto done = mailbox_.set_max_frame(max_frame() + Chip::tag_in_frame_size);
  // With a standard MTU the VF receives without it, unless the PF's own MTU is larger.
  constexpr unsigned kStandardMtu = 1500;
  if (!done && done.error().code == std::errc::operation_not_permitted && options_.mtu <= kStandardMtu) {
    log::warning("{}; going on: if nothing is received, the PF's MTU is above {}", done.error().text, kStandardMtu);
    return Done{};
  }
  return done;
}

template <class Chip>
Result<Done> Vf<Chip>::ask_vlans() {
  for (const std::uint16_t vid : options_.vlans) {
    if (auto joined = mailbox_.set_vlan(vid, true); !joined) return joined;
  }
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::program_receive() {
  for (unsigned q = 0; q < queues_; ++q) {
    rx_[q]->prepare();
    const RxQueue::Memory& m = rx_[q]->memory();
    bar_.write(Chip::rdbal, q, low(m.ring_iova));
    bar_.write(Chip::rdbah, q, high(m.ring_iova));
    bar_.write(Chip::rdlen, q, m.ring_bytes());
    if constexpr (Chip::dca_must_clear != 0) bar_.clear(Chip::dca_rxctrl, q, Chip::dca_must_clear);
    bar_.write(Chip::srrctl, q, Chip::srrctl_mode | (m.buffer_bytes / 1024 & Chip::srrctl_size_mask));
  }
  bar_.write(Chip::psrtype, Chip::psrtype_of(queues_));
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::program_transmit() {
  if (!tx_) return Done{};
  tx_->prepare();
  const TxQueue::Memory& m = tx_->memory();
  bar_.write(Chip::tdbal, 0, low(m.ring_iova));
  bar_.write(Chip::tdbah, 0, high(m.ring_iova));
  bar_.write(Chip::tdlen, 0, m.ring_bytes());
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::program_interrupts() {
  if (!interrupts_) return Done{};
  // Bytes of IVAR i from the lowest: RX 2i, TX 2i, RX 2i+1, TX 2i+1.
  const auto rx_route = [](unsigned queue) { return (Chip::ivar_valid | kRxVector) << (16 * (queue % 2)); };
  for (unsigned pair = 0; pair * 2 < queues_; ++pair) {
    std::uint32_t routes = rx_route(pair * 2);
    if (pair * 2 + 1 < queues_) routes |= rx_route(pair * 2 + 1);
    bar_.write(Chip::ivar, pair, routes);
  }
  bar_.write(Chip::ivar_misc, Chip::ivar_valid | kPfVector);
  constexpr std::uint32_t kBoth = 1u << kRxVector | 1u << kPfVector;
  bar_.write(Chip::auto_clear, kBoth);  // causes clear when the vector fires,
  bar_.write(Chip::auto_mask, kBoth);   // and it masks itself until it is armed again
  pf_signal_->arm();
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::enable_receive() {
  for (unsigned q = 0; q < queues_; ++q) {
    // VME stays off: the VLAN tag stays in the frame.
    bar_.set(Chip::rxdctl, q, Chip::rx_enable | Chip::rx_thresholds);
    auto on = await_queue(fmt::format("receive queue {} on ({}.ENABLE = 1)", q, Chip::rxdctl.name),
                          [&] { return (bar_.read(Chip::rxdctl, q) & Chip::rx_enable) != 0; });
    if (!on) return on;
    rx_[q]->open();
  }
  flush();
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::enable_transmit() {
  if (!tx_) return Done{};
  bar_.set(Chip::txdctl, 0, Chip::tx_enable | Chip::tx_thresholds);
  return await_queue(fmt::format("transmit queue on ({}.ENABLE = 1)", Chip::txdctl.name),
                     [&] { return (bar_.read(Chip::txdctl, 0) & Chip::tx_enable) != 0; });
}

}  // namespace vigia::vf::intel
