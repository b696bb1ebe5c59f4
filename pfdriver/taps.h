// SPDX-License-Identifier: Apache-2.0
// From wishes to mirror rules: what the NIC can really do for each tap, or a refusal that names the alternative
// (architecture 5.3). Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pfdriver/capabilities.h"
#include "pfdriver/config.h"
#include "pfdriver/mirror_rule.h"
#include "pfdriver/vf_state.h"

namespace vigia::pf {

struct TapPlan {
  std::vector<MirrorRule> rules;      // by slot
  std::vector<std::string> refusals;  // "tap t1: why not; what to do". Any of them: nothing of the plan is applied
  std::vector<std::string> warnings;
  bool port_receive = false;             // the port must accept every frame
  std::optional<unsigned> default_pool;  // where frames go that no pool wants, so that the uplink rule sees them
};

// states: one per VF, or empty when nothing is known (no port yet). The config has been validated and completed.
TapPlan plan_taps(const Capabilities& nic, const PfConfig& config, std::span<const VfState> states);

// VLANs that a rule copies because their members are exactly what a tap names: no other VF may join them.
std::vector<std::uint16_t> reserved_vlans(const PfConfig& config);

}  // namespace vigia::pf
