// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_user_function.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vigia::hw {

using namespace vfio_user;

namespace {

constexpr std::uint64_t kPage = 4096;
// First address given out: above 4 GiB, so that a device that drops the upper half of an address is found out at once.
constexpr std::uint64_t kFirstIova = 1ull << 32;
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
  std::vector<SparseArea> areas;  // mappable; inside the region, page aligned
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
    for (const auto& [iova, bytes] : dma_) {
      const DmaUnmap unmap{sizeof(DmaUnmap), 0, iova, bytes};
      (void)channel_->request("unmap DMA memory", Command::dma_unmap, bytes_of(unmap));
    }
  }
  channel_.reset();
  for (const auto& pages : mapped_) ::munmap(pages.data(), pages.size());
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
  if ((info.flags & kRegionCaps) == 0) {
    region.areas.push_back({0, info.size});
    return region;
  }
  SparseMmapCap cap{};
  std::size_t at = info.cap_offset;
  const auto& payload = reply->payload;
  if (at > payload.size() || payload.size() - at < sizeof cap) return senseless(what, name_);
  std::memcpy(&cap, payload.data() + at, sizeof cap);
  at += sizeof cap;
  if (cap.id != 1 || (payload.size() - at) / sizeof(SparseArea) < cap.num_areas) return senseless(what, name_);
  for (std::uint32_t i = 0; i < cap.num_areas; ++i, at += sizeof(SparseArea)) {
    SparseArea area{};
    std::memcpy(&area, payload.data() + at, sizeof area);
    if (area.size == 0 || area.offset % kPage != 0 || area.size % kPage != 0 || area.offset > info.size ||
        area.size > info.size - area.offset) {
      return senseless(what, name_);
    }
    region.areas.push_back(area);
  }
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
    auto windows = map_windows(index, region);
    if (!windows) return windows.error();
    region.trap = std::make_unique<RegionTrap>(*this, index);
    region.bar = std::make_unique<Bar>(static_cast<std::uint32_t>(region.size), *region.trap, std::move(*windows));
  }
  return region.bar.get();
}

Result<std::vector<Bar::Window>> VfioUserFunction::map_windows(unsigned index, Region& region) {
  std::vector<Bar::Window> windows;
  for (const SparseArea& area : region.areas) {
    void* p = ::mmap(nullptr, area.size, PROT_READ | PROT_WRITE, MAP_SHARED, region.file.get(),
                     static_cast<off_t>(region.file_offset + area.offset));
    if (p == MAP_FAILED) return os_error(fmt::format("map registers of BAR {} of {}", index, name_));
    const std::span<std::byte> pages(static_cast<std::byte*>(p), area.size);
    mapped_.push_back(pages);
    windows.push_back({static_cast<std::uint32_t>(area.offset), pages});
  }
  return windows;
}

Result<Done> VfioUserFunction::read_region(unsigned index, std::uint64_t offset, std::span<std::byte> out) {
  const RegionAccess access{offset, index, static_cast<std::uint32_t>(out.size())};
  const std::lock_guard guard(lock_);
  auto reply = channel_->request("read registers", Command::region_read, bytes_of(access));
  if (!reply) {
    if (!channel_->alive()) show_ones();
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
  if (!channel_->alive()) show_ones();
  return reply.error();
}

Result<Iova> VfioUserFunction::map_dma(const DmaMemory& memory) {
  const std::lock_guard guard(lock_);
  // First gap that is large enough, aligned to the memory's own pages.
  std::uint64_t iova = kFirstIova;
  const std::uint64_t page = std::max<std::uint64_t>(memory.page_size(), kPage);
  for (const auto& [start, bytes] : dma_) {
    if (iova + memory.size() <= start) break;
    iova = (start + bytes + page - 1) / page * page;
  }
  const DmaMap map{sizeof(DmaMap), kDmaRead | kDmaWrite, 0, iova, memory.size()};
  const std::array<int, 1> fds{memory.fd()};
  auto reply = channel_->request("map DMA memory", Command::dma_map, bytes_of(map), fds);
  if (!reply) return reply.error();
  dma_.emplace(iova, memory.size());
  return Iova{iova};
}

Result<Done> VfioUserFunction::unmap_dma(Iova iova, std::size_t bytes) {
  const std::lock_guard guard(lock_);
  const auto mapping = dma_.find(to_integer(iova));
  if (mapping == dma_.end() || mapping->second != bytes) {
    return work_error(
        fmt::format("unmap DMA memory on {}: {:#x} + {} is no mapping of it", name_, to_integer(iova), bytes));
  }
  const DmaUnmap unmap{sizeof(DmaUnmap), 0, to_integer(iova), bytes};
  auto reply = channel_->request("unmap DMA memory", Command::dma_unmap, bytes_of(unmap));
  if (!reply) return reply.error();
  dma_.erase(mapping);
  return Done{};
}

Result<std::vector<int>> VfioUserFunction::enable_msix(unsigned count) {
  if (count == 0 || count > msix_vectors_) {
    return work_error(fmt::format("enable {} MSI-X vectors on {}: it has {}", count, name_, msix_vectors_));
  }
  if (auto off = disable_msix(); !off) return off.error();
  std::vector<Fd> eventfds;
  std::vector<int> numbers;
  for (unsigned i = 0; i < count; ++i) {
    eventfds.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!eventfds.back()) return os_error("create an eventfd for an interrupt of " + name_);
    numbers.push_back(eventfds.back().get());
  }
  for (unsigned at = 0; at < count;) {
    const unsigned n = std::min(count - at, channel_->max_fds());
    auto set = set_irqs(kIrqDataEventfd | kIrqTrigger, at, n, std::span(numbers).subspan(at, n));
    if (!set) return set.error();
    at += n;
  }
  if (auto on = switch_msix_capability(true); !on) return on.error();
  const std::lock_guard guard(lock_);
  eventfds_ = std::move(eventfds);
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
  show_ones();
  return false;
}

// Replaces the mapped register pages, each in one step (mremap), so that a thread that reads them meanwhile sees the
// old page or ones and never a hole. Caller holds the lock.
void VfioUserFunction::show_ones() const noexcept {
  if (std::exchange(ones_shown_, true)) return;
  for (const auto& pages : mapped_) {
    void* ones = ::mmap(nullptr, pages.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ones == MAP_FAILED) continue;  // out of memory: the last values stay, and alive() says what they are worth
    std::memset(ones, 0xff, pages.size());
    if (::mremap(ones, pages.size(), pages.size(), MREMAP_MAYMOVE | MREMAP_FIXED, pages.data()) == MAP_FAILED) {
      ::munmap(ones, pages.size());
    }
  }
}

}  // namespace vigia::hw
