// SPDX-License-Identifier: Apache-2.0
// The vhost-user protocol's messages, as QEMU documents them (docs/interop/vhost-user.rst). Facts only.
#pragma once

#include <array>
#include <cstdint>

namespace vigia::hw::vhost_user {

enum class Request : std::uint32_t {
  get_features = 1,
  set_features = 2,
  set_owner = 3,
  set_mem_table = 5,
  set_vring_num = 8,
  set_vring_addr = 9,
  set_vring_base = 10,
  get_vring_base = 11,
  set_vring_kick = 12,
  set_vring_call = 13,
  get_protocol_features = 15,
  set_protocol_features = 16,
  set_vring_enable = 18,
};

struct Header {
  Request request;
  std::uint32_t flags;
  std::uint32_t bytes;  // of the payload that follows
};
static_assert(sizeof(Header) == 12);

namespace Flag {
constexpr std::uint32_t version = 1, version_mask = 3, reply = 1u << 2, need_reply = 1u << 3;
}  // namespace Flag

namespace Protocol {
constexpr std::uint64_t reply_ack = 1ull << 3;
}  // namespace Protocol

// Payloads. Others are one 64-bit number; of kick and call its low byte is the ring's index.
struct VringState {
  std::uint32_t index, value;
};
struct VringAddress {
  std::uint32_t index, flags;
  std::uint64_t descriptors, used, available, log;  // addresses in the front end's memory
};
static_assert(sizeof(VringAddress) == 40);
struct MemoryRegion {
  std::uint64_t guest_address, bytes, user_address, mmap_offset;
};
// With a single region, whose descriptor rides on the message.
struct MemoryTable {
  std::uint32_t regions, padding;
  MemoryRegion region;
};
static_assert(sizeof(MemoryTable) == 40);

constexpr std::uint64_t kRingIndexMask = 0xff;

}  // namespace vigia::hw::vhost_user
