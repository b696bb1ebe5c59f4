// SPDX-License-Identifier: Apache-2.0
// Virtqueues as they lie in memory: virtio 1.2, sections 2.7 (split) and 2.8 (packed); the network device's
// header, 5.1.6. Facts only. Little-endian, as the machines we run on.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace vigia::hw::virtio {

static_assert(std::endian::native == std::endian::little, "rings are used in memory as the standard lays them out");

// Feature bits (2.2, 5.1.3, 6).
namespace Feature {
constexpr std::uint64_t net_mtu = 1ull << 3, net_mac = 1ull << 5,
                        net_status = 1ull << 16;  // fields of its configuration
constexpr std::uint64_t net_mergeable_buffers = 1ull << 15;
constexpr std::uint64_t event_index = 1ull << 29;
constexpr std::uint64_t vhost_user_protocol = 1ull << 30;  // of the vhost-user protocol, not of virtio
constexpr std::uint64_t version_1 = 1ull << 32;
constexpr std::uint64_t access_platform = 1ull << 33;  // addresses are those of an IOMMU
constexpr std::uint64_t packed_ring = 1ull << 34;
}  // namespace Feature

// Flags of a descriptor. avail and used: packed rings only.
namespace DescriptorFlag {
constexpr std::uint16_t next = 1, write = 2, avail = 1u << 7, used = 1u << 15;
}  // namespace DescriptorFlag

// 2.7.5
struct SplitDescriptor {
  std::uint64_t address;
  std::uint32_t length;
  std::uint16_t flags, next;
};
static_assert(sizeof(SplitDescriptor) == 16);

// 2.7.8: behind these two come 32-bit pairs.
struct UsedElement {
  std::uint32_t id, length;
};
static_assert(sizeof(UsedElement) == 8);

// Both 2.7.6 and 2.7.8 begin with flags and index, 16 bits each.
constexpr std::size_t kRingHeader = 4;
constexpr std::uint16_t kNoInterrupt = 1;  // flags of the available ring
constexpr std::uint16_t kNoNotify = 1;     // flags of the used ring

// 2.8.13
struct PackedDescriptor {
  std::uint64_t address;
  std::uint32_t length;
  std::uint16_t id, flags;
};
static_assert(sizeof(PackedDescriptor) == 16);

// 2.8.14: what a side wants to be told.
struct EventSuppression {
  std::uint16_t position;  // bits 14:0 offset, bit 15 wrap counter
  std::uint16_t flags;
};
static_assert(sizeof(EventSuppression) == 4);
constexpr std::uint16_t kEventsOn = 0, kEventsOff = 1, kEventsAt = 2;

// Offsets of the three parts of a queue in one piece of memory. Packed: descriptors, driver's and device's event words.
struct QueueParts {
  std::size_t descriptors, driver, device, bytes;
};
constexpr QueueParts parts_of(unsigned size, bool packed) {
  const std::size_t descriptors = std::size_t{16} * size;
  if (packed) return {0, descriptors, descriptors + 64, descriptors + 128};
  const std::size_t avail = kRingHeader + 2 * std::size_t{size} + 2;
  // The elements begin a line, so that none lies in two lines, nor in two pages: QEMU, where an IOMMU translates page
  // by page, then writes its length elsewhere. The header before them needs 4 bytes' alignment only (2.7).
  const std::size_t used = (descriptors + avail + kRingHeader + 63) / 64 * 64 - kRingHeader;
  return {0, descriptors, used, used + kRingHeader + sizeof(UsedElement) * size + 2};
}

// 5.1.6: before each frame; 12 bytes with version 1.
struct NetHeader {
  std::uint8_t flags, gso_type;
  std::uint16_t header_length, gso_size, checksum_start, checksum_offset;
  std::uint16_t buffers;  // that the frame lies in, with net_mergeable_buffers
};
static_assert(sizeof(NetHeader) == 12);

// Whether a side that asked to be told when index `event` is passed must be told after old moved to now (2.7.7.1).
constexpr bool passed(std::uint16_t event, std::uint16_t now, std::uint16_t old) {
  return static_cast<std::uint16_t>(now - event - 1) < static_cast<std::uint16_t>(now - old);
}

}  // namespace vigia::hw::virtio
