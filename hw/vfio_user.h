// SPDX-License-Identifier: Apache-2.0
// The vfio-user protocol on the wire: what client (VfioUserFunction) and server (softnic) share. Source: QEMU's
// docs/interop/vfio-user.rst, and what QEMU 11.1 was seen to send. All integers are little-endian here (x86 hosts).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vigia::hw::vfio_user {

enum class Command : std::uint16_t {
  version = 1,
  dma_map = 2,
  dma_unmap = 3,
  device_get_info = 4,
  device_get_region_info = 5,
  device_get_region_io_fds = 6,
  device_get_irq_info = 7,
  device_set_irqs = 8,
  region_read = 9,
  region_write = 10,
  dma_read = 11,
  dma_write = 12,
  device_reset = 13,
  region_write_multi = 15,
  device_feature = 16,
};

struct Header {
  std::uint16_t id;       // chosen by the requester, echoed
  std::uint16_t command;  // Command, echoed
  std::uint32_t size;     // whole message, header included
  std::uint32_t flags;    // kReply | kNoReply | kError
  std::uint32_t error;    // positive errno when kError is set
};
static_assert(sizeof(Header) == 16 && offsetof(Header, size) == 4 && offsetof(Header, error) == 12);

constexpr std::uint32_t kTypeMask = 0xf, kRequest = 0, kReply = 1, kNoReply = 0x10, kError = 0x20;

// Transfers up to this many bytes of payload data (QEMU's default; at most 64 MiB by its rules).
constexpr std::uint32_t kMaxDataTransfer = 1u << 20;
// Largest message either side accepts: a full transfer and the largest fixed part.
constexpr std::uint32_t kMaxMessage = kMaxDataTransfer + 64;
// Descriptors in one message. QEMU refuses more than 16.
constexpr unsigned kMaxFds = 16;

struct Version {
  std::uint16_t major, minor;  // 0.0: QEMU refuses another minor; JSON text with a final NUL follows
};
static_assert(sizeof(Version) == 4);

struct DmaMap {
  std::uint32_t argsz, flags;  // flags: kDmaRead | kDmaWrite
  std::uint64_t offset;        // in the file that comes with the message
  std::uint64_t address, size;
};
static_assert(sizeof(DmaMap) == 32 && offsetof(DmaMap, address) == 16);
constexpr std::uint32_t kDmaRead = 1, kDmaWrite = 2;

struct DmaUnmap {
  std::uint32_t argsz, flags;  // flags: kUnmapAll, then address and size are 0
  std::uint64_t address, size;
};
static_assert(sizeof(DmaUnmap) == 24);
constexpr std::uint32_t kUnmapAll = 2;

struct DeviceInfo {
  std::uint32_t argsz, flags, num_regions, num_irqs;
};
static_assert(sizeof(DeviceInfo) == 16);
constexpr std::uint32_t kDeviceReset = 1, kDevicePci = 2;

struct RegionInfo {
  std::uint32_t argsz, flags, index, cap_offset;
  std::uint64_t size, offset;
};
static_assert(sizeof(RegionInfo) == 32 && offsetof(RegionInfo, size) == 16);
constexpr std::uint32_t kRegionRead = 1, kRegionWrite = 2, kRegionMmap = 4, kRegionCaps = 8;
constexpr unsigned kConfigRegion = 7, kNumRegions = 9;

struct SparseMmapCap {
  std::uint16_t id, version;  // 1, 1
  std::uint32_t next;
  std::uint32_t num_areas, reserved;
};
struct SparseArea {
  std::uint64_t offset, size;
};
static_assert(sizeof(SparseMmapCap) == 16 && sizeof(SparseArea) == 16);

struct IrqInfo {
  std::uint32_t argsz, flags, index, count;
};
static_assert(sizeof(IrqInfo) == 16);
constexpr std::uint32_t kIrqEventfd = 1;
constexpr unsigned kIrqIntx = 0, kIrqMsi = 1, kIrqMsix = 2, kIrqErr = 3, kIrqReq = 4, kNumIrqs = 5;

struct SetIrqs {
  std::uint32_t argsz, flags, index, start, count;
};
static_assert(sizeof(SetIrqs) == 20);
constexpr std::uint32_t kIrqDataNone = 1, kIrqDataBool = 2, kIrqDataEventfd = 4;
constexpr std::uint32_t kIrqMask = 8, kIrqUnmask = 0x10, kIrqTrigger = 0x20;

struct RegionAccess {  // REGION_READ and REGION_WRITE; data follow a write request and a read reply
  std::uint64_t offset;
  std::uint32_t region, count;
};
static_assert(sizeof(RegionAccess) == 16);

struct WriteMultiEntry {
  std::uint64_t offset;
  std::uint32_t region, count;  // count <= 8
  std::uint8_t data[8];
};
static_assert(sizeof(WriteMultiEntry) == 24);

}  // namespace vigia::hw::vfio_user
