// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_user_function.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "hw/eventfds.h"

namespace vigia::hw {

using namespace vfio_user;

namespace {

constexpr std::uint64_t kPage = 4096;
// Region information with more areas than this is taken for nonsense.
constexpr std::uint32_t kMaxRegionInfo = 4096;

// PCI configuration space (PCI Local Bus 3.0, chapters 6.1, 6.7, 6.8.2).
constexpr std::uint32_t kStatus = 0x06, kCapabilityPointer = 0x34;
constexpr std::uint32_t kHasCapabilities = 1u << 4, kMsixCapability = 0x11, kMsixEnable = 1u << 15;

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

// The leading T of a reply; false when the reply is shorter.
template <class T>
bool take(const VfioUserChannel::Reply& reply, T& value) {
  if (reply.payload.size() < sizeof value) return false;
  std::memcpy(&value, reply.payload.data(), sizeof value);
  return true;
}

Error senseless(std::string_view what, const std::string& name) {
  return work_error(fmt::format("{} on {}: the device's reply makes no sense", what, name));
}

}  // namespace

struct VfioUserFunction::Region {
  std::uint64_t size = 0;
  std::uint64_t file_offset = 0;
  std::vector<MappableArea> areas;
  Fd file;
  std::unique_ptr<RegionTrap> trap;
  std::unique_ptr<Bar> bar;
};

class VfioUserFunction::RegionTrap final : public Bar::Trap {
 public:
  RegionTrap(VfioUserFunction& function, unsigned index) : function_(function), index_(index) {}

  std::uint32_t read32(std::uint32_t offset) noexcept override {
    std::uint32_t value = 0;
    if (!function_.read_region(index_, offset, std::as_writable_bytes(std::span(&value, 1)))) return ~0u;
    return value;
  }
  void write32(std::uint32_t offset, std::uint32_t value) noexcept override {
    // A refused or lost write vanishes, as on a bus; alive() tells about the latter.
    (void)function_.write_region(index_, offset, bytes_of(value), true);
  }

 private:
  VfioUserFunction& function_;
  unsigned index_;
};

VfioUserFunction::VfioUserFunction(std::string name, std::unique_ptr<VfioUserChannel> channel)
    : name_(std::move(name)), channel_(std::move(channel)) {}

Result<std::unique_ptr<VfioUserFunction>> VfioUserFunction::open(const std::filesystem::path& socket) {
  auto channel = VfioUserChannel::connect(socket);
  if (!channel) return channel.error();
  std::unique_ptr<VfioUserFunction> function(new VfioUserFunction("vfio-user:" + socket.native(), std::move(*channel)));
  if (auto found = function->discover(); !found) return found.error();
  return function;
}

VfioUserFunction::~VfioUserFunction() {
  if (alive()) {
    // Errors here would only say that the device is gone, which ends its accesses just as well.
    (void)set_bus_master(false);
    if (!eventfds_.empty()) (void)disable_msix();
    for (const auto& [iova, bytes] : dma_.allocated()) {
      const DmaUnmap unmap{sizeof(DmaUnmap), 0, iova, bytes};
      (void)channel_->request("unmap DMA memory", Command::dma_unmap, bytes_of(unmap));
    }
  }
}

Result<Done> VfioUserFunction::discover() {
  const DeviceInfo ask{sizeof(DeviceInfo), 0, 0, 0};
  auto reply = channel_->request("ask for device information", Command::device_get_info, bytes_of(ask));
  if (!reply) return reply.error();
  DeviceInfo info{};
  if (!take(*reply, info) || (info.flags & kDevicePci) == 0 || info.num_regions <= kConfigRegion ||
      info.num_irqs <= kIrqMsix) {
    return senseless("ask for device information", name_);
  }
  posts_writes_ = true;
  for (unsigned i = 0; i <= kConfigRegion; ++i) {
    auto region = ask_region(i);
    if (!region) return region.error();
    if (!region->areas.empty()) posts_writes_ = false;
    regions_.push_back(std::move(*region));
  }
  const IrqInfo ask_msix{sizeof(IrqInfo), 0, kIrqMsix, 0};
  reply = channel_->request("ask for interrupt information", Command::device_get_irq_info, bytes_of(ask_msix));
  if (!reply) return reply.error();
  IrqInfo msix{};
  constexpr unsigned kMsixLimit = 2048;  // PCI: the table size field has 11 bits
  if (!take(*reply, msix) || msix.count > kMsixLimit) return senseless("ask for interrupt information", name_);
  msix_vectors_ = msix.count;
  const auto ids = config_read(0, 4);
  if (!ids) return ids.error();
  id_ = {static_cast<std::uint16_t>(*ids), static_cast<std::uint16_t>(*ids >> 16)};
  return Done{};
}

Result<VfioUserFunction::Region> VfioUserFunction::ask_region(unsigned index) {
  const std::string what = fmt::format("ask for information on region {}", index);
  RegionInfo info{sizeof(RegionInfo), 0, index, 0, 0, 0};
  auto reply = channel_->request(what, Command::device_get_region_info, bytes_of(info));
  if (!reply) return reply.error();
  if (!take(*reply, info) || info.argsz > kMaxRegionInfo) return senseless(what, name_);
  if (info.argsz > sizeof info) {  // there is more: ask again with room for it
    const RegionInfo again{info.argsz, 0, index, 0, 0, 0};
    reply = channel_->request(what, Command::device_get_region_info, bytes_of(again));
    if (!reply) return reply.error();
    if (!take(*reply, info)) return senseless(what, name_);
  }
  Region region;
  region.size = info.size;
  region.file_offset = info.offset;
  if ((info.flags & kRegionMmap) == 0 || reply->fds.empty()) return region;
  region.file = std::move(reply->fds.front());
  if ((info.flags & kRegionCaps) == 0) info.cap_offset = 0;
  // Capabilities are counted from the start of the reply's payload.
  auto areas = parse_mappable_areas(reply->payload, info.cap_offset, info.size);
  if (!areas) return senseless(what, name_);
  region.areas = std::move(*areas);
  return region;
}

Result<Bar*> VfioUserFunction::map_bar(unsigned index) {
  constexpr unsigned kBars = 6;
  constexpr std::uint64_t kLargestBar = 1u << 30;  // offsets are 32 bits wide; no BAR of this family comes near
  const std::lock_guard guard(lock_);
  if (index >= kBars || regions_[index].size == 0 || regions_[index].size > kLargestBar) {
    return work_error(
        fmt::format("map BAR {} of {}: the device has no such BAR; is it the kind of device meant?", index, name_));
  }
  Region& region = regions_[index];
  if (region.bar == nullptr) {
    auto windows =
        pages_.map(fmt::format("BAR {} of {}", index, name_), region.file.get(), region.file_offset, region.areas);
    if (!windows) return windows.error();
    region.trap = std::make_unique<RegionTrap>(*this, index);
    region.bar = std::make_unique<Bar>(static_cast<std::uint32_t>(region.size), *region.trap, std::move(*windows));
  }
  return region.bar.get();
}

Result<Done> VfioUserFunction::read_region(unsigned index, std::uint64_t offset, std::span<std::byte> out) {
  const RegionAccess access{offset, index, static_cast<std::uint32_t>(out.size())};
  const std::lock_guard guard(lock_);
  auto reply = channel_->request("read registers", Command::region_read, bytes_of(access));
  if (!reply) {
    if (!channel_->alive()) pages_.show_ones();
    return reply.error();
  }
  if (reply->payload.size() != sizeof access + out.size()) return senseless("read registers", name_);
  std::memcpy(out.data(), reply->payload.data() + sizeof access, out.size());
  return Done{};
}

Result<Done> VfioUserFunction::write_region(unsigned index, std::uint64_t offset, std::span<const std::byte> in,
                                            bool may_post) {
  const RegionAccess access{offset, index, static_cast<std::uint32_t>(in.size())};
  std::array<std::byte, sizeof access + sizeof(std::uint64_t)> payload;
  check(in.size() <= sizeof(std::uint64_t));
  std::memcpy(payload.data(), &access, sizeof access);
  std::memcpy(payload.data() + sizeof access, in.data(), in.size());
  const auto message = std::span<const std::byte>(payload).first(sizeof access + in.size());
  const std::lock_guard guard(lock_);
  if (may_post && posts_writes_) return channel_->post("write registers", Command::region_write, message);
  auto reply = channel_->request("write registers", Command::region_write, message);
  if (reply) return Done{};
  if (!channel_->alive()) pages_.show_ones();
  return reply.error();
}

Result<Iova> VfioUserFunction::map_dma(const DmaMemory& memory) {
  const std::lock_guard guard(lock_);
  const auto iova = dma_.allocate(memory.size(), std::max<std::uint64_t>(memory.page_size(), kPage));
  if (!iova) return work_error(fmt::format("map {} bytes of DMA memory on {}: no address left", memory.size(), name_));
  const DmaMap map{sizeof(DmaMap), kDmaRead | kDmaWrite, 0, *iova, memory.size()};
  const std::array<int, 1> fds{memory.fd()};
  auto reply = channel_->request("map DMA memory", Command::dma_map, bytes_of(map), fds);
  if (!reply) {
    dma_.release(*iova, memory.size());
    return reply.error();
  }
  return Iova{*iova};
}

Result<Done> VfioUserFunction::unmap_dma(Iova iova, std::size_t bytes) {
  const std::lock_guard guard(lock_);
  if (!dma_.holds(to_integer(iova), bytes)) {
    return work_error(
        fmt::format("unmap DMA memory on {}: {:#x} + {} is no mapping of it", name_, to_integer(iova), bytes));
  }
  const DmaUnmap unmap{sizeof(DmaUnmap), 0, to_integer(iova), bytes};
  auto reply = channel_->request("unmap DMA memory", Command::dma_unmap, bytes_of(unmap));
  if (!reply) return reply.error();
  dma_.release(to_integer(iova), bytes);
  return Done{};
}

Result<std::vector<int>> VfioUserFunction::enable_msix(unsigned count) {
  if (count == 0 || count > msix_vectors_) {
    return work_error(fmt::format("enable {} MSI-X vectors on {}: it has {}", count, name_, msix_vectors_));
  }
  if (auto off = disable_msix(); !off) return off.error();
  auto eventfds = make_eventfds(count, name_);
  if (!eventfds) return eventfds.error();
  const std::vector<int> numbers = numbers_of(*eventfds);
  for (unsigned at = 0; at < count;) {
    const unsigned n = std::min(count - at, channel_->max_fds());
    auto set = set_irqs(kIrqDataEventfd | kIrqTrigger, at, n, std::span(numbers).subspan(at, n));
    if (!set) return set.error();
    at += n;
  }
  if (auto on = switch_msix_capability(true); !on) return on.error();
  const std::lock_guard guard(lock_);
  eventfds_ = std::move(*eventfds);
  return numbers;
}

Result<Done> VfioUserFunction::disable_msix() {
  if (auto off = switch_msix_capability(false); !off) return off.error();
  if (auto dropped = set_irqs(kIrqDataNone | kIrqTrigger, 0, 0, {}); !dropped) return dropped.error();
  const std::lock_guard guard(lock_);
  eventfds_.clear();
  return Done{};
}

Result<Done> VfioUserFunction::set_irqs(std::uint32_t flags, unsigned start, unsigned count,
                                        std::span<const int> eventfds) {
  const SetIrqs set{sizeof(SetIrqs), flags, kIrqMsix, start, count};
  const std::lock_guard guard(lock_);
  auto reply = channel_->request("set interrupts", Command::device_set_irqs, bytes_of(set), eventfds);
  if (!reply) return reply.error();
  return Done{};
}

// The enable bit of the MSI-X capability, so that the device sees what it would see from a kernel. A device without the
// capability is left alone.
Result<Done> VfioUserFunction::switch_msix_capability(bool on) {
  const auto status = config_read(kStatus, 2);
  if (!status) return status.error();
  if ((*status & kHasCapabilities) == 0) return Done{};
  const auto first = config_read(kCapabilityPointer, 1);
  if (!first) return first.error();
  std::uint32_t offset = *first & 0xfc;
  constexpr unsigned kMostCapabilities = 48;  // of 4 bytes in 192; ends a chain that bites its tail
  for (unsigned i = 0; i < kMostCapabilities && offset != 0; ++i) {
    const auto head = config_read(offset, 4);
    if (!head) return head.error();
    if ((*head & 0xff) == kMsixCapability) {
      const std::uint32_t control = *head >> 16;
      return config_write(offset + 2, 2, on ? control | kMsixEnable : control & ~kMsixEnable);
    }
    offset = *head >> 8 & 0xfc;
  }
  return Done{};
}

Result<std::uint32_t> VfioUserFunction::config_read(std::uint32_t offset, unsigned bytes) {
  check((bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0 && offset < kPage);
  std::uint32_t value = 0;
  auto read = read_region(kConfigRegion, offset, std::as_writable_bytes(std::span(&value, 1)).first(bytes));
  if (!read) return read.error();
  return value;
}

Result<Done> VfioUserFunction::config_write(std::uint32_t offset, unsigned bytes, std::uint32_t value) {
  check((bytes == 1 || bytes == 2 || bytes == 4) && offset % bytes == 0 && offset < kPage);
  return write_region(kConfigRegion, offset, bytes_of(value).first(bytes), false);
}

Result<Done> VfioUserFunction::reset() {
  const std::lock_guard guard(lock_);
  auto reply = channel_->request("reset", Command::device_reset, {});
  if (!reply) return reply.error();
  return Done{};
}

bool VfioUserFunction::alive() const noexcept {
  if (channel_->alive()) return true;
  const std::lock_guard guard(lock_);
  pages_.show_ones();
  return false;
}

}  // namespace vigia::hw
