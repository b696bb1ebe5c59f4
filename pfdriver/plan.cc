// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

namespace vigia::pf {

ScopeContext scope_context(const PfConfig& config, std::span<const VfState> states, const TapPlan& taps) {
  ScopeContext context;
  for (const VfConfig& vf : config.vf) {
    context.titles.push_back(vf.title());
    context.port_vlan.push_back(vf.port_vlan ? vf.vlan.value_or(0) : std::uint16_t{0});
    auto& vlans = context.vlans.emplace_back();
    if (vf.vlan) vlans.push_back(*vf.vlan);
    if (vf.index < states.size()) {
      vlans.insert(vlans.end(), states[vf.index].vlans.begin(), states[vf.index].vlans.end());
    }
  }
  context.titles.push_back("the PF");
  context.loopback = config.loopback;
  context.promiscuous = taps.port_receive;
  context.default_pool = taps.default_pool.has_value() || config.default_pool == DefaultPool::pf;
  return context;
}

Plan make_plan(const Capabilities& nic, const PfConfig& config, const Current& current) {
  Plan plan;
  if (config.generator != GeneratorKind::native) {
    plan.refusals.push_back(
        fmt::format("pf.generator: {} is wanted, and this port is driven by native; end vigia-pf and start it with the "
                    "other device",
                    generator_word(config.generator)));
    return plan;
  }
  const TapPlan taps = plan_taps(nic, config, current.states);
  plan.rules = taps.rules;
  plan.refusals = taps.refusals;
  plan.warnings = taps.warnings;
  if (current.vfs && *current.vfs != config.vfs) {
    plan.refusals.push_back(
        fmt::format("pf.vfs: the port is up with {} VFs; {} need a restart of vigia-pf, which resets every VF",
                    *current.vfs, config.vfs));
    return plan;  // pools would move: nothing else can be compared
  }
  const Desired desired = desired_image(nic, config, current.states, taps, current.image);
  plan.refusals.insert(plan.refusals.end(), desired.misfits.begin(), desired.misfits.end());
  const ScopeContext context = scope_context(config, current.states, taps);
  for (const MirrorRule& rule : plan.rules) {
    for (std::string& scope : effective_scope(rule, context)) plan.scopes.push_back(std::move(scope));
  }
  if (plan.applicable()) plan.changes = difference(current.image, desired.image);
  return plan;
}

Result<Done> verdict(const Plan& plan) {
  if (plan.applicable()) return Done{};
  return input_error(fmt::format("{}", fmt::join(plan.refusals, "\n")));
}

std::string plan_text(const Plan& plan) {
  std::string out;
  for (const std::string& refusal : plan.refusals) out += fmt::format("refused: {}\n", refusal);
  for (const std::string& scope : plan.scopes) out += fmt::format("{}\n", scope);
  for (const std::string& warning : plan.warnings) out += fmt::format("warning: {}\n", warning);
  if (!plan.applicable()) return out;
  if (plan.size() == 0) return out + "nothing to change\n";
  if (!plan.lines.empty()) out += fmt::format("{} changes:\n", plan.lines.size());
  for (const PlanLine& line : plan.lines) {
    out += fmt::format("  {:<16} {} -> {}  {}\n", line.what, line.before, line.after, line.meaning);
  }
  if (!plan.changes.empty()) out += fmt::format("{} register writes:\n", plan.changes.size());
  for (const Change& change : plan.changes) {
    out += fmt::format("  {:<16} {:08x} -> {:08x}  {}\n", change.cell.name(), change.before, change.after,
                       info(change.cell.field).meaning);
  }
  return out;
}

std::string plan_json(const Plan& plan) {
  nlohmann::json out{{"applicable", plan.applicable()},  {"refusals", plan.refusals},
                     {"warnings", plan.warnings},        {"scopes", plan.scopes},
                     {"rules", nlohmann::json::array()}, {"changes", nlohmann::json::array()}};
  for (const MirrorRule& rule : plan.rules) out["rules"].push_back(nlohmann::json::parse(rule_json(rule)));
  for (const Change& change : plan.changes) {
    out["changes"].push_back({{"register", change.cell.name()},
                              {"before", change.before},
                              {"after", change.after},
                              {"meaning", info(change.cell.field).meaning}});
  }
  for (const PlanLine& line : plan.lines) {
    out["changes"].push_back(
        {{"setting", line.what}, {"before", line.before}, {"after", line.after}, {"meaning", line.meaning}});
  }
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace vigia::pf
