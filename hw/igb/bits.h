// SPDX-License-Identifier: Apache-2.0
// The 82576 and I350: identities, and the bits of their virtual functions' registers that a driver needs. Source: 82576
// datasheet, chapters 8 and 9; 82599 reference, 17.
#pragma once

#include <cstdint>

#include "hw/pci_function.h"

namespace vigia::hw::igb {

inline constexpr PciId kPfId{0x8086, 0x10C9}, kVfId{0x8086, 0x10CA}, kI350PfId{0x8086, 0x1521},
    kI350VfId{0x8086, 0x1520};

using u32 = std::uint32_t;

namespace Ctrl {
constexpr u32 rst = 1u << 26;
}
namespace Status {
constexpr u32 link_up = 1u << 1, speed_shift = 6, speed_mask = 3u << speed_shift;  // 10, 100, 1000, 1000 Mb/s
}
namespace Ivar {
constexpr u32 valid = 1u << 7;
}
namespace Srrctl {
constexpr u32 bsizepacket_mask = 0x7f, desctype_advanced = 1u << 25, drop_en = 1u << 31;  // bsizepacket in KiB
}
namespace Rxdctl {
// wthresh: write-backs wait for so many descriptors; more than 1 on a VF may never be written (82576 erratum).
constexpr u32 wthresh_1 = 1u << 16, enable = 1u << 25;
}  // namespace Rxdctl
namespace Txdctl {
constexpr u32 wthresh_1 = 1u << 16, enable = 1u << 25, swflsh = 1u << 26;
}
namespace RxError {  // bits of a receive descriptor's word1
constexpr std::uint64_t rxe = 1u << 31;
}

}  // namespace vigia::hw::igb
