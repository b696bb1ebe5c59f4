// SPDX-License-Identifier: Apache-2.0
// Registers and bits of the 82599 that a model of the device needs and a driver seldom does. Sources as regs_pf.h; the
// PF's view of VF registers is from the VF map of the X550 datasheet.
#pragma once

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"

namespace vigia::hw::ixgbe::pf {

// General
inline constexpr R<RW, 1, Linear{0x00020, 0}> ESDP{"ESDP"};
inline constexpr R<RW, 1, Linear{0x00028, 0}> I2CCTL{"I2CCTL"};
inline constexpr R<RO, 1, Linear{0x042B0, 0}> ANLP1{"ANLP1"};
inline constexpr R<RW, 1, Linear{0x0EE00, 0}> FDIRCTRL{"FDIRCTRL"};
inline constexpr R<RO, 1, Linear{0x00048, 0}> FRTIMER{"FRTIMER"};
inline constexpr R<RW, 1, Linear{0x0004C, 0}> TCPTIMER{"TCPTIMER"};
inline constexpr R<RW, 1, Linear{0x00200, 0}> LEDCTL{"LEDCTL"};
inline constexpr R<RO, 1, Linear{0x10150, 0}> FACTPS{"FACTPS"};
inline constexpr R<RW, 1, Linear{0x00894, 0}> EITRSEL{"EITRSEL"};
inline constexpr R<RW, 4, Linear{0x110C0, 4}> PBACL{"PBACL"};

// Receive
inline constexpr R<RW, 1, Linear{0x02430, 0}> RTRPCS{"RTRPCS"};
inline constexpr R<RW, 1, Linear{0x03028, 0}> RSCDBU{"RSCDBU"};
inline constexpr R<RW, 128, Linear{0x0E000, 4}> SAQF{"SAQF"};
inline constexpr R<RW, 128, Linear{0x0E200, 4}> DAQF{"DAQF"};
inline constexpr R<RW, 128, Linear{0x0E400, 4}> SDPQF{"SDPQF"};
inline constexpr R<RW, 128, Linear{0x0E800, 4}> L34TIMIR{"L34TIMIR"};
inline constexpr R<RW, 8, Linear{0x02140, 4}> RTRPT4C{"RTRPT4C"};

// Transmit
inline constexpr R<RW, 1, Linear{0x04908, 0}> RTTDT1C{"RTTDT1C"};
inline constexpr R<RW, 8, Linear{0x04910, 4}> RTTDT2C{"RTTDT2C"};
inline constexpr R<RW, 8, Linear{0x0CD20, 4}> RTTPT2C{"RTTPT2C"};
inline constexpr R<RW, 1, Linear{0x0CD00, 0}> RTTPCS{"RTTPCS"};
inline constexpr R<RW, 1, Linear{0x0C800, 0}> RTTUP2TC{"RTTUP2TC"};
inline constexpr R<RW, 1, Linear{0x08810, 0}> SECTXMINIFG{"SECTXMINIFG"};

// Time stamping (accepted and stored; the model stamps nothing)
inline constexpr R<RW, 1, Linear{0x05188, 0}> TSYNCRXCTL{"TSYNCRXCTL"};
inline constexpr R<RW, 1, Linear{0x08C00, 0}> TSYNCTXCTL{"TSYNCTXCTL"};
inline constexpr R<RW, 1, Linear{0x08C14, 0}> TIMINCA{"TIMINCA"};

// Registers of VF v as the PF sees them
inline constexpr R<WO, 64, Linear{0x00300, 4}> VFCTRL{"VFCTRL"};
inline constexpr R<W1C, 64, Linear{0x00B00, 4}> VTEICR{"VTEICR"};
inline constexpr R<WO, 64, Linear{0x00C00, 4}> VTEICS{"VTEICS"};
inline constexpr R<RW, 64, Linear{0x00D00, 4}> VTEIMS{"VTEIMS"};
inline constexpr R<WO, 64, Linear{0x00E00, 4}> VTEIMC{"VTEIMC"};
inline constexpr R<RW, 64, Linear{0x00F00, 4}> VTEIAC{"VTEIAC"};
inline constexpr R<RW, 64, Linear{0x04D00, 4}> VTEIAM{"VTEIAM"};
inline constexpr R<RW, 64, Linear{0x12500, 4}> VTIVAR{"VTIVAR"};
inline constexpr R<RW, 64, Linear{0x04E00, 4}> VTIVAR_MISC{"VTIVAR_MISC"};
inline constexpr R<RO, 64, Linear{0x04C00, 4}> VFMAILBOX{"VFMAILBOX"};
inline constexpr R<RW, 64, Linear{0x0101C, 0x40}> VFGPRC{"VFGPRC"};
inline constexpr R<RW, 64, Linear{0x01020, 0x40}> VFGORC_LSB{"VFGORC_LSB"};
inline constexpr R<RW, 64, Linear{0x0D020, 0x40}> VFGORC_MSB{"VFGORC_MSB"};
inline constexpr R<RW, 64, Linear{0x0D01C, 0x40}> VFMPRC{"VFMPRC"};
inline constexpr R<RW, 64, Linear{0x08300, 4}> VFGPTC{"VFGPTC"};
inline constexpr R<RW, 64, Linear{0x08400, 8}> VFGOTC_LSB{"VFGOTC_LSB"};
inline constexpr R<RW, 64, Linear{0x08404, 8}> VFGOTC_MSB{"VFGOTC_MSB"};

// Further statistics (section 8.2.3.23). Those that count faults of a real cable stay 0 in a model.
inline constexpr R<RC, 1, Linear{0x04000, 0}> CRCERRS{"CRCERRS"};
inline constexpr R<RC, 1, Linear{0x04004, 0}> ILLERRC{"ILLERRC"};
inline constexpr R<RC, 1, Linear{0x04008, 0}> ERRBC{"ERRBC"};
inline constexpr R<RC, 1, Linear{0x04010, 0}> MSPDC{"MSPDC"};
inline constexpr R<RC, 1, Linear{0x04034, 0}> MLFC{"MLFC"};
inline constexpr R<RC, 1, Linear{0x04038, 0}> MRFC{"MRFC"};
inline constexpr R<RC, 1, Linear{0x03F60, 0}> LXONTXC{"LXONTXC"};
inline constexpr R<RC, 1, Linear{0x03F68, 0}> LXOFFTXC{"LXOFFTXC"};
inline constexpr R<RC, 1, Linear{0x041A4, 0}> LXONRXCNT{"LXONRXCNT"};
inline constexpr R<RC, 1, Linear{0x041A8, 0}> LXOFFRXCNT{"LXOFFRXCNT"};
inline constexpr R<RC, 1, Linear{0x040A8, 0}> RFC{"RFC"};
inline constexpr R<RC, 1, Linear{0x040B0, 0}> RJC{"RJC"};
inline constexpr R<RC, 1, Linear{0x040B4, 0}> MNGPRC{"MNGPRC"};
inline constexpr R<RC, 1, Linear{0x040B8, 0}> MNGPDC{"MNGPDC"};
inline constexpr R<RC, 1, Linear{0x0CF90, 0}> MNGPTC{"MNGPTC"};
inline constexpr R<RC, 6, Linear{0x0405C, 4}> PRC{"PRC"};  // PRC64 .. PRC1522 by index
inline constexpr R<RC, 6, Linear{0x040D8, 4}> PTC{"PTC"};  // PTC64 .. PTC1522
inline constexpr R<RC, 1, Linear{0x04120, 0}> XEC{"XEC"};
inline constexpr R<RC, 1, Linear{0x02F6C, 0}> RXLPBKBCL{"RXLPBKBCL"};
inline constexpr R<RC, 1, Linear{0x02F70, 0}> RXLPBKBCH{"RXLPBKBCH"};
inline constexpr R<RC, 1, Linear{0x02F74, 0}> RXDLPBKPC{"RXDLPBKPC"};
inline constexpr R<RC, 1, Linear{0x02F78, 0}> RXDLPBKBCL{"RXDLPBKBCL"};
inline constexpr R<RC, 1, Linear{0x02F7C, 0}> RXDLPBKBCH{"RXDLPBKBCH"};
inline constexpr R<RC, 1, Linear{0x087A4, 0}> TXDGBCL{"TXDGBCL"};
inline constexpr R<RC, 1, Linear{0x087A8, 0}> TXDGBCH{"TXDGBCH"};

// Second addresses of registers (kept from the 82598).
inline constexpr R<RW, 1, Linear{0x05818, 0}> MRQC_ALIAS{"MRQC"};
inline constexpr R<RW, 32, Linear{0x05C00, 4}> RETA_ALIAS{"RETA"};
inline constexpr R<RW, 10, Linear{0x05C80, 4}> RSSRK_ALIAS{"RSSRK"};
inline constexpr R<RW, 16, Linear{0x05400, 8}> RAL_ALIAS{"RAL"};
inline constexpr R<RW, 16, Linear{0x05404, 8}> RAH_ALIAS{"RAH"};
inline constexpr R<RW, 16, Linear{0x05480, 4}> PSRTYPE_ALIAS{"PSRTYPE"};
inline constexpr R<RW, 16, Linear{0x02100, 4}> SRRCTL_ALIAS{"SRRCTL"};
inline constexpr R<RW, 16, Linear{0x02200, 4}> DCA_RXCTRL_ALIAS{"DCA_RXCTRL"};
inline constexpr R<RW, 1, Linear{0x11068, 0}> PBACL_ALIAS{"PBACL"};

}  // namespace vigia::hw::ixgbe::pf

namespace vigia::hw::ixgbe {

namespace Status {
constexpr u32 num_vfs_shift = 10, num_vfs_mask = 0xffu << num_vfs_shift, iov_active = 1u << 18;
}
namespace Eerd {
constexpr u32 start = 1u << 0, done = 1u << 1, address_mask = 0xfffcu, address_shift = 2, data_shift = 16;
}
namespace Eec {
constexpr u32 clock = 1u << 0, select = 1u << 1, data_in = 1u << 2, data_out = 1u << 3, request = 1u << 6,
              grant = 1u << 7, wide_address = 1u << 10, size_shift = 11;
}
namespace Esdp {
constexpr u32 module_present = 1u << 2;  // pin SDP2, which boards wire to the cage
}
namespace I2cctl {
constexpr u32 clock_in = 1u << 0, clock_out = 1u << 1, data_in = 1u << 2, data_out = 1u << 3;
}
namespace Anlp1 {
constexpr u32 state_started = 1u << 16;  // [19:16] is not 0 once the link's state machine runs
}
namespace Fdirctrl {
constexpr u32 init_done = 1u << 3;
}
namespace Fwsm {
constexpr u32 firmware_valid = 1u << 15;
}
namespace Gpie {
constexpr u32 vt_mode_mask = 3u << 14;
}
namespace GcrExt {
constexpr u32 vt_mode_mask = 3;
}
namespace IvarMisc {
constexpr u32 other_shift = 8;
}
namespace Eitr {
constexpr u32 interval_mask = 0xff8, interval_shift = 3;
constexpr u32 interval_unit_ns = 2000;  // 2 us at 10 Gb/s (Linux: 20000 interrupts/s are 25 units)
}  // namespace Eitr
namespace Eicr {
constexpr u32 queue_causes = 0xffff;
}
namespace Mrqc {
constexpr u32 vt_32x4tc = 0xD;
}
namespace Rxcsum {
constexpr u32 pcsd = 1u << 13;
}
namespace Etqf {
constexpr u32 ethertype_mask = 0xffff, pool_mask = 0x3fu << 20;
}
namespace Synqf {
constexpr u32 enable = 1u << 0, queue_shift = 1, queue_mask = 0x7fu << 1;
}
namespace Maxfrs {
constexpr u32 mfs_shift = 16;
}
namespace Pbsize {
constexpr u32 kib_shift = 10, kib_mask = 0x3ffu << 10;
}
namespace Rttbcnrc {
constexpr u32 enable = 1u << 31, fraction_bits = 14, factor_mask = 0xffffff;  // [23:14] integer, [13:0] fraction
}
namespace Tdwbal {
constexpr u32 enable = 1u << 0;
}
namespace Qsm {  // RQSMR and TQSM: four 4-bit fields, one a byte
constexpr u32 field_mask = 0xf, field_bits = 8;
}
namespace TxContext {  // advanced context descriptor: word0 and word1
constexpr unsigned iplen_bits = 9, maclen_shift = 9, vlan_shift = 16;
constexpr std::uint64_t ipv4 = 1ull << 10, l4_shift = 11, index_shift = 36, l4len_shift = 40, mss_shift = 48;
constexpr std::uint64_t l4_udp = 0, l4_tcp = 1, l4_sctp = 2;
}  // namespace TxContext
namespace TxOption {  // data descriptor, POPTS
constexpr std::uint64_t ixsm = 1ull << 40, txsm = 1ull << 41;
}

}  // namespace vigia::hw::ixgbe

// VF BAR0: where the receive and transmit queue registers begin, a page each (VFRDBAL[0], VFTDBAL[0]).
namespace vigia::hw::ixgbe {
constexpr std::uint32_t vf_rx_page = 0x1000, vf_tx_page = 0x2000, vf_page_bytes = 0x1000;
}
