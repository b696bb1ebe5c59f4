// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/copies.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "pfdriver/plan.h"
#include "pfdriver/taps.h"

namespace vigia::pf {
namespace {

std::uint64_t bit(unsigned pool) { return std::uint64_t{1} << pool; }

std::string titles(const PfConfig& config, std::uint64_t pools) {
  std::vector<std::string> out;
  for (const VfConfig& vf : config.vf) {
    if ((pools >> vf.index & 1) != 0) out.push_back(vf.title());
  }
  return fmt::format("{}", fmt::join(out, ", "));
}

std::uint32_t value_at(const Words& words, std::uint32_t offset) {
  const auto at = words.find(offset);
  return at == words.end() ? 0 : at->second;
}

void add_pool(const FilterEntry& entry, unsigned pool, Words& words) {
  for (const PoolBits& bits : entry.pools) {
    if (pool >= bits.first && pool < bits.first + bits.bits) {
      words[bits.offset] |= 1u << (bits.shift + pool - bits.first);
    }
  }
}

// A port without rules that hold: what can be done by its filters.
void plan_replication(const Family& family, const PfConfig& config, const Tap& tap, CopyPlan& plan) {
  const auto refuse = [&](std::string text) {
    plan.refusals.push_back(fmt::format("tap {}: {}", tap.name, std::move(text)));
  };
  const std::string agent = config.vf[tap.to].title();
  if (tap.wants_tx()) {
    refuse(fmt::format(
        "this {} keeps no mirror rule (what is written to one reads back as 0), and its filters copy only what is "
        "received; set direction: rx{}",
        family.nic.name, tap.port ? "" : ", or capture in the guest what it sends"));
    return;
  }
  if (!tap.port) {
    Replication copy{tap.to, 0, false};
    for (const unsigned vf : tap.from) copy.from |= bit(vf);
    plan.scopes.push_back(fmt::format(
        "copy -> {}: every frame to an address of {}, from the network or from another VF of this port; with it the "
        "broadcasts and multicasts that reach {} there",
        agent, titles(config, copy.from), tap.from.size() == 1 ? "it" : "them"));
    plan.replications.push_back(copy);
    return;
  }
  if (family.unicast_hash.empty()) {
    refuse(
        fmt::format("this {} keeps no mirror rule, without which one VF cannot get the whole port", family.nic.name));
    return;
  }
  if (!tap.allow_port_scope) {
    refuse(fmt::format(
        "this {} keeps no mirror rule; {} can get the whole port by hash filters opened wide, but then the other VFs "
        "lose the multicasts that they get by hash (IPv6 neighbours, mDNS): set allow_port_scope: true to accept that, "
        "or tap tenants by from: [..]",
        family.nic.name, agent));
    return;
  }
  plan.replications.push_back({tap.to, 0, true});
  plan.scopes.push_back(fmt::format(
      "copy -> {}: every frame that arrives from the network, untagged or of a VLAN that some VF is in, and every "
      "frame that VFs send each other; other VFs get no multicasts by hash meanwhile",
      agent));
  plan.warnings.push_back(
      fmt::format("tap {}: the table of unicast hashes cannot be read back; it is written anew "
                  "every second",
                  tap.name));
}

void want_port(const Family& family, unsigned agent, Words& words) {
  for (const std::vector<FilterEntry>* entries : {&family.addresses, &family.vlans}) {
    for (const FilterEntry& entry : *entries) {
      if (pools_of(entry, words) != 0) add_pool(entry, agent, words);
    }
  }
  for (const std::uint32_t offset : family.multicast_hash) words[offset] = ~0u;
  // Some parts let hashed unicast in by the bit for hashed multicast, so tenants must not have it while all is let in.
  for (unsigned pool = 0; pool < family.accept.size(); ++pool) {
    if (pool != agent) words[family.accept[pool]] &= ~Accept::multicast_hash;
  }
  words[family.accept[agent]] |= Accept::all;
}

void want_tenants(const Family& family, const Replication& copy, Words& words) {
  for (const std::vector<FilterEntry>* entries : {&family.addresses, &family.vlans}) {
    for (const FilterEntry& entry : *entries) {
      if ((pools_of(entry, words) & copy.from) != 0) add_pool(entry, copy.agent, words);
    }
  }
  constexpr std::uint32_t kToMany =
      Accept::untagged | Accept::multicast_hash | Accept::broadcast | Accept::all_multicast;
  for (unsigned pool = 0; pool < family.accept.size(); ++pool) {
    if ((copy.from >> pool & 1) != 0) words[family.accept[copy.agent]] |= words[family.accept[pool]] & kToMany;
  }
}

void want_rule(const Family& family, const MirrorRule& rule, Words& words) {
  const RuleRegisters& at = family.rules[rule.slot];
  for (std::size_t w = 0; w < at.pools.size(); ++w) {
    words[at.pools[w]] = static_cast<std::uint32_t>(rule.sources >> (32 * w));
    words[at.vlans[w]] = 0;
  }
  for (std::size_t k = 0; k < family.vlans.size(); ++k) {
    const std::uint32_t entry = value_at(words, family.vlans[k].valid_offset);
    const auto vid = static_cast<std::uint16_t>(entry & 0xfff);
    if ((entry & family.vlans[k].valid_bit) == 0) continue;
    if (std::find(rule.vids.begin(), rule.vids.end(), vid) != rule.vids.end()) words[at.vlans[k / 32]] |= 1u << k % 32;
  }
  words[at.control] = (rule.pool ? 1u : 0) | (rule.uplink ? 2u : 0) | (rule.downlink ? 4u : 0) | (rule.vlan ? 8u : 0) |
                      rule.destination << family.destination_shift;
}

void want_whole_port_rule(const Family& family, const CopyPlan& plan, Words& words) {
  if (family.accept_all_offset == 0) return;
  words[family.accept_all_offset] |= family.accept_all_bits;
  for (const std::uint32_t offset : family.port_vlans) words[offset] = ~0u;
  if (!plan.default_pool) return;
  std::uint32_t& control = words[family.default_pool_offset];
  control &= ~(family.default_pool_off | family.default_pool_mask);
  control |= *plan.default_pool << family.default_pool_shift;
}

bool is_control(const Family& family, std::uint32_t offset) {
  return std::any_of(family.rules.begin(), family.rules.end(), [&](const auto& r) { return r.control == offset; });
}

}  // namespace

bool CopyPlan::whole_port() const {
  return port_receive ||
         std::any_of(replications.begin(), replications.end(), [](const Replication& r) { return r.port; });
}

CopyPlan plan_copies(const Family& family, const PfConfig& config, bool has_rules) {
  CopyPlan plan;
  if (!has_rules) {
    for (const Tap& tap : config.taps) plan_replication(family, config, tap, plan);
    return plan;
  }
  const TapPlan taps = plan_taps(family.nic, config, {});
  plan.rules = taps.rules;
  plan.refusals = taps.refusals;
  plan.warnings = taps.warnings;
  plan.port_receive = taps.port_receive;
  plan.default_pool = taps.default_pool;
  const ScopeContext context = scope_context(config, {}, taps);
  for (const MirrorRule& rule : plan.rules) {
    for (std::string& scope : effective_scope(rule, context)) plan.scopes.push_back(std::move(scope));
  }
  if (plan.port_receive && family.accept_all_offset == 0) {
    plan.warnings.push_back(fmt::format(
        "the {} is not told to accept foreign unicast: the copy has what the port accepts for itself and its VFs",
        family.nic.name));
  }
  return plan;
}

std::uint64_t pools_of(const FilterEntry& entry, const Words& words) {
  if ((value_at(words, entry.valid_offset) & entry.valid_bit) == 0) return 0;
  std::uint64_t out = 0;
  for (const PoolBits& bits : entry.pools) {
    const std::uint64_t field = value_at(words, bits.offset) >> bits.shift & ((std::uint64_t{1} << bits.bits) - 1);
    out |= field << bits.first;
  }
  return out;
}

std::vector<std::uint32_t> registers_of(const Family& family, const CopyPlan& plan) {
  std::set<std::uint32_t> out;
  const auto add_entries = [&](const std::vector<FilterEntry>& entries) {
    for (const FilterEntry& entry : entries) {
      out.insert(entry.valid_offset);
      for (const PoolBits& bits : entry.pools) out.insert(bits.offset);
    }
  };
  if (!plan.replications.empty()) {
    add_entries(family.addresses);
    add_entries(family.vlans);
    out.insert(family.accept.begin(), family.accept.end());
    if (plan.whole_port()) out.insert(family.multicast_hash.begin(), family.multicast_hash.end());
  }
  for (const MirrorRule& rule : plan.rules) {
    const RuleRegisters& at = family.rules[rule.slot];
    out.insert(at.control);
    out.insert(at.pools.begin(), at.pools.end());
    out.insert(at.vlans.begin(), at.vlans.end());
    if (rule.vlan) add_entries(family.vlans);
  }
  if (plan.port_receive && family.accept_all_offset != 0) {
    out.insert({family.accept_all_offset, family.default_pool_offset});
    out.insert(family.port_vlans.begin(), family.port_vlans.end());
  }
  return {out.begin(), out.end()};
}

Words wanted(const Family& family, const CopyPlan& plan, const Words& now) {
  Words words = now;
  for (const Replication& copy : plan.replications) {
    if (copy.port) {
      want_port(family, copy.agent, words);
    } else {
      want_tenants(family, copy, words);
    }
  }
  for (const MirrorRule& rule : plan.rules) want_rule(family, rule, words);
  if (plan.port_receive) want_whole_port_rule(family, plan, words);
  return words;
}

Words wanted_blindly(const Family& family, const CopyPlan& plan) {
  Words words;
  const bool port = std::any_of(plan.replications.begin(), plan.replications.end(), [](auto& r) { return r.port; });
  if (port) {
    for (const std::uint32_t offset : family.unicast_hash) words[offset] = ~0u;
  }
  return words;
}

Words without(const Family& family, const Words& now, const std::vector<Claim>& claims) {
  Words words = now;
  const auto entry_of = [&](std::uint32_t offset) -> const FilterEntry* {
    for (const std::vector<FilterEntry>* entries : {&family.addresses, &family.vlans}) {
      for (const FilterEntry& entry : *entries) {
        if (entry.holds(offset)) return &entry;
      }
    }
    return nullptr;
  };
  for (const Claim& claim : claims) {
    const auto at = words.find(claim.offset);
    if (at == words.end()) continue;
    const bool intact = (at->second & claim.set) == claim.set && (at->second & claim.cleared) == 0;
    if (!intact) continue;
    const std::uint32_t before = at->second;
    at->second = (before & ~claim.set) | claim.cleared;
    // An entry that would be left to nobody has become the agent's own.
    if (const FilterEntry* entry = entry_of(claim.offset); entry != nullptr && pools_of(*entry, words) == 0) {
      at->second = before;
    }
  }
  return words;
}

Reconciled reconcile(const Family& family, const CopyPlan& plan, const Words& now, const std::vector<Claim>& claims) {
  Reconciled out;
  const Words base = without(family, now, claims);
  const Words goal = wanted(family, plan, base);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> off, controls;
  for (const auto& [offset, value] : goal) {
    const std::uint32_t then = base.at(offset), present = now.at(offset);
    if (value != then) out.claims.push_back({offset, value & ~then, then & ~value});
    if (value == present) continue;
    const auto claim = std::find_if(claims.begin(), claims.end(), [o = offset](auto& c) { return c.offset == o; });
    if (claim != claims.end() && ((present & claim->set) != claim->set || (present & claim->cleared) != 0)) {
      out.undone.push_back(offset);
    }
    if (!is_control(family, offset)) {
      out.writes.emplace_back(offset, value);
      continue;
    }
    if (present != 0) off.emplace_back(offset, 0);
    if (value != 0) controls.emplace_back(offset, value);
  }
  // Masks may change under a rule that stays on.
  for (const RuleRegisters& rule : family.rules) {
    const auto touched = [&](const std::vector<std::uint32_t>& masks) {
      return std::any_of(out.writes.begin(), out.writes.end(),
                         [&](const auto& w) { return std::find(masks.begin(), masks.end(), w.first) != masks.end(); });
    };
    const auto control = goal.find(rule.control);
    if (control == goal.end() || control->second == 0 || control->second != now.at(rule.control)) continue;
    if (!touched(rule.pools) && !touched(rule.vlans)) continue;
    off.emplace_back(rule.control, 0);
    controls.emplace_back(rule.control, control->second);
  }
  out.writes.insert(out.writes.begin(), off.begin(), off.end());
  out.writes.insert(out.writes.end(), controls.begin(), controls.end());
  return out;
}

std::string register_name(const Family& family, std::uint32_t offset) {
  const AllowedRegister* row = family.find(offset);
  if (row == nullptr) return fmt::format("{:#07x}", offset);
  if (row->offsets.size() == 1) return std::string(row->name);
  const auto at = std::find(row->offsets.begin(), row->offsets.end(), offset);
  return fmt::format("{}[{}]", row->name, at - row->offsets.begin());
}

}  // namespace vigia::pf
