// SPDX-License-Identifier: Apache-2.0
// What would change, and what each mirror rule will really copy. Pure: (capabilities, desired, current) -> plan.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pfdriver/capabilities.h"
#include "pfdriver/config.h"
#include "pfdriver/desired.h"
#include "pfdriver/mirror_rule.h"
#include "pfdriver/registers.h"
#include "pfdriver/vf_state.h"

namespace vigia::pf {

// A change that is no register of native's table, in words: "VF 0 MAC", "00:..", "02:..".
struct PlanLine {
  std::string what, before, after, meaning;
  friend bool operator==(const PlanLine&, const PlanLine&) = default;
};

struct Plan {
  std::vector<Change> changes;  // in writing order
  std::vector<PlanLine> lines;  // likewise; of generators whose changes are not only registers
  std::vector<MirrorRule> rules;
  std::vector<std::string> scopes;    // the effective scope of each rule, one sentence per type
  std::vector<std::string> refusals;  // why it cannot be applied, each with the alternative; empty: it can
  std::vector<std::string> warnings;

  bool applicable() const { return refusals.empty(); }
  std::size_t size() const { return changes.size() + lines.size(); }
};

struct Current {
  Image image;                  // as read from the device; Image{} for a port that is not up
  std::vector<VfState> states;  // what VFs have been granted; empty: nothing known
  std::optional<unsigned> vfs;  // VFs that the running port has; none: not up
};

Plan make_plan(const Capabilities& nic, const PfConfig& config, const Current& current);

// Refusals as one input error (exit status 2).
Result<Done> verdict(const Plan& plan);

// For people and, as one JSON object, for programs.
std::string plan_text(const Plan& plan);
std::string plan_json(const Plan& plan);

// What the words of a scope depend on, from a config and what VFs have been granted.
ScopeContext scope_context(const PfConfig& config, std::span<const VfState> states, const TapPlan& taps);

}  // namespace vigia::pf
