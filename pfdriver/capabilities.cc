// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/capabilities.h"

#include <array>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"

namespace vigia::pf {
namespace {

namespace ixgbe = hw::ixgbe;

// 82599 reference 7.1.
constexpr std::array kModes82599{
    PoolMode{32, 4, ixgbe::VtMode::pools_32, ixgbe::Mrqc::vmdq_rss_32x4, ixgbe::Mtqc::vt_32},
    PoolMode{64, 2, ixgbe::VtMode::pools_64, ixgbe::Mrqc::vmdq_rss_64x2, ixgbe::Mtqc::vt_64},
};

// 82599 reference 1.4, 5, 7, 8.6, 9. Combined mirror types: the datasheet's successor advises against it, DPDK and the
// 82599 test plan do it.
constexpr std::array kNics{
    Capabilities{.pf = ixgbe::kPfId,
                 .name = "82599",
                 .queues = ixgbe::pf::kQueues,
                 .addresses = ixgbe::pf::kRars,
                 .pool_vlans = ixgbe::pf::kVlvfs,
                 .mirror_rules = ixgbe::pf::kMirrorRules,
                 .mirror_types_combine = true,
                 .mirror_vf_transmit = false,
                 .vf_unicast_promiscuous = false,
                 .one_frame_size = true,
                 .largest_frame = 9728,
                 .rate_limit_memory = 4,
                 .link_mbps = 10'000,
                 .pool_modes = kModes82599},
};

}  // namespace

const Capabilities* capabilities_of(hw::PciId pf) {
  for (const Capabilities& nic : kNics) {
    if (nic.pf == pf) return &nic;
  }
  return nullptr;
}

const Capabilities& capabilities_82599() { return kNics[0]; }

const PoolMode& pool_mode(const Capabilities& nic, unsigned vfs) {
  for (const PoolMode& mode : nic.pool_modes) {
    if (vfs < mode.pools) return mode;
  }
  return nic.pool_modes.back();
}

}  // namespace vigia::pf
