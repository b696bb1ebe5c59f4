// SPDX-License-Identifier: Apache-2.0
// The parts of a device region that can be mapped, from the capability chain of its region information. The same bytes
// from Linux (VFIO_DEVICE_GET_REGION_INFO) and from a vfio-user server. Source: linux/vfio.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace vigia::hw {

struct MappableArea {
  std::uint64_t offset, size;  // bytes; inside the region, page aligned
  friend bool operator==(const MappableArea&, const MappableArea&) = default;
};

// info: the whole reply, its header included; cap_offset: of the first capability in it. Without a sparse capability in
// the chain: the whole region. Empty: the chain makes no sense (outside the reply, looping, areas outside the region).
std::optional<std::vector<MappableArea>> parse_mappable_areas(std::span<const std::byte> info, std::uint32_t cap_offset,
                                                              std::uint64_t region_size);

}  // namespace vigia::hw
