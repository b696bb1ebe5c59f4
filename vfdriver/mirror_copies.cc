// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/mirror_copies.h"

#include <algorithm>
#include <cstring>

namespace vigia::vf {
namespace {

enum class Reaches { no, perhaps, yes };

bool has(const std::vector<hw::Mac>& macs, const hw::Mac& mac) noexcept {
  return std::find(macs.begin(), macs.end(), mac) != macs.end();
}

// Whether the frame, in this form, with or without its tag, comes to the tenant if it is sent to everybody. A copy that
// another mirror made before a tag was added or taken has another length and is no duplicate.
Reaches reaches(const MirroredTenant& tenant, const MirroredTenant* sender,
                std::optional<std::uint16_t> vlan) noexcept {
  if (vlan) {
    if (tenant.port_vlan) return Reaches::no;
    const bool member =
        tenant.vlans.empty() || std::find(tenant.vlans.begin(), tenant.vlans.end(), *vlan) != tenant.vlans.end();
    return member ? Reaches::yes : Reaches::no;
  }
  const std::optional<std::uint16_t> from = sender != nullptr ? sender->port_vlan : std::nullopt;
  if (sender != nullptr) return tenant.port_vlan == from ? Reaches::yes : Reaches::no;
  // From outside, where it may have had the tag.
  return tenant.port_vlan ? Reaches::perhaps : Reaches::yes;
}

}  // namespace

std::optional<FrameAddresses> addresses_of(std::span<const std::byte> frame) noexcept {
  constexpr std::size_t kHeader = 14, kTagged = 18;
  const auto word = [&](std::size_t at) {
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(frame[at]) << 8 |
                                      std::to_integer<unsigned>(frame[at + 1]));
  };
  if (frame.size() < kHeader) return std::nullopt;
  FrameAddresses out;
  std::memcpy(out.destination.bytes.data(), frame.data(), 6);
  std::memcpy(out.source.bytes.data(), frame.data() + 6, 6);
  const std::uint16_t type = word(12);
  if ((type == 0x8100 || type == 0x88a8) && frame.size() >= kTagged) {
    const auto vid = static_cast<std::uint16_t>(word(14) & 0xfff);
    if (vid != 0) out.vlan = vid;
  }
  return out;
}

Copies copies_of(const MirrorRules& rules, const FrameAddresses& frame) noexcept {
  const MirroredTenant* sender = nullptr;
  for (const MirroredTenant& tenant : rules.tenants) {
    if (has(tenant.macs, frame.source)) sender = &tenant;
  }
  unsigned least = 0, most = rules.once ? 1 : 0;
  if (sender != nullptr && sender->sends) ++least, ++most;
  for (const MirroredTenant& tenant : rules.tenants) {
    if (!tenant.receives || &tenant == sender) continue;
    if (!frame.destination.multicast() && !has(tenant.macs, frame.destination)) continue;
    const Reaches how = reaches(tenant, sender, frame.vlan);
    // A switch may know who has joined a group.
    const bool sure = how == Reaches::yes && (!frame.destination.multicast() || frame.destination.broadcast());
    const bool own = !frame.destination.multicast() && how != Reaches::no;
    if (sure || own) ++least;
    if (how != Reaches::no) ++most;
  }
  // The agent's own interface may be on the same switch.
  if (!rules.tenants.empty() && (frame.destination.multicast() || has(rules.agent, frame.destination))) ++most;
  // It has come: by a mirror, or for a reason that is none of theirs.
  constexpr unsigned kMost = 255;
  return {static_cast<std::uint8_t>(std::clamp(least, 1u, kMost)),
          static_cast<std::uint8_t>(std::clamp(most, 1u, kMost))};
}

}  // namespace vigia::vf
