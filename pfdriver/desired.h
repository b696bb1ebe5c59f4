// SPDX-License-Identifier: Apache-2.0
// From desired state to registers: the config, what the VFs have been granted and the mirror rules become one image.
// Pure; mailbox service and plan share it, so there is one idea of what a register should hold.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "pfdriver/capabilities.h"
#include "pfdriver/config.h"
#include "pfdriver/registers.h"
#include "pfdriver/taps.h"
#include "pfdriver/vf_state.h"

namespace vigia::pf {

// The PF's own pool: the first that no VF has.
constexpr unsigned pf_pool(const PfConfig& config) { return config.vfs; }
// Receive address that holds VF v's MAC; those below, from 1 on, hold SET_MACVLAN addresses.
constexpr unsigned address_of_vf(const Capabilities& nic, unsigned vf) { return nic.addresses - 1 - vf; }

struct Desired {
  Image image;
  // What did not fit: VLANs beyond PFVLVF, addresses beyond RAR. Empty when the mailbox service has admitted all.
  std::vector<std::string> misfits;
};

// states: one per VF, or empty when no VF has been granted anything. current decides which VLAN entry a VLAN keeps (so
// that rules that point at it stay right) and holds the PF's own address.
Desired desired_image(const Capabilities& nic, const PfConfig& config, std::span<const VfState> states,
                      const TapPlan& taps, const Image& current);

// The MAC in force: the VF's own choice or the configured one.
std::optional<hw::Mac> mac_in_force(const VfConfig& config, const VfState& state);

}  // namespace vigia::pf
