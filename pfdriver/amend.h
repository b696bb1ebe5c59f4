// SPDX-License-Identifier: Apache-2.0
// Changing a part of what is wanted of a port: one VF, one tap. The orchestrator amends when a VM comes or goes, so it
// need not own the operator's pf.yaml; what was there before comes back with the answer and is what undoes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hw/result.h"
#include "pfdriver/config.h"

namespace vigia::pf {

struct Amendment {
  std::vector<VfConfig> vf;              // each replaces the whole entry of its VF
  std::vector<Tap> taps;                 // added, or in place of the tap of that name
  std::vector<std::string> remove_taps;  // by name; one that is not there is no fault
  friend bool operator==(const Amendment&, const Amendment&) = default;
};

// YAML, and so JSON too: {vf: [..], taps: [..], remove_taps: [..]}, the entries as in pf.yaml. Bad text is an input
// error that lists every fault.
Result<Amendment> parse_amendment(std::string_view text, std::string_view file);
std::string amendment_json(const Amendment& amendment);

// The config with the amendment made; an input error when it then breaks a rule between options. Pure.
Result<PfConfig> amend(PfConfig config, const Amendment& amendment);
// The amendment that takes `amendment` back on `config`, as it is before. Pure.
Amendment undo_of(const PfConfig& config, const Amendment& amendment);

// {"vfs": N, "mtu": N, "vf": [..], "taps": [..]}: what is wanted now, entries as parse_amendment reads them.
std::string config_json(const PfConfig& config);

}  // namespace vigia::pf
