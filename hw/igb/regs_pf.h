// SPDX-License-Identifier: Apache-2.0
// 82576 and I350 physical function, BAR0: the registers that decide which pool gets a frame, and what mirrors. Offsets
// and bits: Intel 82576 datasheet chapter 8 (82599 reference 9.3 and 17). What only a driver of the whole function
// needs is not here: Linux's igb is that driver.
#pragma once

#include <cstdint>

#include "hw/mmio.h"

namespace vigia::hw::igb::pf {

template <Access A, std::uint32_t Count = 1, auto At = Linear{0, 4}>
using R = Reg<A, Count, At>;
inline constexpr auto RO = Access::read_only, WO = Access::write_only, RW = Access::read_write;

constexpr std::uint32_t kBarSize = 128 * 1024;
constexpr unsigned kPools = 8, kRars82576 = 24, kRarsI350 = 32, kVlvfs = 32, kMirrorRules = 4, kHashWords = 128;

// Receive addresses: 16 in one place, the rest in another. RAH holds the pools of its address.
inline constexpr R<RW, kRarsI350, Split{0x05400, 0x054E0, 16, 8}> RAL{"RAL"};
inline constexpr R<RW, kRarsI350, Split{0x05404, 0x054E4, 16, 8}> RAH{"RAH"};
// Hash tables of multicast and unicast addresses, 4096 bits each. UTA cannot be read.
inline constexpr R<RW, kHashWords, Linear{0x05200, 4}> MTA{"MTA"};
inline constexpr R<WO, kHashWords, Linear{0x0A000, 4}> UTA{"UTA"};
// Pools: what each accepts besides its addresses; its VLANs; its enables.
inline constexpr R<RW, kPools, Linear{0x05AD0, 4}> VMOLR{"VMOLR"};
inline constexpr R<RW, kVlvfs, Linear{0x05D00, 4}> VLVF{"VLVF"};
inline constexpr R<RW, 1, Linear{0x00C8C, 0}> VFRE{"VFRE"};
inline constexpr R<RW, 1, Linear{0x00C90, 0}> VFTE{"VFTE"};
inline constexpr R<RW, 1, Linear{0x0581C, 0}> VT_CTL{"VT_CTL"};
// Switch control: the 82576's, and the I350's place for it.
inline constexpr R<RW, 1, Linear{0x03500, 0}> DTXSWC{"DTXSWC"};
inline constexpr R<RW, 1, Linear{0x05ACC, 0}> TXSWC{"TXSWC"};
// Mirror rules.
inline constexpr R<RW, kMirrorRules, Linear{0x05D80, 4}> VMRCTL{"VMRCTL"};
inline constexpr R<RW, kMirrorRules, Linear{0x05D90, 4}> VMRVLAN{"VMRVLAN"};
inline constexpr R<RW, kMirrorRules, Linear{0x05DA0, 4}> VMRVM{"VMRVM"};

namespace Rah {
constexpr std::uint32_t av = 1u << 31;
constexpr unsigned pools_shift = 18;  // [25:18]
constexpr std::uint32_t pools_mask = 0xffu << pools_shift;
}  // namespace Rah

namespace Vlvf {
constexpr std::uint32_t vi_en = 1u << 31, vid_mask = 0xfff;
constexpr unsigned pools_shift = 12;  // [19:12]
constexpr std::uint32_t pools_mask = 0xffu << pools_shift;
}  // namespace Vlvf

namespace Dtxswc {
constexpr std::uint32_t loopback = 1u << 31;
}  // namespace Dtxswc

namespace Vmrctl {
constexpr std::uint32_t pool = 1u << 0, uplink = 1u << 1, downlink = 1u << 2, vlan = 1u << 3, types = 0xf;
constexpr unsigned destination_shift = 8;  // [10:8]
constexpr std::uint32_t destination_mask = 7u << destination_shift;
}  // namespace Vmrctl

}  // namespace vigia::hw::igb::pf
