// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/taps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>

namespace vigia::pf {
namespace {

// A rule in the making, one per destination: types of the same destination share a rule.
using ByDestination = std::map<unsigned, MirrorRule>;

bool named(const Tap& tap, unsigned vf) { return std::find(tap.from.begin(), tap.from.end(), vf) != tap.from.end(); }

std::string title(const PfConfig& config, unsigned vf) { return config.vf[vf].title(); }

// VFs outside the tap that are members of the VLAN, by configuration or on their own request.
std::vector<unsigned> strangers(const PfConfig& config, std::span<const VfState> states, const Tap& tap,
                                std::uint16_t vid) {
  std::vector<unsigned> out;
  for (unsigned v = 0; v < config.vfs; ++v) {
    if (named(tap, v)) continue;
    const bool granted = v < states.size() && states[v].vlans.count(vid) != 0;
    if (config.vf[v].vlan == vid || granted) out.push_back(v);
  }
  return out;
}

// Why the tenant has no VLAN that is only the tap's; empty when it has.
std::string why_no_vlan(const PfConfig& config, std::span<const VfState> states, const Tap& tap, unsigned tenant) {
  const VfConfig& vf = config.vf[tenant];
  if (!vf.vlan) return fmt::format("{} has no VLAN", vf.title());
  const auto others = strangers(config, states, tap, *vf.vlan);
  if (others.empty()) return "";
  return fmt::format("VLAN {} of {} is {}'s too", *vf.vlan, vf.title(), title(config, others.front()));
}

void add_vid(MirrorRule& rule, std::uint16_t vid) {
  rule.vlan = true;
  if (std::find(rule.vids.begin(), rule.vids.end(), vid) == rule.vids.end()) rule.vids.push_back(vid);
  std::sort(rule.vids.begin(), rule.vids.end());
}

void warn_of_downlink(const PfConfig& config, const Tap& tap, TapPlan& plan) {
  plan.warnings.push_back(
      fmt::format("tap {}: {} must not send to the network what it receives: it would get a copy of it, for ever",
                  tap.name, title(config, tap.to)));
}

void warn_of_vlan(const PfConfig& config, const Tap& tap, std::uint16_t vid, TapPlan& plan) {
  if (tap.direction == Direction::tx) {
    plan.warnings.push_back(fmt::format(
        "tap {}: a VLAN rule copies both directions of VLAN {}, not only what its members send", tap.name, vid));
  }
  for (const VfConfig& vf : config.vf) {
    if (!named(tap, vf.index) && !vf.spoof_check) {
      plan.warnings.push_back(
          fmt::format("tap {}: {} may send frames tagged {}, which the rule would copy; spoof_check: true prevents it",
                      tap.name, vf.title(), vid));
    }
  }
}

// What tenants send: by VLAN if each has one that nobody else has, else all that leaves the port, if that is allowed.
void plan_transmit(const Capabilities& nic, const PfConfig& config, std::span<const VfState> states, const Tap& tap,
                   MirrorRule& rule, TapPlan& plan) {
  if (!config.loopback) {
    plan.refusals.push_back(
        fmt::format("tap {}: with loopback: false nothing that a VF sends can be mirrored; set loopback: true, or use "
                    "direction: rx",
                    tap.name));
    return;
  }
  std::vector<std::string> reasons;
  for (const unsigned tenant : tap.from) {
    if (auto why = why_no_vlan(config, states, tap, tenant); !why.empty()) reasons.push_back(std::move(why));
  }
  if (reasons.empty()) {
    for (const unsigned tenant : tap.from) add_vid(rule, *config.vf[tenant].vlan);
    for (const std::uint16_t vid : rule.vids) warn_of_vlan(config, tap, vid, plan);
    return;
  }
  if (!tap.allow_port_scope) {
    plan.refusals.push_back(fmt::format(
        "tap {}: the {} cannot mirror what one VF sends, and {}; give each tapped VF a vlan of its own (then a VLAN "
        "rule copies just that), or set allow_port_scope: true (then {} gets what every VF sends to the network)",
        tap.name, nic.name, fmt::join(reasons, ", "), title(config, tap.to)));
    return;
  }
  rule.downlink = true;
  warn_of_downlink(config, tap, plan);
}

void plan_port(const PfConfig& config, const Tap& tap, MirrorRule& rule, TapPlan& plan) {
  if (tap.wants_rx()) {
    rule.uplink = true;
    plan.port_receive = true;
    // One pool is enough to make every list non-empty; with default_pool: pf it is there already.
    if (!plan.default_pool && config.default_pool == DefaultPool::drop) plan.default_pool = tap.to;
  }
  if (!tap.wants_tx()) return;
  if (!config.loopback) {
    plan.refusals.push_back(
        fmt::format("tap {}: with loopback: false nothing that leaves the port can be mirrored; set loopback: true, or "
                    "use direction: rx",
                    tap.name));
    return;
  }
  rule.downlink = true;
  warn_of_downlink(config, tap, plan);
}

// One rule per destination, or one per type and destination on a NIC whose rules have one type each.
std::vector<MirrorRule> split_by_type(const MirrorRule& rule) {
  std::vector<MirrorRule> out;
  const auto add = [&](bool MirrorRule::*type) {
    if (!(rule.*type)) return;
    MirrorRule one;
    one.destination = rule.destination;
    one.*type = true;
    if (type == &MirrorRule::pool) one.sources = rule.sources;
    if (type == &MirrorRule::vlan) one.vids = rule.vids;
    out.push_back(one);
  };
  for (const auto type : {&MirrorRule::pool, &MirrorRule::uplink, &MirrorRule::downlink, &MirrorRule::vlan}) add(type);
  return out;
}

void admit(const Capabilities& nic, const PfConfig& config, const ByDestination& wanted, TapPlan& plan) {
  for (const auto& [destination, rule] : wanted) {
    if (nic.mirror_types_combine) {
      plan.rules.push_back(rule);
    } else {
      for (const MirrorRule& one : split_by_type(rule)) plan.rules.push_back(one);
    }
  }
  for (unsigned slot = 0; slot < plan.rules.size(); ++slot) plan.rules[slot].slot = slot;
  if (plan.rules.size() > nic.mirror_rules) {
    std::vector<std::string> agents;
    for (const auto& entry : wanted) agents.push_back(title(config, entry.first));
    plan.refusals.push_back(fmt::format(
        "taps: {} mirror rules are needed and the {} has {}, with one destination each; the taps go to {}: let {} or "
        "fewer agents receive them (taps with the same agent share a rule)",
        plan.rules.size(), nic.name, nic.mirror_rules, fmt::join(agents, ", "), nic.mirror_rules));
  }
}

void warn_of_load(const PfConfig& config, TapPlan& plan) {
  unsigned full_copies = 0;
  for (const MirrorRule& rule : plan.rules) {
    full_copies += (rule.uplink || rule.downlink) ? 1 : 0;
    const bool arrives = rule.pool || rule.uplink;
    const bool leaves = rule.downlink || (rule.vlan && std::popcount(rule.sources) > 1);
    if (arrives && leaves) {
      plan.warnings.push_back(fmt::format(
          "{} sees a frame twice that leaves the port and comes back to a tapped VF through the network; one "
          "that the NIC switches itself is copied once",
          title(config, rule.destination)));
    }
  }
  // 82599 reference 16.2: two to three full-rate copies of a 10 Gb/s port fit the bus.
  if (full_copies >= 2) {
    plan.warnings.push_back(
        fmt::format("{} rules copy the whole port; the bus carries two to three copies of it at line rate, beyond that "
                    "the packet buffer fills and tenants lose frames too",
                    full_copies));
  }
}

}  // namespace

TapPlan plan_taps(const Capabilities& nic, const PfConfig& config, std::span<const VfState> states) {
  TapPlan plan;
  ByDestination wanted;
  for (const Tap& tap : config.taps) {
    MirrorRule rule;
    if (tap.port) {
      plan_port(config, tap, rule, plan);
    } else {
      if (tap.wants_rx()) {
        rule.pool = true;
        for (const unsigned tenant : tap.from) rule.sources |= std::uint64_t{1} << tenant;
      }
      if (tap.wants_tx()) plan_transmit(nic, config, states, tap, rule, plan);
    }
    if (!rule.pool && !rule.uplink && !rule.downlink && !rule.vlan) continue;  // refused
    MirrorRule& merged = wanted[tap.to];
    merged.destination = tap.to;
    merged.pool |= rule.pool;
    merged.uplink |= rule.uplink;
    merged.downlink |= rule.downlink;
    merged.sources |= rule.sources;
    for (const std::uint16_t vid : rule.vids) add_vid(merged, vid);
  }
  admit(nic, config, wanted, plan);
  warn_of_load(config, plan);
  return plan;
}

std::vector<std::uint16_t> reserved_vlans(const PfConfig& config) {
  std::vector<std::uint16_t> out;
  for (const Tap& tap : config.taps) {
    if (tap.port || !tap.wants_tx()) continue;
    for (const unsigned tenant : tap.from) {
      if (config.vf[tenant].vlan) out.push_back(*config.vf[tenant].vlan);
    }
  }
  return out;
}

}  // namespace vigia::pf
