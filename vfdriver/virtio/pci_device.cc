// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/virtio/pci_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "hw/dma_memory.h"
#include "hw/log.h"
#include "hw/virtio/pci.h"
#include "vfdriver/virtio/pci_config.h"
#include "vfdriver/virtio/queue_memory.h"

namespace vigia::vf::virtio {
namespace {

namespace feature = hw::virtio::Feature;
namespace common = hw::virtio::Common;
namespace status = hw::virtio::Status;

constexpr std::uint64_t kWanted = feature::version_1 | feature::access_platform | feature::net_mergeable_buffers |
                                  feature::event_index | feature::packed_ring | feature::net_mac | feature::net_mtu |
                                  feature::net_status;
constexpr std::chrono::milliseconds kResetLimit{1000}, kLookEvery{100};

class Device final : public VfDevice {
 public:
  Device(std::unique_ptr<hw::PciFunction> function, PciConfig config, hw::Bar& notify, const PortOptions& options)
      : function_(std::move(function)),
        config_(config),
        notify_bar_(notify),
        wanted_size_(options.rx_ring),
        buffer_bytes_(buffer_bytes(options)),
        interrupts_wanted_(options.interrupts) {}
  ~Device() override {
    (void)reset();  // nothing may write into memory_ any more; a device that does not answer loses the bus next
    queue_.reset();
    function_.reset();
  }

  unsigned queues() const override { return 1; }
  RxPort& queue(unsigned i) override {
    check(i == 0 && queue_);
    return *queue_;
  }
  TxPort* tx() override { return nullptr; }
  Result<Done> start() override;
  Result<Done> stop() override { return reset(); }
  Health health() override;
  std::string trouble() const override;
  Result<Done> set_mac(const hw::Mac&) override {
    return input_error(fmt::format("device '{}': its address is the hypervisor's", function_->name()));
  }
  Result<PortInfo> info() override;

 private:
  Result<Done> reset();
  Result<Done> add_status(std::uint8_t bits);
  Result<Done> negotiate();
  Result<Done> choose_size();
  Result<Done> make_queue();
  Result<Done> tell_queue(unsigned index, unsigned size, std::size_t at);
  void enable_interrupts();
  Result<hw::Mac> read_mac();

  std::unique_ptr<hw::PciFunction> function_;
  PciConfig config_;
  hw::Bar& notify_bar_;
  const unsigned wanted_size_, buffer_bytes_;
  const bool interrupts_wanted_;
  unsigned size_ = 0;
  int call_ = -1;
  std::atomic<bool> gone_{false};
  std::uint64_t features_ = 0;
  std::uint8_t status_ = 0;
  std::uint32_t notify_at_ = 0;  // in notify_bar_
  std::optional<hw::DmaMemory> memory_;
  hw::Iova iova_{};
  std::unique_ptr<RxQueueBase> queue_;
  std::chrono::steady_clock::time_point next_look_{};
};

Result<Done> Device::reset() {
  status_ = 0;
  if (!function_->alive()) return Done{};  // who is gone writes nothing
  if (auto ok = config_.set_common(common::status, 1, 0); !ok) return ok;
  // 4.1.4.3.2: the reset is done when the status reads 0.
  return wait_until("reset of " + function_->name(), kResetLimit, [this] {
    const auto now = config_.common(common::status, 1);
    return !now || *now == 0;
  });
}

Result<Done> Device::add_status(std::uint8_t bits) {
  status_ = static_cast<std::uint8_t>(status_ | bits);
  return config_.set_common(common::status, 1, status_);
}

Result<Done> Device::negotiate() {
  std::uint64_t offered = 0;
  for (const std::uint32_t half : {0u, 1u}) {
    if (auto ok = config_.set_common(common::device_feature_select, 4, half); !ok) return ok;
    const auto bits = config_.common(common::device_feature, 4);
    if (!bits) return bits.error();
    offered |= std::uint64_t{*bits} << (32 * half);
  }
  if ((offered & feature::version_1) == 0) {
    return work_error(fmt::format("{}: older than virtio 1.0 (features {:#x})", function_->name(), offered));
  }
  // Without this bit addresses are physical, whatever IOMMU the device seems to lie behind (6.1): it would write into
  // memory that is somebody else's.
  if ((offered & feature::access_platform) == 0 && function_->translates()) {
    return input_error(fmt::format(
        "{}: the device goes around the IOMMU; give the VM's NIC iommu_platform=on (libvirt: <driver iommu='on'/>), or "
        "the VM no IOMMU, and take uio:ADDRESS",
        function_->name()));
  }
  features_ = offered & kWanted;
  for (const std::uint32_t half : {0u, 1u}) {
    if (auto ok = config_.set_common(common::driver_feature_select, 4, half); !ok) return ok;
    const auto bits = static_cast<std::uint32_t>(features_ >> (32 * half));
    if (auto ok = config_.set_common(common::driver_feature, 4, bits); !ok) return ok;
  }
  if (auto ok = add_status(status::features_ok); !ok) return ok;
  const auto now = config_.common(common::status, 1);
  if (!now) return now.error();
  if ((*now & status::features_ok) != 0) return Done{};
  return work_error(fmt::format("{}: the device refuses the features {:#x}", function_->name(), features_));
}

Result<Done> Device::choose_size() {
  if (auto ok = config_.set_common(common::queue_select, 2, kRx); !ok) return ok;
  const auto most = config_.common(common::queue_size, 2);
  if (!most) return most.error();
  if (*most < 2 || *most > 32768 || (*most & (*most - 1)) != 0) {
    return work_error(fmt::format("{}: a receive queue of {} entries cannot be used", function_->name(), *most));
  }
  size_ = std::min(wanted_size_, *most);
  return Done{};
}

Result<Done> Device::make_queue() {
  const Layout layout = plan(size_, buffer_bytes_, (features_ & feature::packed_ring) != 0);
  if (!memory_) {
    // The larger of the two kinds of ring: a device that offers another after a restart fits too.
    const std::size_t bytes = std::max(layout.bytes, plan(wanted_size_, buffer_bytes_, false).bytes);
    auto memory = function_->allocate_dma(bytes, "virtio");
    if (!memory) return memory.error();
    memory_.emplace(std::move(*memory));
    const auto iova = function_->map_dma(*memory_);
    if (!iova) return iova.error();
    iova_ = *iova;
    enable_interrupts();
  }
  // Zeroes the rings: before the device hears of them.
  queue_ = make_rx_queue({memory_->bytes(), iova_, size_, buffer_bytes_, features_},
                         {-1, call_, &notify_bar_, &notify_at_}, gone_);
  if (auto ok = tell_queue(kRx, size_, layout.rx); !ok) return ok;
  return tell_queue(kTx, kTxSize, layout.tx);
}

void Device::enable_interrupts() {
  if (!interrupts_wanted_) return;
  const auto vectors = function_->enable_msix(1);
  if (vectors) {
    call_ = vectors->front();
  } else {
    log::warning("{}; {} sleeps by timer instead", vectors.error().text, function_->name());
  }
}

Result<Done> Device::tell_queue(unsigned index, unsigned size, std::size_t at) {
  const hw::virtio::QueueParts parts = hw::virtio::parts_of(size, (features_ & feature::packed_ring) != 0);
  const auto set = [this](std::uint32_t offset, unsigned bytes, std::uint32_t value) {
    return config_.set_common(offset, bytes, value);
  };
  auto ok = set(common::queue_select, 2, index);
  if (!ok) return ok;
  const auto most = config_.common(common::queue_size, 2);
  if (!most) return most.error();
  if (*most < size) {
    return work_error(
        fmt::format("{}: queue {} takes {} entries, {} are needed", function_->name(), index, *most, size));
  }
  ok = set(common::queue_size, 2, size);
  if (ok) ok = set(common::queue_vector, 2, index == kRx && call_ >= 0 ? 0u : common::no_vector);
  const std::pair<std::uint32_t, std::size_t> addresses[] = {{common::queue_descriptors, parts.descriptors},
                                                             {common::queue_driver, parts.driver},
                                                             {common::queue_device, parts.device}};
  for (const auto& [offset, part] : addresses) {
    const std::uint64_t address = hw::to_integer(iova_ + at + part);
    if (ok) ok = set(offset, 4, static_cast<std::uint32_t>(address));
    if (ok) ok = set(offset + 4, 4, static_cast<std::uint32_t>(address >> 32));
  }
  if (!ok) return ok;
  const auto vector = config_.common(common::queue_vector, 2), place = config_.common(common::queue_notify_offset, 2);
  if (!vector) return vector.error();
  if (!place) return place.error();
  if (index == kRx) {
    if (call_ >= 0 && *vector == common::no_vector) {
      return work_error(
          fmt::format("{}: the device has no interrupt for its receive queue; use --poll", function_->name()));
    }
    const std::uint64_t offset = std::uint64_t{*place} * config_.notify_multiplier();
    if (config_.notify().bytes < 4 || offset > config_.notify().bytes - 4 ||
        (config_.notify().offset + offset) % 4 != 0) {
      return work_error(fmt::format("{}: its notify register at {} + {} cannot be written", function_->name(),
                                    config_.notify().offset, offset));
    }
    const auto at_byte = static_cast<std::uint32_t>(config_.notify().offset + offset);
    if (at_byte > notify_bar_.size() - 4) {
      return work_error(
          fmt::format("{}: its notify register lies outside BAR {}", function_->name(), config_.notify().bar));
    }
    notify_at_ = at_byte;
  }
  return set(common::queue_enable, 2, 1);
}

Result<Done> Device::start() {
  queue_.reset();
  if (auto ok = function_->set_bus_master(true); !ok) return ok;
  auto ok = reset();
  if (ok) ok = add_status(status::acknowledge);
  if (ok) ok = add_status(status::driver);
  if (ok) ok = negotiate();
  if (ok) ok = choose_size();
  if (ok) ok = make_queue();
  if (ok) ok = add_status(status::driver_ok);
  if (!ok) {
    (void)reset();  // nothing half started may write into our memory
    return Error{ok.error().code, fmt::format("start {}: {}", function_->name(), ok.error().text)};
  }
  queue_->fill();
  gone_.store(false, std::memory_order_relaxed);  // relaxed: as in alive()
  return Done{};
}

Health Device::health() {
  if (!function_->alive()) gone_.store(true, std::memory_order_relaxed);  // relaxed: as in alive()
  const auto now = std::chrono::steady_clock::now();
  if (now >= next_look_ && status_ != 0 && function_->alive()) {
    next_look_ = now + kLookEvery;
    const auto bits = config_.common(common::status, 1);
    if (!bits || (*bits & status::needs_reset) != 0 || *bits == 0) gone_.store(true, std::memory_order_relaxed);
  }
  return queue_ && queue_->alive() ? Health::good : Health::gone;
}

std::string Device::trouble() const {
  const char* why = queue_ ? queue_->trouble() : nullptr;
  if (why != nullptr)
    return fmt::format("the device broke the rules of the ring: {}; nothing more is taken from it", why);
  return "the device is gone, was reset by somebody else, or asks to be reset";
}

Result<hw::Mac> Device::read_mac() {
  hw::Mac mac;
  for (std::uint32_t i = 0; i < mac.bytes.size(); ++i) {
    const auto byte = config_.device(hw::virtio::NetConfig::mac + i, 1);
    if (!byte) return byte.error();
    mac.bytes[i] = static_cast<std::uint8_t>(*byte);
  }
  return mac;
}

Result<PortInfo> Device::info() {
  if (!function_->alive()) return work_error("ask " + function_->name() + " for its state: the device is gone");
  PortInfo info;
  info.device = function_->name();
  info.driver = "virtio-net";
  info.queues = 1;
  info.api = text_of(features_);
  info.interrupts = call_ >= 0;
  if ((features_ & feature::net_mac) != 0) {
    const auto mac = read_mac();
    if (!mac) return mac.error();
    info.mac = *mac;
  }
  if ((features_ & feature::net_mtu) != 0) {
    const auto mtu = config_.device(hw::virtio::NetConfig::mtu, 2);
    if (!mtu) return mtu.error();
    info.mtu = *mtu;
  }
  if ((features_ & feature::net_status) != 0) {
    const auto bits = config_.device(hw::virtio::NetConfig::status, 2);
    if (!bits) return bits.error();
    info.link_up = (*bits & hw::virtio::NetConfig::link_up) != 0;
  }
  return info;
}

}  // namespace

Result<std::unique_ptr<VfDevice>> open_pci(std::unique_ptr<hw::PciFunction> function, const PortOptions& options) {
  const auto config = PciConfig::find(*function);
  if (!config) return config.error();
  const auto bar = function->map_bar(config->notify().bar);
  if (!bar) return bar.error();
  return std::unique_ptr<VfDevice>(std::make_unique<Device>(std::move(function), *config, **bar, options));
}

}  // namespace vigia::vf::virtio
