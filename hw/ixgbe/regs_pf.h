// SPDX-License-Identifier: Apache-2.0
// 82599 physical function, BAR0: one line per register. Offsets, bits and reset values: Intel 82599 datasheet chapter 8
// and the X550 datasheet where the former is silent; each agrees with DPDK's or Snabb's tables.
#pragma once

#include <cstdint>

#include "hw/mmio.h"

namespace vigia::hw::ixgbe::pf {

template <Access A, std::uint32_t Count = 1, auto At = Linear{0, 4}>
using R = Reg<A, Count, At>;
inline constexpr auto RO = Access::read_only, WO = Access::write_only, RW = Access::read_write,
                      RC = Access::read_clears, W1C = Access::write_1_clears;

constexpr std::uint32_t kBarSize = 128 * 1024;
constexpr unsigned kQueues = 128, kPools = 64, kRars = 128, kVlvfs = 64, kMirrorRules = 4, kMsixVectors = 64;

// General (datasheet 8.2.3.1)
inline constexpr R<RW, 1, Linear{0x00000, 0}> CTRL{"CTRL"};
inline constexpr R<RO, 1, Linear{0x00008, 0}> STATUS{"STATUS"};
inline constexpr R<RW, 1, Linear{0x00018, 0}> CTRL_EXT{"CTRL_EXT"};
inline constexpr R<RW, 1, Linear{0x10010, 0}> EEC{"EEC"};
inline constexpr R<RW, 1, Linear{0x10014, 0}> EERD{"EERD"};
inline constexpr R<RW, 1, Linear{0x10148, 0}> FWSM{"FWSM"};
inline constexpr R<RW, 1, Linear{0x10140, 0}> SWSM{"SWSM"};
inline constexpr R<RW, 1, Linear{0x10160, 0}> SW_FW_SYNC{"SW_FW_SYNC"};
inline constexpr R<RW, 1, Linear{0x11050, 0}> GCR_EXT{"GCR_EXT"};
inline constexpr R<RW, 1, Linear{0x042A0, 0}> AUTOC{"AUTOC"};
inline constexpr R<RW, 1, Linear{0x042A8, 0}> AUTOC2{"AUTOC2"};
inline constexpr R<RO, 1, Linear{0x042A4, 0}> LINKS{"LINKS"};
inline constexpr R<RW, 1, Linear{0x04240, 0}> HLREG0{"HLREG0"};
inline constexpr R<RW, 1, Linear{0x04268, 0}> MAXFRS{"MAXFRS"};
inline constexpr R<RW, 1, Linear{0x04294, 0}> MFLCN{"MFLCN"};
inline constexpr R<RW, 8, Linear{0x03260, 4}> FCRTH{"FCRTH"};
inline constexpr R<RW, 8, Linear{0x03220, 4}> FCRTL{"FCRTL"};
inline constexpr R<RW, 4, Linear{0x03200, 4}> FCTTV{"FCTTV"};
inline constexpr R<RW, 1, Linear{0x032A0, 0}> FCRTV{"FCRTV"};
inline constexpr R<RW, 1, Linear{0x03D00, 0}> FCCFG{"FCCFG"};

// Interrupts
inline constexpr R<W1C, 1, Linear{0x00800, 0}> EICR{"EICR"};  // reading clears too
inline constexpr R<WO, 1, Linear{0x00808, 0}> EICS{"EICS"};
inline constexpr R<RW, 1, Linear{0x00880, 0}> EIMS{"EIMS"};  // writing 1 sets
inline constexpr R<WO, 1, Linear{0x00888, 0}> EIMC{"EIMC"};
inline constexpr R<RW, 1, Linear{0x00810, 0}> EIAC{"EIAC"};
inline constexpr R<RW, 1, Linear{0x00890, 0}> EIAM{"EIAM"};
inline constexpr R<WO, 2, Linear{0x00A90, 4}> EICS_EX{"EICS_EX"};
inline constexpr R<RW, 2, Linear{0x00AA0, 4}> EIMS_EX{"EIMS_EX"};
inline constexpr R<WO, 2, Linear{0x00AB0, 4}> EIMC_EX{"EIMC_EX"};
inline constexpr R<RW, 2, Linear{0x00AD0, 4}> EIAM_EX{"EIAM_EX"};
inline constexpr R<RW, 128, Split{0x00820, 0x12300, 24, 4}> EITR{"EITR"};
inline constexpr R<RW, 64, Linear{0x00900, 4}> IVAR{"IVAR"};
inline constexpr R<RW, 1, Linear{0x00A00, 0}> IVAR_MISC{"IVAR_MISC"};
inline constexpr R<RW, 1, Linear{0x00898, 0}> GPIE{"GPIE"};

// Receive queues N (8.2.3.8)
constexpr Split rx_ring(std::uint32_t member) { return {0x01000 + member, 0x0D000 + member, 64, 0x40}; }
inline constexpr R<RW, 128, rx_ring(0x00)> RDBAL{"RDBAL"};
inline constexpr R<RW, 128, rx_ring(0x04)> RDBAH{"RDBAH"};
inline constexpr R<RW, 128, rx_ring(0x08)> RDLEN{"RDLEN"};
inline constexpr R<RW, 128, rx_ring(0x0C)> DCA_RXCTRL{"DCA_RXCTRL"};
inline constexpr R<RW, 128, rx_ring(0x10)> RDH{"RDH"};
inline constexpr R<RW, 128, rx_ring(0x14)> SRRCTL{"SRRCTL"};
inline constexpr R<RW, 128, rx_ring(0x18)> RDT{"RDT"};
inline constexpr R<RW, 128, rx_ring(0x28)> RXDCTL{"RXDCTL"};
inline constexpr R<RW, 128, rx_ring(0x2C)> RSCCTL{"RSCCTL"};

// Receive, global
inline constexpr R<RW, 1, Linear{0x03000, 0}> RXCTRL{"RXCTRL"};
inline constexpr R<RW, 1, Linear{0x02F00, 0}> RDRXCTL{"RDRXCTL"};
inline constexpr R<RW, 8, Linear{0x03C00, 4}> RXPBSIZE{"RXPBSIZE"};
inline constexpr R<RW, 1, Linear{0x08D00, 0}> SECRXCTRL{"SECRXCTRL"};
inline constexpr R<RO, 1, Linear{0x08D04, 0}> SECRXSTAT{"SECRXSTAT"};
inline constexpr R<RW, 1, Linear{0x05000, 0}> RXCSUM{"RXCSUM"};
inline constexpr R<RW, 1, Linear{0x05008, 0}> RFCTL{"RFCTL"};
inline constexpr R<RW, 1, Linear{0x02F40, 0}> RXDSTATCTRL{"RXDSTATCTRL"};
inline constexpr R<RW, 1, Linear{0x03020, 0}> RTRUP2TC{"RTRUP2TC"};

// L2 filters (8.2.3.7)
inline constexpr R<RW, 1, Linear{0x05080, 0}> FCTRL{"FCTRL"};
inline constexpr R<RW, 1, Linear{0x05088, 0}> VLNCTRL{"VLNCTRL"};
inline constexpr R<RW, 1, Linear{0x05090, 0}> MCSTCTRL{"MCSTCTRL"};
inline constexpr R<RW, 128, Linear{0x05200, 4}> MTA{"MTA"};
inline constexpr R<RW, 128, Linear{0x0A200, 8}> RAL{"RAL"};  // alias 0x05400 + 8i for i < 16
inline constexpr R<RW, 128, Linear{0x0A204, 8}> RAH{"RAH"};
inline constexpr R<RW, 256, Linear{0x0A600, 4}> MPSAR{"MPSAR"};  // 2n and 2n+1: pools 31:0 and 63:32 of RAR n
inline constexpr R<RW, 128, Linear{0x0A000, 4}> VFTA{"VFTA"};
inline constexpr R<RW, 128, Linear{0x0F400, 4}> PFUTA{"PFUTA"};
inline constexpr R<RW, 8, Linear{0x05128, 4}> ETQF{"ETQF"};
inline constexpr R<RW, 8, Linear{0x0EC00, 4}> ETQS{"ETQS"};
inline constexpr R<RW, 1, Linear{0x0EC30, 0}> SYNQF{"SYNQF"};
inline constexpr R<RW, 128, Linear{0x0E600, 4}> FTQF{"FTQF"};

// RSS (8.2.3.7.12..)
inline constexpr R<RW, 1, Linear{0x0EC80, 0}> MRQC{"MRQC"};         // alias 0x05818
inline constexpr R<RW, 10, Linear{0x0EB80, 4}> RSSRK{"RSSRK"};      // alias 0x05C80
inline constexpr R<RW, 32, Linear{0x0EB00, 4}> RETA{"RETA"};        // alias 0x05C00
inline constexpr R<RW, 64, Linear{0x0EA00, 4}> PSRTYPE{"PSRTYPE"};  // alias 0x05480 for p < 16
inline constexpr R<RW, 1, Linear{0x0EC70, 0}> RQTC{"RQTC"};

// Transmit queues N
constexpr Linear tx_ring(std::uint32_t member) { return {0x06000 + member, 0x40}; }
inline constexpr R<RW, 128, tx_ring(0x00)> TDBAL{"TDBAL"};
inline constexpr R<RW, 128, tx_ring(0x04)> TDBAH{"TDBAH"};
inline constexpr R<RW, 128, tx_ring(0x08)> TDLEN{"TDLEN"};
inline constexpr R<RW, 128, tx_ring(0x0C)> DCA_TXCTRL{"DCA_TXCTRL"};
inline constexpr R<RW, 128, tx_ring(0x10)> TDH{"TDH"};
inline constexpr R<RW, 128, tx_ring(0x18)> TDT{"TDT"};
inline constexpr R<RW, 128, tx_ring(0x28)> TXDCTL{"TXDCTL"};
inline constexpr R<RW, 128, tx_ring(0x38)> TDWBAL{"TDWBAL"};
inline constexpr R<RW, 128, tx_ring(0x3C)> TDWBAH{"TDWBAH"};

// Transmit, global
inline constexpr R<RW, 1, Linear{0x04A80, 0}> DMATXCTL{"DMATXCTL"};
inline constexpr R<RW, 1, Linear{0x08100, 0}> DTXMXSZRQ{"DTXMXSZRQ"};
inline constexpr R<RW, 1, Linear{0x04900, 0}> RTTDCS{"RTTDCS"};
inline constexpr R<RW, 1, Linear{0x04904, 0}> RTTDQSEL{"RTTDQSEL"};
inline constexpr R<RW, 1, Linear{0x04984, 0}> RTTBCNRC{"RTTBCNRC"};
inline constexpr R<RW, 1, Linear{0x04980, 0}> RTTBCNRM{"RTTBCNRM"};
inline constexpr R<RW, 8, Linear{0x0CC00, 4}> TXPBSIZE{"TXPBSIZE"};
inline constexpr R<RW, 8, Linear{0x04950, 4}> TXPBTHRESH{"TXPBTHRESH"};
inline constexpr R<RW, 1, Linear{0x08120, 0}> MTQC{"MTQC"};
inline constexpr R<RW, 1, Linear{0x08800, 0}> SECTXCTRL{"SECTXCTRL"};
inline constexpr R<RO, 1, Linear{0x08804, 0}> SECTXSTAT{"SECTXSTAT"};

// Virtualization (8.2.3.27)
inline constexpr R<RW, 1, Linear{0x051B0, 0}> PFVTCTL{"PFVTCTL"};
inline constexpr R<RW, 64, Linear{0x0F000, 4}> PFVML2FLT{"PFVML2FLT"};
inline constexpr R<RW, 64, Linear{0x0F100, 4}> PFVLVF{"PFVLVF"};
inline constexpr R<RW, 128, Linear{0x0F200, 4}> PFVLVFB{"PFVLVFB"};  // 2n and 2n+1: pools of PFVLVF[n]
inline constexpr R<RW, 4, Linear{0x0F600, 4}> PFMRCTL{"PFMRCTL"};
inline constexpr R<RW, 8, Linear{0x0F610, 4}> PFMRVLAN{"PFMRVLAN"};  // r and r+4: PFVLVF entries 31:0 and 63:32
inline constexpr R<RW, 8, Linear{0x0F630, 4}> PFMRVM{"PFMRVM"};      // r and r+4: source pools 31:0 and 63:32
inline constexpr R<RW, 2, Linear{0x051E0, 4}> PFVFRE{"PFVFRE"};
inline constexpr R<RW, 2, Linear{0x08110, 4}> PFVFTE{"PFVFTE"};
inline constexpr R<RW, 1, Linear{0x02F04, 0}> PFQDE{"PFQDE"};
inline constexpr R<RW, 2, Linear{0x05180, 4}> PFVMTXSW{"PFVMTXSW"};
inline constexpr R<RW, 1, Linear{0x08220, 0}> PFDTXGSWC{"PFDTXGSWC"};
inline constexpr R<RW, 8, Linear{0x08200, 4}> PFVFSPOOF{"PFVFSPOOF"};
inline constexpr R<RW, 64, Linear{0x08000, 4}> PFVMVIR{"PFVMVIR"};
inline constexpr R<RW, 2, Linear{0x08790, 4}> PFVMECM{"PFVMECM"};
inline constexpr R<RC, 1, Linear{0x08780, 0}> SSVPC{"SSVPC"};
inline constexpr R<RO, 2, Split{0x00600, 0x001C0, 1, 0}> PFVFLRE{"PFVFLRE"};
inline constexpr R<W1C, 2, Linear{0x00700, 4}> PFVFLREC{"PFVFLREC"};
inline constexpr R<RW, 64, Linear{0x04B00, 4}> PFMAILBOX{"PFMAILBOX"};
inline constexpr R<RW, 64 * 16, Linear{0x13000, 4}> PFMBMEM{"PFMBMEM"};  // 16 words per VF: index 16 * v + word
inline constexpr R<W1C, 4, Linear{0x00710, 4}> PFMBICR{"PFMBICR"};
inline constexpr R<RW, 2, Linear{0x00720, 4}> PFMBIMR{"PFMBIMR"};

// Statistics (section 8.2.3.23)
inline constexpr R<RW, 32, Linear{0x02300, 4}> RQSMR{"RQSMR"};
inline constexpr R<RW, 32, Linear{0x08600, 4}> TQSM{"TQSM"};
inline constexpr R<RC, 16, Linear{0x01030, 0x40}> QPRC{"QPRC"};
inline constexpr R<RC, 16, Linear{0x01034, 0x40}> QBRC_L{"QBRC_L"};
inline constexpr R<RC, 16, Linear{0x01038, 0x40}> QBRC_H{"QBRC_H"};
inline constexpr R<RC, 16, Linear{0x01430, 0x40}> QPRDC{"QPRDC"};
inline constexpr R<RC, 16, Linear{0x08680, 4}> QPTC{"QPTC"};
inline constexpr R<RC, 16, Linear{0x08700, 8}> QBTC_L{"QBTC_L"};
inline constexpr R<RC, 16, Linear{0x08704, 8}> QBTC_H{"QBTC_H"};
inline constexpr R<RC, 8, Linear{0x03FA0, 4}> RXMPC{"RXMPC"};
inline constexpr R<RC, 1, Linear{0x04040, 0}> RLEC{"RLEC"};
inline constexpr R<RC, 1, Linear{0x0405C, 0}> PRC64{"PRC64"};
inline constexpr R<RC, 1, Linear{0x04060, 0}> PRC127{"PRC127"};
inline constexpr R<RC, 1, Linear{0x04064, 0}> PRC255{"PRC255"};
inline constexpr R<RC, 1, Linear{0x04068, 0}> PRC511{"PRC511"};
inline constexpr R<RC, 1, Linear{0x0406C, 0}> PRC1023{"PRC1023"};
inline constexpr R<RC, 1, Linear{0x04070, 0}> PRC1522{"PRC1522"};
inline constexpr R<RC, 1, Linear{0x04074, 0}> GPRC{"GPRC"};
inline constexpr R<RC, 1, Linear{0x04078, 0}> BPRC{"BPRC"};
inline constexpr R<RC, 1, Linear{0x0407C, 0}> MPRC{"MPRC"};
inline constexpr R<RC, 1, Linear{0x04080, 0}> GPTC{"GPTC"};
inline constexpr R<RC, 1, Linear{0x04088, 0}> GORCL{"GORCL"};
inline constexpr R<RC, 1, Linear{0x0408C, 0}> GORCH{"GORCH"};
inline constexpr R<RC, 1, Linear{0x04090, 0}> GOTCL{"GOTCL"};
inline constexpr R<RC, 1, Linear{0x04094, 0}> GOTCH{"GOTCH"};
inline constexpr R<RC, 1, Linear{0x041B0, 0}> RXNFGPC{"RXNFGPC"};
inline constexpr R<RC, 1, Linear{0x041B4, 0}> RXNFGBCL{"RXNFGBCL"};
inline constexpr R<RC, 1, Linear{0x041B8, 0}> RXNFGBCH{"RXNFGBCH"};
inline constexpr R<RC, 1, Linear{0x040A4, 0}> RUC{"RUC"};
inline constexpr R<RC, 1, Linear{0x040AC, 0}> ROC{"ROC"};
inline constexpr R<RC, 1, Linear{0x040C0, 0}> TORL{"TORL"};
inline constexpr R<RC, 1, Linear{0x040C4, 0}> TORH{"TORH"};
inline constexpr R<RC, 1, Linear{0x040D0, 0}> TPR{"TPR"};
inline constexpr R<RC, 1, Linear{0x040D4, 0}> TPT{"TPT"};
inline constexpr R<RC, 1, Linear{0x040F0, 0}> MPTC{"MPTC"};
inline constexpr R<RC, 1, Linear{0x040F4, 0}> BPTC{"BPTC"};
inline constexpr R<RC, 1, Linear{0x02F50, 0}> RXDGPC{"RXDGPC"};
inline constexpr R<RC, 1, Linear{0x02F54, 0}> RXDGBCL{"RXDGBCL"};
inline constexpr R<RC, 1, Linear{0x02F58, 0}> RXDGBCH{"RXDGBCH"};
inline constexpr R<RC, 1, Linear{0x02F5C, 0}> RXDDPC{"RXDDPC"};
inline constexpr R<RC, 1, Linear{0x02F60, 0}> RXDDBCL{"RXDDBCL"};
inline constexpr R<RC, 1, Linear{0x02F64, 0}> RXDDBCH{"RXDDBCH"};
inline constexpr R<RC, 1, Linear{0x02F68, 0}> RXLPBKPC{"RXLPBKPC"};
inline constexpr R<RC, 1, Linear{0x087A0, 0}> TXDGPC{"TXDGPC"};

}  // namespace vigia::hw::ixgbe::pf
