// SPDX-License-Identifier: Apache-2.0
// Bits of 82599 registers, named after the datasheet. Used by drivers and by the model alike.
#pragma once

#include <cstdint>

#include "hw/pci_function.h"

namespace vigia::hw::ixgbe {

inline constexpr PciId kPfId{0x8086, 0x10FB}, kVfId{0x8086, 0x10ED};

using u32 = std::uint32_t;

namespace Ctrl {
constexpr u32 primary_disable = 1u << 2, lrst = 1u << 3, rst = 1u << 26;
}
namespace Status {
constexpr u32 link_up = 1u << 7, primary_enable = 1u << 19;
}
namespace CtrlExt {
constexpr u32 pfrstd = 1u << 14, ns_dis = 1u << 16, ro_dis = 1u << 17, drv_load = 1u << 28;
}
namespace Eec {
constexpr u32 present = 1u << 8, auto_read_done = 1u << 9;
}
namespace Links {
constexpr u32 up = 1u << 30, speed_10g = 3u << 28;
}
namespace Hlreg0 {
constexpr u32 txcrcen = 1u << 0, rxcrcstrp = 1u << 1, jumboen = 1u << 2, txpaden = 1u << 10, lpbk = 1u << 15,
              rxlngtherren = 1u << 27;
}
namespace Autoc {
constexpr u32 flu = 1u << 0, restart_an = 1u << 12, lms_10g_sfi = 3u << 13;
}
namespace VtMode {
constexpr u32 pools_16 = 1, pools_32 = 2, pools_64 = 3;
}  // namespace VtMode
namespace Gpie {
constexpr u32 msix_mode = 1u << 4, eimen = 1u << 6, eiame = 1u << 30, pba_support = 1u << 31, vt_mode_shift = 14;
}
namespace GcrExt {
constexpr u32 msix_vt = 1u << 31, buffers_clear = 1u << 30;
}
namespace Eicr {
constexpr u32 rx_miss = 1u << 17, mailbox = 1u << 19, lsc = 1u << 20, other = 1u << 31;
}
namespace Ivar {
constexpr u32 valid = 1u << 7;
}  // namespace Ivar

namespace Rxctrl {
constexpr u32 rxen = 1u << 0;
}
namespace Rdrxctl {
constexpr u32 crcstrip = 1u << 1, dmaidone = 1u << 3, rscackc = 1u << 25, fcoe_wrfix = 1u << 26;
}
namespace Secrx {
constexpr u32 rx_dis = 1u << 1, rdy = 1u << 0;
}
namespace Rxdctl {
constexpr u32 enable = 1u << 25, swflsh = 1u << 26, vme = 1u << 30;
}
namespace Txdctl {
constexpr u32 enable = 1u << 25, swflsh = 1u << 26;
}
namespace Srrctl {
constexpr u32 bsizepacket_mask = 0x1f, desctype_mask = 7u << 25, desctype_legacy = 0, desctype_advanced = 1u << 25,
              drop_en = 1u << 28;  // bsizepacket in KiB
}
namespace DcaRxctrl {
constexpr u32 must_clear = 1u << 12;
}
namespace Fctrl {
constexpr u32 sbp = 1u << 1, mpe = 1u << 8, upe = 1u << 9, bam = 1u << 10;
}
namespace Vlnctrl {
constexpr u32 vet_8100 = 0x8100, cfi = 1u << 28, cfien = 1u << 29, vfe = 1u << 30;
}
namespace Mcstctrl {
constexpr u32 mo_mask = 3, mfe = 1u << 2;
}
namespace Rah {
constexpr u32 av = 1u << 31;
}
namespace Etqf {
constexpr u32 pool_shift = 20, pool_enable = 1u << 26, enable = 1u << 31;
}
namespace Etqs {
constexpr u32 queue_shift = 16, queue_enable = 1u << 31;
}
namespace Dmatxctl {
constexpr u32 te = 1u << 0;
}
namespace Rttdcs {
constexpr u32 arbdis = 1u << 6;
}
namespace Mtqc {
constexpr u32 vt_64 = 0x6, vt_32 = 0xA, vt_16_8tc = 0xF;
}
namespace Mrqc {
constexpr u32 mrqe_mask = 0xf, vmdq_64 = 0x8, vmdq_rss_32x4 = 0xA, vmdq_rss_64x2 = 0xB, vmdq_16x8tc = 0xC, rss = 0x1,
              l3l4txswen = 1u << 15, tcp_ipv4 = 1u << 16, ipv4 = 1u << 17, ipv6 = 1u << 20, tcp_ipv6 = 1u << 21,
              udp_ipv4 = 1u << 22, udp_ipv6 = 1u << 23;
}
namespace Psrtype {
constexpr u32 rqpl_shift = 29;
}
namespace Pfvtctl {
constexpr u32 vt_ena = 1u << 0, def_pl_shift = 7, dis_def_pool = 1u << 29, rpl_en = 1u << 30;
}
namespace Vmolr {  // PFVML2FLT; the 82599 has no UPE and no VPE
constexpr u32 aupe = 1u << 24, rompe = 1u << 25, rope = 1u << 26, bam = 1u << 27, mpe = 1u << 28;
}
namespace Vlvf {
constexpr u32 vid_mask = 0xfff, vi_en = 1u << 31;
}
namespace Mrctl {
constexpr u32 vpme = 1u << 0, upme = 1u << 1, dpme = 1u << 2, vlme = 1u << 3, types = 0xf, mp_shift = 8,
              mp_mask = 0x3f << 8;
}
namespace Pfqde {
constexpr u32 qde = 1u << 0, index_shift = 8, we = 1u << 16, re = 1u << 17;
}
namespace Pfdtxgswc {
constexpr u32 lbe = 1u << 0;
}
namespace Vmvir {
constexpr u32 vlana_mask = 3u << 30, vlana_default = 1u << 30, vlana_never = 2u << 30;
}

// RAL/RAH and mailbox words carry MAC byte 0 in the low bits; here a MAC is a 48-bit number with byte 0 lowest.
}  // namespace vigia::hw::ixgbe
