// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/virtio/vhost_user_device.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <optional>

#include "hw/dma_memory.h"
#include "hw/eventfds.h"
#include "vfdriver/port_spec.h"
#include "vfdriver/virtio/front_end.h"
#include "vfdriver/virtio/queue_memory.h"

namespace vigia::vf::virtio {
namespace {

namespace feature = hw::virtio::Feature;

// Where the back end finds our memory; any address would do. Above 4 GiB, so that a cut address shows.
constexpr hw::Iova kGuestAddress{0x1'0000'0000};
constexpr std::uint64_t kWanted = feature::version_1 | feature::net_mergeable_buffers | feature::event_index |
                                  feature::packed_ring | feature::vhost_user_protocol;

enum class RingKind { either, split, packed };

class Device final : public VfDevice {
 public:
  Device(std::string spec, std::string socket, RingKind kind, const PortOptions& options)
      : spec_(std::move(spec)),
        socket_(std::move(socket)),
        kind_(kind),
        size_(options.rx_ring),
        buffer_bytes_(buffer_bytes(options)),
        interrupts_(options.interrupts) {}
  ~Device() override {
    if (queue_) (void)stop();  // a back end that does not answer is left without its socket next
  }

  unsigned queues() const override { return 1; }
  RxPort& queue(unsigned i) override {
    check(i == 0 && queue_);
    return *queue_;
  }
  TxPort* tx() override { return nullptr; }
  Result<Done> start() override;
  Result<Done> stop() override;
  Health health() override;
  std::string trouble() const override;
  Result<Done> set_mac(const hw::Mac&) override {
    return input_error(fmt::format("device '{}': a back end takes no address", spec_));
  }
  Result<PortInfo> info() override;

 private:
  Result<std::uint64_t> negotiate(FrontEnd& front) const;
  Result<Done> make_queue();

  const std::string spec_, socket_;
  const RingKind kind_;
  const unsigned size_, buffer_bytes_;
  const bool interrupts_;
  std::atomic<bool> gone_{false};
  std::uint64_t features_ = 0;
  std::optional<hw::DmaMemory> memory_;
  std::vector<Fd> events_;  // kick and call of RX, of TX
  std::unique_ptr<RxQueueBase> queue_;
  std::optional<FrontEnd> front_;  // goes first: then nobody writes into memory_
};

Result<std::uint64_t> Device::negotiate(FrontEnd& front) const {
  const auto offered = front.features();
  if (!offered) return offered.error();
  if ((*offered & feature::version_1) == 0) {
    return work_error(fmt::format("{}: the back end is older than virtio 1.0 (features {:#x})", spec_, *offered));
  }
  std::uint64_t chosen = *offered & kWanted;
  if (kind_ == RingKind::packed && (chosen & feature::packed_ring) == 0) {
    return work_error(fmt::format("{}: the back end has no packed rings; use ring=split", spec_));
  }
  if (kind_ == RingKind::split) chosen &= ~feature::packed_ring;
  if ((chosen & feature::vhost_user_protocol) != 0) {
    if (auto ok = front.negotiate_protocol(); !ok) return ok.error();
  }
  if (auto ok = front.set_features(chosen); !ok) return ok.error();
  return chosen;
}

Result<Done> Device::make_queue() {
  const bool packed = (features_ & feature::packed_ring) != 0;
  const Layout layout = plan(size_, buffer_bytes_, packed);
  if (!memory_ || memory_->size() < layout.bytes) {
    auto memory = hw::DmaMemory::allocate(layout.bytes, "virtio");
    if (!memory) return memory.error();
    memory_.emplace(std::move(*memory));
  }
  auto events = hw::make_eventfds(4, spec_);
  if (!events) return events.error();
  events_ = std::move(*events);
  queue_ = make_rx_queue({memory_->bytes(), kGuestAddress, size_, buffer_bytes_, features_},
                         {events_[0].get(), interrupts_ ? events_[1].get() : -1}, gone_);
  return Done{};
}

Result<Done> Device::start() {
  front_.reset();
  queue_.reset();
  auto front = FrontEnd::connect(socket_);
  if (!front) return front.error();
  const auto chosen = negotiate(*front);
  if (!chosen) return chosen.error();
  features_ = *chosen;
  if (auto ok = make_queue(); !ok) return ok;
  const bool packed = (features_ & feature::packed_ring) != 0;
  const Layout layout = plan(size_, buffer_bytes_, packed);
  if (auto ok = front->share(*memory_, kGuestAddress); !ok) return ok;
  queue_->fill();
  const std::byte* base = memory_->data();
  const RingSetup rx{kRx, size_, base + layout.rx, packed, events_[0].get(), events_[1].get()};
  const RingSetup tx{kTx, kTxSize, base + layout.tx, packed, events_[2].get(), events_[3].get()};
  if (auto ok = front->start_ring(rx); !ok) return ok;
  if (auto ok = front->start_ring(tx); !ok) return ok;
  // A back end that does not poll looks at the ring when it is kicked first.
  for (const std::size_t kick : {std::size_t{0}, std::size_t{2}}) {
    const std::uint64_t one = 1;
    if (::write(events_[kick].get(), &one, sizeof one) != sizeof one) return os_error("kick a ring of " + spec_);
  }
  front_.emplace(std::move(*front));
  gone_.store(false, std::memory_order_relaxed);  // relaxed: as in alive()
  return Done{};
}

Result<Done> Device::stop() {
  if (!front_ || !front_->connected()) return Done{};  // who is gone writes nothing
  for (const unsigned index : {kRx, kTx}) {
    if (auto ok = front_->stop_ring(index); !ok) return ok;
  }
  return Done{};
}

Health Device::health() {
  if (!front_ || !front_->connected()) gone_.store(true, std::memory_order_relaxed);  // relaxed: as in alive()
  return queue_ && queue_->alive() ? Health::good : Health::gone;
}

std::string Device::trouble() const {
  const char* why = queue_ ? queue_->trouble() : nullptr;
  if (why != nullptr)
    return fmt::format("the back end broke the rules of the ring: {}; nothing more is taken from it", why);
  return "the back end has closed the connection or died";
}

Result<PortInfo> Device::info() {
  PortInfo info;
  info.device = spec_;
  info.driver = "virtio-net";
  info.queues = 1;
  info.interrupts = interrupts_;
  info.api = text_of(features_);
  return info;
}

}  // namespace

Result<std::unique_ptr<VfDevice>> open_vhost_user(const std::string& spec, std::string_view rest,
                                                  const PortOptions& options) {
  static const std::array<std::string, 1> kKeys{"ring"};
  const auto parsed = parse_port_spec(spec, rest, kKeys);
  if (!parsed) return parsed.error();
  const std::string word = parsed->word("ring", "auto");
  RingKind kind = RingKind::either;
  if (word == "split") {
    kind = RingKind::split;
  } else if (word == "packed") {
    kind = RingKind::packed;
  } else if (word != "auto") {
    return input_error(fmt::format("device '{}': ring '{}'; want auto, split or packed", spec, word));
  }
  return std::unique_ptr<VfDevice>(std::make_unique<Device>(spec, parsed->place, kind, options));
}

}  // namespace vigia::vf::virtio
