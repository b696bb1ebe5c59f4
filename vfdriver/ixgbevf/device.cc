// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ixgbevf/device.h"

#include <fmt/format.h>

#include <utility>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_vf.h"
#include "hw/log.h"

namespace vigia::vf::ixgbevf {

namespace reg = hw::ixgbe::vf;
using namespace std::chrono_literals;

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

Result<std::unique_ptr<VfDevice>> Ixgbevf::open(std::unique_ptr<hw::PciFunction> function, const PortOptions& options,
                                                const Timing& timing) {
  const Layout layout = plan_memory(options.queues, options.rx_ring, options.rx_buffer_kib * 1024, options.tx_ring);
  auto bar = function->map_bar(0);
  if (!bar) return bar.error();
  if ((*bar)->size() < reg::kBarSize) {
    return work_error(
        fmt::format("BAR 0 of {}: {} bytes, an 82599 VF has {}", function->name(), (*bar)->size(), reg::kBarSize));
  }
  auto memory = function->allocate_dma(layout.total, "ixgbevf");
  if (!memory) return memory.error();
  auto iova = function->map_dma(*memory);
  if (!iova) return iova.error();

  std::unique_ptr<Ixgbevf> device(
      new Ixgbevf(std::move(function), **bar, std::move(*memory), options, timing));  // private constructor
  device->enable_vectors();
  device->make_queues(*iova, layout);
  return std::unique_ptr<VfDevice>(std::move(device));
}

Ixgbevf::Ixgbevf(std::unique_ptr<hw::PciFunction> function, hw::Bar& bar, hw::DmaMemory memory,
                 const PortOptions& options, const Timing& timing)
    : function_(std::move(function)),
      bar_(bar),
      memory_(std::move(memory)),
      options_(options),
      timing_(timing),
      mailbox_(bar, function_->name(), timing.mailbox) {}

Ixgbevf::~Ixgbevf() {
  // Told nobody: the function is reset next, which stops whatever this could not.
  if (started_) (void)stop();
  (void)function_->reset();
  // The function must go before the memory that it may write.
  tx_.reset();
  rx_.clear();
  function_.reset();
}

void Ixgbevf::enable_vectors() {
  rx_signal_.emplace();
  pf_signal_.emplace();
  if (!options_.interrupts) return;
  auto vectors = function_->enable_msix(kVectors);
  if (!vectors) {
    log::warning("{}; {} sleeps by timer instead", vectors.error().text, function_->name());
    return;
  }
  rx_signal_.emplace(bar_, kRxVector, (*vectors)[kRxVector]);
  pf_signal_.emplace(bar_, kPfVector, (*vectors)[kPfVector]);
  interrupts_ = true;
}

void Ixgbevf::make_queues(hw::Iova iova, const Layout& layout) {
  for (unsigned q = 0; q < options_.queues; ++q) {
    rx_.push_back(std::make_unique<RxQueue>(RxQueue::Memory::at(memory_.bytes(), iova, layout.rx[q]),
                                            bar_.doorbell(reg::VFRDT, q), *rx_signal_, *function_));
  }
  if (options_.tx_ring == 0) return;
  constexpr std::uint32_t kFcs = 4, kVlanTag = 4;  // a tag comes on top of the maximum frame size
  tx_.emplace(TxQueue::Memory::at(memory_.bytes(), iova, layout.tx), max_frame() - kFcs + kVlanTag,
              bar_.doorbell(reg::VFTDT, 0), *function_);
}

RxPort& Ixgbevf::queue(unsigned i) {
  check(i < queues_);
  return *rx_[i];
}

std::uint32_t Ixgbevf::max_frame() const {
  constexpr std::uint32_t kHeaderAndFcs = 14 + 4;
  return options_.mtu + kHeaderAndFcs;
}

void Ixgbevf::flush() { (void)bar_.read(reg::VFSTATUS); }

Error Ixgbevf::in_step(std::string_view step, const Error& error) const {
  return {error.code, fmt::format("start {}, step \"{}\": {}", function_->name(), step, error.text)};
}

Result<Done> Ixgbevf::start() {
  started_ = false;
  for (const Step& step : steps()) {
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

Result<Done> Ixgbevf::stop() {
  started_ = false;
  (void)mask_interrupts();
  if (!function_->alive()) return Done{};  // a device that is gone writes nothing
  return stop_queues();
}

Health Ixgbevf::health() {
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

Result<Done> Ixgbevf::set_mac(const hw::Mac& mac) {
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

Result<PortInfo> Ixgbevf::info() {
  if (!started_) return work_error("ask " + function_->name() + " for its state: it is not started");
  PortInfo info;
  info.device = function_->name();
  info.driver = "ixgbevf";
  info.mac = mac_;
  info.mac_assigned = mac_assigned_;
  info.api = mbx::text_of(mailbox_.api());
  info.queues = queues_;
  info.granted_rx = granted_.rx;
  info.granted_tx = granted_.tx;
  info.mtu = options_.mtu;
  const std::uint32_t links = bar_.read(reg::VFLINKS);
  info.link_up = (links & hw::ixgbe::Links::up) != 0;
  info.link_mbps = *info.link_up ? mbps_of(links) : 0;
  if (multicast_) info.multicast_mode = text_of(*multicast_);
  info.interrupts = interrupts_;
  if (mbx::at_least(mailbox_.api(), mbx::Api::v1_2)) {
    info.link_enabled = known(mailbox_.link_enabled());
    info.reta = known(mailbox_.reta());
    info.rss_key = known(mailbox_.rss_key());
  }
  if (!function_->alive()) return work_error("ask " + function_->name() + " for its state: the device is gone");
  return info;
}

}  // namespace vigia::vf::ixgbevf
