// SPDX-License-Identifier: Apache-2.0
// 82576 and I350 virtual function, BAR0: one line per register (82576 datasheet, 8.26 to 8.28; 82599 reference, 17).
// Names as in the datasheet's PF map, whose registers these are for the VF.
#pragma once

#include "hw/mmio.h"

namespace vigia::hw::igb::vf {

template <Access A, std::uint32_t Count = 1, auto At = Linear{0, 4}>
using R = Reg<A, Count, At>;
inline constexpr auto RO = Access::read_only, WO = Access::write_only, RW = Access::read_write,
                      RC = Access::read_clears, W1C = Access::write_1_clears;

constexpr std::uint32_t kBarSize = 16 * 1024;
constexpr unsigned kMaxQueues = 2, kMsixVectors = 3;

inline constexpr R<WO, 1, Linear{0x0000, 0}> CTRL{"CTRL"};
inline constexpr R<RO, 1, Linear{0x0008, 0}> STATUS{"STATUS"};
inline constexpr R<RO, 1, Linear{0x1048, 0}> FRTIMER{"FRTIMER"};
inline constexpr R<RW, 16, Linear{0x0800, 4}> VMBMEM{"VMBMEM"};
inline constexpr R<RW, 1, Linear{0x0C40, 0}> V2PMAILBOX{"V2PMAILBOX"};
inline constexpr R<RW, 1, Linear{0x0F04, 0}> PBACL{"PBACL"};
inline constexpr R<RW, 1, Linear{0x0F0C, 0}> PSRTYPE{"PSRTYPE"};
inline constexpr R<WO, 1, Linear{0x1520, 0}> EICS{"EICS"};
inline constexpr R<RW, 1, Linear{0x1524, 0}> EIMS{"EIMS"};  // writing 1 sets
inline constexpr R<WO, 1, Linear{0x1528, 0}> EIMC{"EIMC"};
inline constexpr R<RW, 1, Linear{0x152C, 0}> EIAC{"EIAC"};
inline constexpr R<RW, 1, Linear{0x1530, 0}> EIAM{"EIAM"};
inline constexpr R<W1C, 1, Linear{0x1580, 0}> EICR{"EICR"};  // reading clears too
inline constexpr R<RW, 3, Linear{0x1680, 4}> EITR{"EITR"};
inline constexpr R<RW, 1, Linear{0x1700, 0}> IVAR0{"IVAR0"};
inline constexpr R<RW, 1, Linear{0x1740, 0}> IVAR_MISC{"IVAR_MISC"};

inline constexpr R<RW, 2, Linear{0x2800, 0x100}> RDBAL{"RDBAL"};
inline constexpr R<RW, 2, Linear{0x2804, 0x100}> RDBAH{"RDBAH"};
inline constexpr R<RW, 2, Linear{0x2808, 0x100}> RDLEN{"RDLEN"};
inline constexpr R<RW, 2, Linear{0x280C, 0x100}> SRRCTL{"SRRCTL"};
inline constexpr R<RW, 2, Linear{0x2810, 0x100}> RDH{"RDH"};
inline constexpr R<RW, 2, Linear{0x2814, 0x100}> RXCTL{"RXCTL"};
inline constexpr R<RW, 2, Linear{0x2818, 0x100}> RDT{"RDT"};
inline constexpr R<RW, 2, Linear{0x2828, 0x100}> RXDCTL{"RXDCTL"};
// Frames dropped for want of a descriptor: 12 bits that stay at their highest value.
inline constexpr R<RC, 2, Linear{0x2830, 0x100}> RQDPC{"RQDPC"};

inline constexpr R<RW, 2, Linear{0x3800, 0x100}> TDBAL{"TDBAL"};
inline constexpr R<RW, 2, Linear{0x3804, 0x100}> TDBAH{"TDBAH"};
inline constexpr R<RW, 2, Linear{0x3808, 0x100}> TDLEN{"TDLEN"};
inline constexpr R<RW, 2, Linear{0x3810, 0x100}> TDH{"TDH"};
inline constexpr R<RW, 2, Linear{0x3814, 0x100}> TXCTL{"TXCTL"};
inline constexpr R<RW, 2, Linear{0x3818, 0x100}> TDT{"TDT"};
inline constexpr R<RW, 2, Linear{0x3828, 0x100}> TXDCTL{"TXDCTL"};
inline constexpr R<RW, 2, Linear{0x3838, 0x100}> TDWBAL{"TDWBAL"};
inline constexpr R<RW, 2, Linear{0x383C, 0x100}> TDWBAH{"TDWBAH"};

// Counters wrap at 32 bits and are not cleared by reads.
inline constexpr R<RO, 1, Linear{0x0F10, 0}> VFGPRC{"VFGPRC"};
inline constexpr R<RO, 1, Linear{0x0F14, 0}> VFGPTC{"VFGPTC"};
inline constexpr R<RO, 1, Linear{0x0F18, 0}> VFGORC{"VFGORC"};
inline constexpr R<RO, 1, Linear{0x0F34, 0}> VFGOTC{"VFGOTC"};
inline constexpr R<RO, 1, Linear{0x0F3C, 0}> VFMPRC{"VFMPRC"};
inline constexpr R<RO, 1, Linear{0x0F40, 0}> VFGPRLBC{"VFGPRLBC"};
inline constexpr R<RO, 1, Linear{0x0F44, 0}> VFGPTLBC{"VFGPTLBC"};
inline constexpr R<RO, 1, Linear{0x0F48, 0}> VFGORLBC{"VFGORLBC"};
inline constexpr R<RO, 1, Linear{0x0F50, 0}> VFGOTLBC{"VFGOTLBC"};

}  // namespace vigia::hw::igb::vf
