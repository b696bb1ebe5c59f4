// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_function.h"

#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "hw/eventfds.h"
#include "hw/log.h"
#include "hw/vfio_container.h"
#include "hw/vfio_iommufd.h"
#include "hw/vfio_no_iommu.h"
#include "hw/vfio_refusal.h"

namespace vigia::hw {

Result<std::unique_ptr<VfioFunction>> VfioFunction::open(const std::string& name, const PciAddress& address) {
  const PciFacts facts = look_at(address);
  if (auto refusal = why_not_vfio(facts)) return *refusal;
  const bool iommufd = VfioIommufd::offered(facts);
  log::debug("{}: by {}", name, iommufd ? "iommufd" : "group and container");
  return open_behind(name, address, iommufd ? VfioIommufd::open(facts) : VfioContainer::open(facts));
}

Result<std::unique_ptr<VfioFunction>> VfioFunction::open_unprotected(const std::string& name,
                                                                     const PciAddress& address) {
  const PciFacts facts = look_at(address);
  if (auto refusal = why_not_no_iommu(facts)) return *refusal;
  log::warning(
      "{}: no IOMMU stands between this device and memory: a wrong address of driver or device overwrites any "
      "program or the kernel, and the kernel is marked as tainted",
      name);
  return open_behind(name, address, VfioNoIommu::open(facts));
}

Result<std::unique_ptr<VfioFunction>> VfioFunction::open_behind(const std::string& name, const PciAddress& address,
                                                                Result<std::unique_ptr<VfioIommu>> iommu) {
  if (!iommu) return iommu.error();
  auto device = (*iommu)->open_device();
  if (!device) return device.error();
  vfio_device_info info{};
  info.argsz = sizeof info;
  if (::ioctl(device->get(), VFIO_DEVICE_GET_INFO, &info) != 0) return os_error("ask what " + name + " is");
  if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0 || info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX) {
    return work_error(fmt::format("ask what {} is: VFIO shows no PCI device", name));
  }
  auto config = ask_region(device->get(), VFIO_PCI_CONFIG_REGION_INDEX, name);
  if (!config) return config.error();
  std::unique_ptr<VfioFunction> function(
      new VfioFunction(name, address, std::move(*iommu), std::move(*device), std::move(*config)));  // private
  if (auto known = function->identify(); !known) return known.error();
  function->listen_for_removal();
  return function;
}

VfioFunction::VfioFunction(const std::string& name, const PciAddress& address, std::unique_ptr<VfioIommu> iommu,
                           Fd device, FileRange config)
    : KernelFunction(name, std::move(config)),
      iommu_(std::move(iommu)),
      device_(std::move(device)),
      faults_(IommuFaults::open(address)) {}

VfioFunction::~VfioFunction() {
  // Errors here would only say that the device is gone; closing it makes the kernel do the same.
  (void)set_bus_master(false);
  (void)disable_msix();
  (void)disable_intx();
  device_ = Fd();
}

Result<KernelFunction::FileRange> VfioFunction::ask_region(int device, unsigned index, const std::string& name) {
  const std::string what = fmt::format("ask for region {} of {}", index, name);
  vfio_region_info info{};
  info.argsz = sizeof info;
  info.index = index;
  if (::ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) != 0) return os_error(what);
  constexpr std::uint32_t kMost = 1u << 16;
  if (info.argsz > kMost) return work_error(what + ": the kernel's reply makes no sense");
  std::vector<std::byte> reply(std::max<std::size_t>(info.argsz, sizeof info));
  if (info.argsz > sizeof info) {  // there is more: ask again with room for it
    vfio_region_info again{};
    again.argsz = info.argsz;
    again.index = index;
    std::memcpy(reply.data(), &again, sizeof again);
    if (::ioctl(device, VFIO_DEVICE_GET_REGION_INFO, reply.data()) != 0) return os_error(what);
    std::memcpy(&info, reply.data(), sizeof info);
  }
  FileRange range{device, info.offset, info.size, {}};
  if (info.size == 0 || (info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0) return range;
  const std::uint32_t chain = (info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 ? info.cap_offset : 0;
  auto areas = parse_mappable_areas(reply, chain, info.size);
  if (!areas) return work_error(what + ": the kernel's reply makes no sense");
  range.areas = std::move(*areas);
  return range;
}

Result<KernelFunction::FileRange> VfioFunction::find_bar(unsigned index) {
  return ask_region(device_.get(), VFIO_PCI_BAR0_REGION_INDEX + index, name());
}

Result<DmaMemory> VfioFunction::allocate_dma(std::size_t bytes, std::string_view purpose) {
  return iommu_->allocate(bytes, purpose);
}

Result<Iova> VfioFunction::map_dma(const DmaMemory& memory) {
  const std::lock_guard guard(lock_);
  return iommu_->map(memory);
}

Result<Done> VfioFunction::unmap_dma(Iova iova, std::size_t bytes) {
  const std::lock_guard guard(lock_);
  return iommu_->unmap(iova, bytes);
}

Result<Done> VfioFunction::set_irqs(unsigned index, const std::vector<int>& eventfds) {
  const std::size_t data = eventfds.size() * sizeof(std::int32_t);
  vfio_irq_set head{};
  std::vector<std::byte> request(sizeof head + data);
  head.argsz = static_cast<std::uint32_t>(request.size());
  head.flags = VFIO_IRQ_SET_ACTION_TRIGGER | (eventfds.empty() ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD);
  head.index = index;
  head.count = static_cast<std::uint32_t>(eventfds.size());
  std::memcpy(request.data(), &head, sizeof head);
  if (data != 0) std::memcpy(request.data() + sizeof head, eventfds.data(), data);
  if (::ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, request.data()) != 0) return os_error("set interrupts of " + name());
  return Done{};
}

Result<unsigned> VfioFunction::count_irqs(unsigned index) {
  vfio_irq_info info{};
  info.argsz = sizeof info;
  info.index = index;
  if (::ioctl(device_.get(), VFIO_DEVICE_GET_IRQ_INFO, &info) != 0) return os_error("ask for interrupts of " + name());
  return info.count;
}

Result<std::vector<int>> VfioFunction::enable_msix(unsigned count) {
  const auto there = count_irqs(VFIO_PCI_MSIX_IRQ_INDEX);
  if (!there) return there.error();
  if (count == 0 || count > *there) {
    return work_error(fmt::format("enable {} MSI-X vectors on {}: it has {}", count, name(), *there));
  }
  auto eventfds = make_eventfds(count, name());
  if (!eventfds) return eventfds.error();
  std::vector<int> numbers = numbers_of(*eventfds);
  const std::lock_guard guard(lock_);
  if (intx_) return work_error(fmt::format("enable MSI-X on {}: its INTx is on; disable that", name()));
  if (!eventfds_.empty()) {
    if (auto off = set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, {}); !off) return off.error();
  }
  eventfds_.clear();
  if (auto on = set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, numbers); !on) return on.error();
  eventfds_ = std::move(*eventfds);
  return numbers;
}

Result<Done> VfioFunction::disable_msix() {
  const std::lock_guard guard(lock_);
  if (eventfds_.empty()) return Done{};  // the kernel refuses to disable what is not enabled
  if (auto off = set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, {}); !off) return off;
  eventfds_.clear();
  return Done{};
}

Result<int> VfioFunction::enable_intx() {
  const auto there = count_irqs(VFIO_PCI_INTX_IRQ_INDEX);
  if (!there) return there.error();
  if (*there == 0) return work_error(fmt::format("enable INTx on {}: it has none", name()));
  auto fds = make_eventfds(1, name());
  if (!fds) return fds.error();
  const std::lock_guard guard(lock_);
  if (!eventfds_.empty()) return work_error(fmt::format("enable INTx on {}: its MSI-X is on; disable that", name()));
  if (intx_) return intx_.get();
  if (auto on = set_irqs(VFIO_PCI_INTX_IRQ_INDEX, numbers_of(*fds)); !on) return on.error();
  intx_ = std::move(fds->front());
  return intx_.get();
}

Result<Done> VfioFunction::unmask_intx() {
  vfio_irq_set request{};
  request.argsz = sizeof request;
  request.flags = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_NONE;
  request.index = VFIO_PCI_INTX_IRQ_INDEX;
  request.count = 1;
  if (::ioctl(device_.get(), VFIO_DEVICE_SET_IRQS, &request) != 0) return os_error("unmask INTx of " + name());
  return Done{};
}

Result<Done> VfioFunction::disable_intx() {
  const std::lock_guard guard(lock_);
  if (!intx_) return Done{};
  if (auto off = set_irqs(VFIO_PCI_INTX_IRQ_INDEX, {}); !off) return off;
  intx_ = Fd();
  return Done{};
}

std::optional<std::uint64_t> VfioFunction::stopped_accesses() {
  const std::lock_guard guard(lock_);
  if (faults_ == nullptr) return std::nullopt;
  return faults_->count();
}

void VfioFunction::listen_for_removal() {
  auto fds = make_eventfds(1, name());
  if (!fds || !set_irqs(VFIO_PCI_REQ_IRQ_INDEX, numbers_of(*fds))) return;
  removal_ = std::move(fds->front());
}

// The kernel signals when somebody unbinds the driver or pulls the device, and waits until it is closed.
bool VfioFunction::asked_to_leave() const noexcept {
  std::uint64_t events = 0;
  return removal_ && ::read(removal_.get(), &events, sizeof events) == sizeof events;
}

Result<Done> VfioFunction::reset() {
  if (::ioctl(device_.get(), VFIO_DEVICE_RESET) != 0) {
    return os_error(
        fmt::format("reset {} (the kernel knows no way to reset this function alone, or it is gone)", name()));
  }
  return Done{};
}

}  // namespace vigia::hw
