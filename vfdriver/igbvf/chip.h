// SPDX-License-Identifier: Apache-2.0
// The VF of an 82576 or I350 as the shared driver (intel/vf.h) wants to know it.
#pragma once

#include <cstdint>
#include <string_view>

#include "hw/igb/bits.h"
#include "hw/igb/regs_vf.h"
#include "vfdriver/igbvf/mailbox.h"

namespace vigia::vf::igbvf {

struct Chip {
  using Mailbox = igbvf::Mailbox;
  static constexpr std::string_view driver = "igbvf", chip = "82576", pf_driver = "igb";
  static constexpr std::uint32_t bar_size = hw::igb::vf::kBarSize;
  // The second queue is for RSS, which the PF would have to set up and has no message to tell of.
  static constexpr unsigned max_queues = 1;
  static constexpr std::uint32_t all_vectors = (1u << hw::igb::vf::kMsixVectors) - 1;
  static constexpr bool tells_multicast_type = false;
  // VMOLR.RLPML counts the tag.
  static constexpr std::uint32_t tag_in_frame_size = 4;

  static constexpr auto ctrl = hw::igb::vf::CTRL;
  static constexpr auto status = hw::igb::vf::STATUS;
  static constexpr auto cause = hw::igb::vf::EICR;
  static constexpr auto unmask = hw::igb::vf::EIMS;
  static constexpr auto mask = hw::igb::vf::EIMC;
  static constexpr auto auto_clear = hw::igb::vf::EIAC;
  static constexpr auto auto_mask = hw::igb::vf::EIAM;
  static constexpr auto ivar = hw::igb::vf::IVAR0;
  static constexpr auto ivar_misc = hw::igb::vf::IVAR_MISC;
  static constexpr auto psrtype = hw::igb::vf::PSRTYPE;
  static constexpr auto rdbal = hw::igb::vf::RDBAL;
  static constexpr auto rdbah = hw::igb::vf::RDBAH;
  static constexpr auto rdlen = hw::igb::vf::RDLEN;
  static constexpr auto rdh = hw::igb::vf::RDH;
  static constexpr auto rdt = hw::igb::vf::RDT;
  static constexpr auto srrctl = hw::igb::vf::SRRCTL;
  static constexpr auto rxdctl = hw::igb::vf::RXDCTL;
  static constexpr auto dca_rxctrl = hw::igb::vf::RXCTL;
  static constexpr auto tdbal = hw::igb::vf::TDBAL;
  static constexpr auto tdbah = hw::igb::vf::TDBAH;
  static constexpr auto tdlen = hw::igb::vf::TDLEN;
  static constexpr auto tdh = hw::igb::vf::TDH;
  static constexpr auto tdt = hw::igb::vf::TDT;
  static constexpr auto txdctl = hw::igb::vf::TXDCTL;
  static constexpr auto tdwbal = hw::igb::vf::TDWBAL;
  static constexpr auto tdwbah = hw::igb::vf::TDWBAH;

  static constexpr std::uint32_t reset = hw::igb::Ctrl::rst, ivar_valid = hw::igb::Ivar::valid;
  static constexpr std::uint32_t rx_enable = hw::igb::Rxdctl::enable, tx_enable = hw::igb::Txdctl::enable,
                                 tx_flush = hw::igb::Txdctl::swflsh;
  static constexpr std::uint32_t rx_thresholds = hw::igb::Rxdctl::wthresh_1, tx_thresholds = hw::igb::Txdctl::wthresh_1;
  static constexpr std::uint32_t srrctl_mode = hw::igb::Srrctl::drop_en | hw::igb::Srrctl::desctype_advanced,
                                 srrctl_size_mask = hw::igb::Srrctl::bsizepacket_mask;
  static constexpr std::uint32_t dca_must_clear = 0;
  static constexpr std::uint64_t bad_frame = hw::igb::RxError::rxe, check_context = 0;

  static constexpr std::uint32_t psrtype_of(unsigned) { return 0; }  // no header is split off, one queue
};

}  // namespace vigia::vf::igbvf
