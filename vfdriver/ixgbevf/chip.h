// SPDX-License-Identifier: Apache-2.0
// The 82599 VF as the shared driver (intel/vf.h) wants to know it.
#pragma once

#include <cstdint>
#include <string_view>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/descriptor.h"
#include "hw/ixgbe/regs_vf.h"
#include "vfdriver/ixgbevf/mailbox.h"

namespace vigia::vf::ixgbevf {

struct Chip {
  using Mailbox = ixgbevf::Mailbox;
  static constexpr std::string_view driver = "ixgbevf", chip = "82599", pf_driver = "vigia-pf";
  static constexpr std::uint32_t bar_size = hw::ixgbe::vf::kBarSize;
  static constexpr unsigned max_queues = hw::ixgbe::vf::kMaxQueues;
  static constexpr std::uint32_t all_vectors = (1u << hw::ixgbe::vf::kMsixVectors) - 1;
  static constexpr bool tells_multicast_type = true;
  // A tag comes on top of the maximum frame size.
  static constexpr std::uint32_t tag_in_frame_size = 0;

  static constexpr auto ctrl = hw::ixgbe::vf::VFCTRL;
  static constexpr auto status = hw::ixgbe::vf::VFSTATUS;
  static constexpr auto cause = hw::ixgbe::vf::VTEICR;
  static constexpr auto unmask = hw::ixgbe::vf::VTEIMS;
  static constexpr auto mask = hw::ixgbe::vf::VTEIMC;
  static constexpr auto auto_clear = hw::ixgbe::vf::VTEIAC;
  static constexpr auto auto_mask = hw::ixgbe::vf::VTEIAM;
  static constexpr auto ivar = hw::ixgbe::vf::VTIVAR;
  static constexpr auto ivar_misc = hw::ixgbe::vf::VTIVAR_MISC;
  static constexpr auto psrtype = hw::ixgbe::vf::VFPSRTYPE;
  static constexpr auto rdbal = hw::ixgbe::vf::VFRDBAL;
  static constexpr auto rdbah = hw::ixgbe::vf::VFRDBAH;
  static constexpr auto rdlen = hw::ixgbe::vf::VFRDLEN;
  static constexpr auto rdh = hw::ixgbe::vf::VFRDH;
  static constexpr auto rdt = hw::ixgbe::vf::VFRDT;
  static constexpr auto srrctl = hw::ixgbe::vf::VFSRRCTL;
  static constexpr auto rxdctl = hw::ixgbe::vf::VFRXDCTL;
  static constexpr auto dca_rxctrl = hw::ixgbe::vf::VFDCA_RXCTRL;
  static constexpr auto tdbal = hw::ixgbe::vf::VFTDBAL;
  static constexpr auto tdbah = hw::ixgbe::vf::VFTDBAH;
  static constexpr auto tdlen = hw::ixgbe::vf::VFTDLEN;
  static constexpr auto tdh = hw::ixgbe::vf::VFTDH;
  static constexpr auto tdt = hw::ixgbe::vf::VFTDT;
  static constexpr auto txdctl = hw::ixgbe::vf::VFTXDCTL;
  static constexpr auto tdwbal = hw::ixgbe::vf::VFTDWBAL;
  static constexpr auto tdwbah = hw::ixgbe::vf::VFTDWBAH;

  static constexpr std::uint32_t reset = hw::ixgbe::Ctrl::rst, ivar_valid = hw::ixgbe::Ivar::valid;
  static constexpr std::uint32_t rx_enable = hw::ixgbe::Rxdctl::enable, tx_enable = hw::ixgbe::Txdctl::enable,
                                 tx_flush = hw::ixgbe::Txdctl::swflsh;
  // What else of RXDCTL and TXDCTL is set with ENABLE.
  static constexpr std::uint32_t rx_thresholds = 0, tx_thresholds = 0;
  static constexpr std::uint32_t srrctl_mode = hw::ixgbe::Srrctl::drop_en | hw::ixgbe::Srrctl::desctype_advanced,
                                 srrctl_size_mask = hw::ixgbe::Srrctl::bsizepacket_mask;
  static constexpr std::uint32_t dca_must_clear = hw::ixgbe::DcaRxctrl::must_clear;
  static constexpr std::uint64_t bad_frame = hw::ixgbe::RxStatus::rxe, check_context = hw::ixgbe::TxCommand::cc;

  // RSS index bits: 0, 1, 2 for 1, 2, 4 queues.
  static constexpr std::uint32_t psrtype_of(unsigned queues) { return queues / 2 << hw::ixgbe::Psrtype::rqpl_shift; }
};

}  // namespace vigia::vf::ixgbevf
