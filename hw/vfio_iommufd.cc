// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_iommufd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "hw/iommufd_abi.h"
#include "hw/vfio_refusal.h"

namespace vigia::hw {
namespace {

constexpr const char* kIommu = "/dev/iommu";

std::string node_of(const PciFacts& facts) { return "/dev/vfio/devices/" + facts.vfio_device; }

// Asks twice: how many ranges, then all of them.
Result<IommuLimits> ask_limits(int iommufd, std::uint32_t ioas, const std::string& name) {
  const std::string what = "ask for the IOMMU's limits of " + name;
  iommufd::IoasIovaRanges ask{};
  ask.size = sizeof ask;
  ask.ioas_id = ioas;
  if (::ioctl(iommufd, iommufd::kIoasIovaRanges, &ask) != 0 && errno != EMSGSIZE) return os_error(what);
  constexpr std::uint32_t kMost = 1u << 16;
  if (ask.num_iovas == 0 || ask.num_iovas > kMost) return work_error(what + ": the kernel's reply makes no sense");
  std::vector<iommufd::IovaRange> ranges(ask.num_iovas);
  ask.allowed_iovas = reinterpret_cast<std::uintptr_t>(ranges.data());  // SAFETY: the kernel writes num_iovas of them
  if (::ioctl(iommufd, iommufd::kIoasIovaRanges, &ask) != 0) return os_error(what);
  // The alignment is the IOMMU's smallest page.
  if (ask.num_iovas != ranges.size() || ask.out_iova_alignment == 0) {
    return work_error(what + ": the kernel's reply makes no sense");
  }
  IommuLimits limits{ask.out_iova_alignment, {}};
  for (const iommufd::IovaRange& r : ranges) limits.valid.push_back({r.start, r.last});
  return limits;
}

}  // namespace

bool VfioIommufd::offered(const PciFacts& facts) {
  return !facts.vfio_device.empty() && ::access(kIommu, R_OK | W_OK) == 0 &&
         ::access(node_of(facts).c_str(), R_OK | W_OK) == 0;
}

Result<std::unique_ptr<VfioIommu>> VfioIommufd::open(const PciFacts& facts) {
  const std::string name = "vfio:" + facts.address.text(), node = node_of(facts);
  Fd iommufd(::open(kIommu, O_RDWR | O_CLOEXEC));
  if (!iommufd) return os_error(fmt::format("open {}: open {}", name, kIommu));
  Fd device(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  if (!device) return vfio_cdev_refused(facts, node, errno);
  iommufd::DeviceBind bind{};
  bind.argsz = sizeof bind;
  bind.iommufd = iommufd.get();
  if (::ioctl(device.get(), iommufd::kDeviceBind, &bind) != 0) return vfio_cdev_refused(facts, node, errno);
  iommufd::IoasAlloc space{};
  space.size = sizeof space;
  if (::ioctl(iommufd.get(), iommufd::kIoasAlloc, &space) != 0) {
    return os_error(fmt::format("open {}: ask {} for an address space", name, kIommu));
  }
  iommufd::DeviceAttach attach{};
  attach.argsz = sizeof attach;
  attach.pt_id = space.out_ioas_id;
  if (::ioctl(device.get(), iommufd::kDeviceAttach, &attach) != 0) return vfio_iommu_refused(facts, errno);
  auto limits = ask_limits(iommufd.get(), space.out_ioas_id, name);
  if (!limits) return limits.error();
  return std::unique_ptr<VfioIommu>(
      new VfioIommufd(name, std::move(iommufd), std::move(device), space.out_ioas_id, std::move(*limits)));
}

VfioIommufd::VfioIommufd(const std::string& name, Fd iommufd, Fd device, std::uint32_t ioas, IommuLimits limits)
    : TranslatingIommu(name, std::move(limits)),
      iommufd_(std::move(iommufd)),
      device_(std::move(device)),
      ioas_(ioas) {}

Result<Fd> VfioIommufd::open_device() {
  check(static_cast<bool>(device_));
  return std::move(device_);
}

int VfioIommufd::map_in_kernel(const void* memory, std::uint64_t iova, std::uint64_t bytes) {
  iommufd::IoasMap map{};
  map.size = sizeof map;
  map.flags = iommufd::kMapFixedIova | iommufd::kMapWriteable | iommufd::kMapReadable;
  map.ioas_id = ioas_;
  map.user_va = reinterpret_cast<std::uintptr_t>(memory);  // SAFETY: only the kernel dereferences it
  map.length = bytes;
  map.iova = iova;
  return ::ioctl(iommufd_.get(), iommufd::kIoasMap, &map) == 0 ? 0 : errno;
}

int VfioIommufd::unmap_in_kernel(std::uint64_t iova, std::uint64_t bytes) {
  iommufd::IoasUnmap unmap{};
  unmap.size = sizeof unmap;
  unmap.ioas_id = ioas_;
  unmap.iova = iova;
  unmap.length = bytes;
  return ::ioctl(iommufd_.get(), iommufd::kIoasUnmap, &unmap) == 0 ? 0 : errno;
}

}  // namespace vigia::hw
