// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_group.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "hw/vfio_refusal.h"

namespace vigia::hw {

Result<VfioGroup> VfioGroup::open(const PciFacts& facts, unsigned long iommu) {
  const std::string name = "vfio:" + facts.address.text();
  Fd container(::open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
  if (!container) return vfio_container_refused(facts, errno);
  const int version = ::ioctl(container.get(), VFIO_GET_API_VERSION);
  if (version != VFIO_API_VERSION) {
    return work_error(
        fmt::format("open {}: the kernel speaks VFIO {}, this program speaks {}", name, version, VFIO_API_VERSION));
  }
  const std::string node =
      fmt::format("/dev/vfio/{}{}", iommu == VFIO_NOIOMMU_IOMMU ? "noiommu-" : "", facts.group.value());
  Fd group(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  if (!group) return vfio_group_refused(facts, errno);
  vfio_group_status status{};
  status.argsz = sizeof status;
  if (::ioctl(group.get(), VFIO_GROUP_GET_STATUS, &status) != 0) return os_error("ask for the state of " + node);
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) return vfio_group_not_viable(facts);
  const int fd = container.get();
  if (::ioctl(group.get(), VFIO_GROUP_SET_CONTAINER, &fd) != 0) return vfio_iommu_refused(facts, errno);
  if (::ioctl(fd, VFIO_SET_IOMMU, iommu) != 0) return vfio_iommu_refused(facts, errno);
  return VfioGroup{std::move(container), std::move(group)};
}

Result<Fd> VfioGroup::open_device(const PciFacts& facts) const {
  Fd device(::ioctl(group.get(), VFIO_GROUP_GET_DEVICE_FD, facts.address.text().c_str()));
  if (!device) return os_error(fmt::format("open vfio:{} in its group", facts.address.text()));
  return device;
}

}  // namespace vigia::hw
