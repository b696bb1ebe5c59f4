// SPDX-License-Identifier: Apache-2.0
// The kernel's interface of /dev/iommu and of VFIO's character devices: the headers that this is built with may be
// older than the kernel that it runs on. Source: linux/iommufd.h and linux/vfio.h of Linux 6.6.
#pragma once

#include <linux/vfio.h>

#include <cstdint>

namespace vigia::hw::iommufd {

// _IO(';', 0x80 + n): numbers without a size, each structure begins with its own.
constexpr unsigned long command(unsigned number) { return _IO(';', number); }
inline constexpr unsigned long kIoasAlloc = command(0x81), kIoasIovaRanges = command(0x84), kIoasMap = command(0x85),
                               kIoasUnmap = command(0x86);
inline constexpr unsigned long kDeviceBind = command(VFIO_BASE + 18), kDeviceAttach = command(VFIO_BASE + 19);

struct IoasAlloc {
  std::uint32_t size, flags, out_ioas_id;
};
static_assert(sizeof(IoasAlloc) == 12);

struct IovaRange {
  std::uint64_t start, last;
};
struct IoasIovaRanges {
  std::uint32_t size, ioas_id, num_iovas, reserved;
  std::uint64_t allowed_iovas;  // address of that many IovaRange
  std::uint64_t out_iova_alignment;
};
static_assert(sizeof(IoasIovaRanges) == 32);

inline constexpr std::uint32_t kMapFixedIova = 1, kMapWriteable = 2, kMapReadable = 4;
struct IoasMap {
  std::uint32_t size, flags, ioas_id, reserved;
  std::uint64_t user_va, length, iova;
};
static_assert(sizeof(IoasMap) == 40);

struct IoasUnmap {
  std::uint32_t size, ioas_id;
  std::uint64_t iova, length;
};
static_assert(sizeof(IoasUnmap) == 24);

struct DeviceBind {
  std::uint32_t argsz, flags;
  std::int32_t iommufd;
  std::uint32_t out_devid;
};
static_assert(sizeof(DeviceBind) == 16);

struct DeviceAttach {
  std::uint32_t argsz, flags, pt_id;
};
static_assert(sizeof(DeviceAttach) == 12);

}  // namespace vigia::hw::iommufd
