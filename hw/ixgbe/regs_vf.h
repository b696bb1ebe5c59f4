// SPDX-License-Identifier: Apache-2.0
// 82599 virtual function, BAR0: one line per register (82599 datasheet 8.3; X550 datasheet for the VF map).
#pragma once

#include "hw/mmio.h"

namespace vigia::hw::ixgbe::vf {

template <Access A, std::uint32_t Count = 1, auto At = Linear{0, 4}>
using R = Reg<A, Count, At>;
inline constexpr auto RO = Access::read_only, WO = Access::write_only, RW = Access::read_write,
                      W1C = Access::write_1_clears;

constexpr std::uint32_t kBarSize = 16 * 1024;
constexpr unsigned kMaxQueues = 8, kMsixVectors = 3;

inline constexpr R<WO, 1, Linear{0x0000, 0}> VFCTRL{"VFCTRL"};
inline constexpr R<RO, 1, Linear{0x0008, 0}> VFSTATUS{"VFSTATUS"};
inline constexpr R<RO, 1, Linear{0x0010, 0}> VFLINKS{"VFLINKS"};
inline constexpr R<RO, 1, Linear{0x0048, 0}> VFFRTIMER{"VFFRTIMER"};
inline constexpr R<W1C, 1, Linear{0x0100, 0}> VTEICR{"VTEICR"};  // reading clears too
inline constexpr R<WO, 1, Linear{0x0104, 0}> VTEICS{"VTEICS"};
inline constexpr R<RW, 1, Linear{0x0108, 0}> VTEIMS{"VTEIMS"};  // writing 1 sets
inline constexpr R<WO, 1, Linear{0x010C, 0}> VTEIMC{"VTEIMC"};
inline constexpr R<RW, 1, Linear{0x0110, 0}> VTEIAC{"VTEIAC"};
inline constexpr R<RW, 1, Linear{0x0114, 0}> VTEIAM{"VTEIAM"};
inline constexpr R<RW, 4, Linear{0x0120, 4}> VTIVAR{"VTIVAR"};
inline constexpr R<RW, 1, Linear{0x0140, 0}> VTIVAR_MISC{"VTIVAR_MISC"};
inline constexpr R<RW, 1, Linear{0x0148, 0}> VFPBACL{"VFPBACL"};
inline constexpr R<RW, 16, Linear{0x0200, 4}> VFMBMEM{"VFMBMEM"};
inline constexpr R<RW, 1, Linear{0x02FC, 0}> VFMAILBOX{"VFMAILBOX"};
inline constexpr R<RW, 1, Linear{0x0300, 0}> VFPSRTYPE{"VFPSRTYPE"};
inline constexpr R<RW, 3, Linear{0x0820, 4}> VTEITR{"VTEITR"};

inline constexpr R<RW, 8, Linear{0x1000, 0x40}> VFRDBAL{"VFRDBAL"};
inline constexpr R<RW, 8, Linear{0x1004, 0x40}> VFRDBAH{"VFRDBAH"};
inline constexpr R<RW, 8, Linear{0x1008, 0x40}> VFRDLEN{"VFRDLEN"};
inline constexpr R<RW, 8, Linear{0x100C, 0x40}> VFDCA_RXCTRL{"VFDCA_RXCTRL"};
inline constexpr R<RW, 8, Linear{0x1010, 0x40}> VFRDH{"VFRDH"};
inline constexpr R<RW, 8, Linear{0x1014, 0x40}> VFSRRCTL{"VFSRRCTL"};
inline constexpr R<RW, 8, Linear{0x1018, 0x40}> VFRDT{"VFRDT"};
inline constexpr R<RW, 8, Linear{0x1028, 0x40}> VFRXDCTL{"VFRXDCTL"};
inline constexpr R<RW, 8, Linear{0x102C, 0x40}> VFRSCCTL{"VFRSCCTL"};

inline constexpr R<RW, 8, Linear{0x2000, 0x40}> VFTDBAL{"VFTDBAL"};
inline constexpr R<RW, 8, Linear{0x2004, 0x40}> VFTDBAH{"VFTDBAH"};
inline constexpr R<RW, 8, Linear{0x2008, 0x40}> VFTDLEN{"VFTDLEN"};
inline constexpr R<RW, 8, Linear{0x200C, 0x40}> VFDCA_TXCTRL{"VFDCA_TXCTRL"};
inline constexpr R<RW, 8, Linear{0x2010, 0x40}> VFTDH{"VFTDH"};
inline constexpr R<RW, 8, Linear{0x2018, 0x40}> VFTDT{"VFTDT"};
inline constexpr R<RW, 8, Linear{0x2028, 0x40}> VFTXDCTL{"VFTXDCTL"};
inline constexpr R<RW, 8, Linear{0x2038, 0x40}> VFTDWBAL{"VFTDWBAL"};
inline constexpr R<RW, 8, Linear{0x203C, 0x40}> VFTDWBAH{"VFTDWBAH"};

// Counters wrap at 32 (packets) and 36 bits (octets), are not cleared by reads and survive a VF reset.
inline constexpr R<RO, 1, Linear{0x101C, 0}> VFGPRC{"VFGPRC"};
inline constexpr R<RO, 1, Linear{0x1020, 0}> VFGORC_LSB{"VFGORC_LSB"};
inline constexpr R<RO, 1, Linear{0x1024, 0}> VFGORC_MSB{"VFGORC_MSB"};
inline constexpr R<RO, 1, Linear{0x1034, 0}> VFMPRC{"VFMPRC"};
inline constexpr R<RO, 1, Linear{0x201C, 0}> VFGPTC{"VFGPTC"};
inline constexpr R<RO, 1, Linear{0x2020, 0}> VFGOTC_LSB{"VFGOTC_LSB"};
inline constexpr R<RO, 1, Linear{0x2024, 0}> VFGOTC_MSB{"VFGOTC_MSB"};

}  // namespace vigia::hw::ixgbe::vf
