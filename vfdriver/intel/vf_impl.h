// SPDX-License-Identifier: Apache-2.0
// Definitions of intel/vf.h: included by the one source file of a family that instantiates them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hw/log.h"
#include "vfdriver/intel/vf.h"

namespace vigia::vf::intel {

template <class Chip>
auto Vf<Chip>::take_over(std::unique_ptr<hw::PciFunction> function, const PortOptions& options) -> Result<Parts> {
  const unsigned queues = std::min(options.queues, Chip::max_queues);
  Layout layout = plan_memory(queues, options.rx_ring, options.rx_buffer_kib * 1024, options.tx_ring);
  auto bar = function->map_bar(0);
  if (!bar) return bar.error();
  if ((*bar)->size() < Chip::bar_size) {
    return work_error(fmt::format("BAR 0 of {}: {} bytes, an {} VF has {}", function->name(), (*bar)->size(),
                                  Chip::chip, Chip::bar_size));
  }
  auto memory = function->allocate_dma(layout.total, Chip::driver);
  if (!memory) return memory.error();
  auto iova = function->map_dma(*memory);
  if (!iova) return iova.error();
  return Parts{std::move(function), *bar, std::move(*memory), *iova, std::move(layout)};
}

template <class Chip>
Vf<Chip>::Vf(Parts parts, const PortOptions& options, const Timing& timing)
    : function_(std::move(parts.function)),
      bar_(*parts.bar),
      memory_(std::move(parts.memory)),
      options_(options),
      timing_(timing),
      mailbox_(bar_, function_->name(), timing.mailbox) {
  enable_vectors();
  make_queues(parts.iova, parts.layout);
}

template <class Chip>
Vf<Chip>::~Vf() {
  // Told nobody: the function is reset next, which stops whatever this could not.
  if (started_) (void)stop();
  (void)function_->reset();
  // The function must go before the memory that it may write.
  tx_.reset();
  rx_.clear();
  function_.reset();
}

template <class Chip>
void Vf<Chip>::enable_vectors() {
  rx_signal_.emplace();
  pf_signal_.emplace();
  if (!options_.interrupts) return;
  auto vectors = function_->enable_msix(kVectors);
  if (!vectors) {
    log::warning("{}; {} sleeps by timer instead", vectors.error().text, function_->name());
    return;
  }
  rx_signal_.emplace(bar_.doorbell(Chip::unmask), kRxVector, (*vectors)[kRxVector]);
  pf_signal_.emplace(bar_.doorbell(Chip::unmask), kPfVector, (*vectors)[kPfVector]);
  interrupts_ = true;
}

template <class Chip>
void Vf<Chip>::make_queues(hw::Iova iova, const Layout& layout) {
  for (unsigned q = 0; q < layout.rx.size(); ++q) {
    rx_.push_back(std::make_unique<RxQueue>(RxQueue::Memory::at(memory_.bytes(), iova, layout.rx[q]), Chip::bad_frame,
                                            bar_.doorbell(Chip::rdt, q), *rx_signal_, *function_));
  }
  if (options_.tx_ring == 0) return;
  constexpr std::uint32_t kFcs = 4, kVlanTag = 4;
  tx_.emplace(TxQueue::Memory::at(memory_.bytes(), iova, layout.tx), Chip::check_context, max_frame() - kFcs + kVlanTag,
              bar_.doorbell(Chip::tdt, 0), *function_);
}

template <class Chip>
RxPort& Vf<Chip>::queue(unsigned i) {
  check(i < queues_);
  return *rx_[i];
}

template <class Chip>
std::uint32_t Vf<Chip>::max_frame() const {
  constexpr std::uint32_t kHeaderAndFcs = 14 + 4;
  return options_.mtu + kHeaderAndFcs;
}

template <class Chip>
Error Vf<Chip>::in_step(std::string_view step, const Error& error) const {
  return {error.code, fmt::format("start {}, step \"{}\": {}", function_->name(), step, error.text)};
}

template <class Chip>
Result<Done> Vf<Chip>::start() {
  started_ = false;
  for (const Step& step : sequence()) {
    log::debug("{}: {}", function_->name(), step.name);
    if (auto done = (this->*step.run)(); !done) {
      if (!function_->alive()) {
        return in_step(step.name, {std::errc::no_such_device, "the device is gone; is its server still running?"});
      }
      (void)stop_queues();  // nothing half started may write into our memory; its own failure adds nothing
      return in_step(step.name, done.error());
    }
  }
  started_ = true;
  lost_ = false;
  next_look_ = std::chrono::steady_clock::now() + timing_.look;
  return Done{};
}

template <class Chip>
Result<Done> Vf<Chip>::stop() {
  started_ = false;
  (void)mask_interrupts();
  if (!function_->alive()) return Done{};  // a device that is gone writes nothing
  return stop_queues();
}

template <class Chip>
Health Vf<Chip>::health() {
  if (!function_->alive()) return Health::gone;
  if (lost_) return Health::pf_reset;
  const bool rang = pf_signal_->consume();
  const auto now = std::chrono::steady_clock::now();
  if (!rang && now < next_look_) return Health::good;
  next_look_ = now + timing_.look;
  const Verdict news = mailbox_.poll();
  if (!function_->alive()) return Health::gone;
  if (news == Verdict::reset_needed) {
    lost_ = true;
    return Health::pf_reset;
  }
  pf_signal_->arm();
  return Health::good;
}

template <class Chip>
Result<Done> Vf<Chip>::set_mac(const hw::Mac& mac) {
  if (mac.multicast() || mac.zero()) {
    return input_error(fmt::format("set address {} on {}: not a unicast address", mac.text(), function_->name()));
  }
  auto done = mailbox_.set_mac(mac);
  if (!done) {
    lost_ = lost_ || done.error().code == std::errc::connection_reset;
    return done;
  }
  mac_ = mac;
  options_.mac = mac;  // what a restart asks for
  return done;
}

template <class Chip>
Result<PortInfo> Vf<Chip>::info() {
  if (!started_) return work_error("ask " + function_->name() + " for its state: it is not started");
  PortInfo info;
  info.device = function_->name();
  info.driver = Chip::driver;
  info.mac = mac_;
  info.mac_assigned = mac_assigned_;
  info.queues = queues_;
  info.granted_rx = granted_rx_;
  info.granted_tx = granted_tx_;
  info.mtu = options_.mtu;
  info.interrupts = interrupts_;
  add_info(info);
  if (!function_->alive()) return work_error("ask " + function_->name() + " for its state: the device is gone");
  return info;
}

}  // namespace vigia::vf::intel

#include "vfdriver/intel/vf_steps.h"
