// SPDX-License-Identifier: Apache-2.0
// What each type copies: 82599 reference 8.5 and 9.
#include "pfdriver/mirror_rule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vigia::pf {
namespace {

constexpr unsigned kPools = 64;

std::string titles_of(std::uint64_t pools, const ScopeContext& context) {
  std::vector<std::string> names;
  for (unsigned p = 0; p < kPools; ++p) {
    if ((pools >> p & 1) != 0) names.push_back(context.title(p));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::uint64_t members_of(std::uint16_t vid, const ScopeContext& context) {
  std::uint64_t out = 0;
  for (unsigned p = 0; p < context.vlans.size() && p < kPools; ++p) {
    const auto& vlans = context.vlans[p];
    if (std::find(vlans.begin(), vlans.end(), vid) != vlans.end()) out |= std::uint64_t{1} << p;
  }
  return out;
}

std::string pool_scope(const MirrorRule& rule, const ScopeContext& context) {
  return fmt::format("every frame that {} receives, from the network{}", titles_of(rule.sources, context),
                     context.loopback ? " or from another VF of this port" : "");
}

std::string uplink_scope(const ScopeContext& context) {
  if (context.promiscuous && context.default_pool) {
    return "every frame that arrives from the network, whatever its address or VLAN";
  }
  return "every frame from the network that the port accepts and at least one pool takes";
}

std::string vlan_scope(std::uint16_t vid, const ScopeContext& context) {
  const std::uint64_t members = members_of(vid, context);
  bool all_port_vlan = members != 0;
  for (unsigned p = 0; p < context.port_vlan.size() && p < kPools; ++p) {
    if ((members >> p & 1) != 0 && context.port_vlan[p] != vid) all_port_vlan = false;
  }
  return fmt::format(
      "every frame of VLAN {} in both directions, received from the network or sent by {}{}", vid,
      members == 0 ? "a VF" : titles_of(members, context),
      all_port_vlan ? "; the NIC tags all that it sends" : "; what it sends without that tag is not copied");
}

}  // namespace

std::string ScopeContext::title(unsigned pool) const {
  return pool < titles.size() ? titles[pool] : fmt::format("pool {}", pool);
}

std::vector<std::string> effective_scope(const MirrorRule& rule, const ScopeContext& context) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view text) {
    out.push_back(fmt::format("rule {} -> {}: {}", rule.slot, context.title(rule.destination), text));
  };
  if (rule.pool) add(pool_scope(rule, context));
  if (rule.uplink) add(uplink_scope(context));
  if (rule.downlink) {
    add("every frame that any VF sends to the network; not what VFs send to each other inside the NIC");
  }
  if (rule.vlan) {
    for (const std::uint16_t vid : rule.vids) add(vlan_scope(vid, context));
  }
  return out;
}

std::string rule_json(const MirrorRule& rule) {
  std::vector<unsigned> sources;
  for (unsigned p = 0; p < kPools; ++p) {
    if ((rule.sources >> p & 1) != 0) sources.push_back(p);
  }
  return nlohmann::json{{"slot", rule.slot},         {"destination", rule.destination},
                        {"pool", rule.pool},         {"uplink", rule.uplink},
                        {"downlink", rule.downlink}, {"vlan", rule.vlan},
                        {"sources", sources},        {"vids", rule.vids}}
      .dump();
}

}  // namespace vigia::pf
