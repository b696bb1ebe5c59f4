// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "hw/duplicate_options.h"
#include "orchestrator/capture_input.h"
#include "orchestrator/lab_rate.h"
#include "pfdriver/yaml_fields.h"

namespace vigia::orch {
namespace {

using List = std::vector<Violation>;

// A tenant or an agent, as far as the rules for both go.
struct Actor {
  const std::string& path;
  const std::string& name;
  unsigned vf;
  const hw::Mac& mac;
};

std::vector<Actor> actors(const LabSpec& spec) {
  std::vector<Actor> all;
  for (const TenantSpec& t : spec.tenants) all.push_back({t.path, t.name, t.vf, t.mac});
  for (const AgentSpec& a : spec.agents) all.push_back({a.path, a.name, a.vf, a.mac});
  return all;
}

// --- Names, VFs, addresses ------------------------------------------------------------------------------------------

// Names become file names beside those of the lab itself.
bool good_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return name.size() <= 32 && name.front() != '-' && std::all_of(name.begin(), name.end(), allowed);
}

void check_names(const LabSpec& spec, List& out) {
  std::set<std::string> seen{"softnic", "pf", "wire", "lab", "vigia"};
  for (const Actor& a : actors(spec)) {
    if (a.name.empty()) continue;  // reported when it was read
    if (!good_name(a.name)) {
      out.push_back({a.path + ".name", fmt::format("\"{}\": use at most 32 letters, digits, '-' and '_'", a.name)});
    } else if (!seen.insert(a.name).second) {
      out.push_back({a.path + ".name", fmt::format("\"{}\" is taken; everyone needs a name of its own", a.name)});
    }
  }
}

void check_vfs(const LabSpec& spec, List& out) {
  std::map<unsigned, std::string> users;
  for (const Actor& a : actors(spec)) {
    if (a.vf == kNoVf) continue;
    if (spec.vfs != 0 && a.vf >= spec.vfs) {
      out.push_back({a.path + ".vf",
                     fmt::format("VF {} does not exist; with lab.vfs {} use 0..{}", a.vf, spec.vfs, spec.vfs - 1)});
    } else if (const auto [user, fresh] = users.emplace(a.vf, a.name); !fresh) {
      out.push_back(
          {a.path + ".vf", fmt::format("VF {} is \"{}\"'s already; one VF serves one of them", a.vf, user->second)});
    }
  }
}

void check_macs(const LabSpec& spec, List& out) {
  std::map<std::uint64_t, std::string> owners;
  for (const Actor& a : actors(spec)) {
    if (a.mac.multicast() || a.mac.zero()) {
      out.push_back({a.path + ".mac", fmt::format("{} is no address of a station; use a unicast one", a.mac.text())});
    } else if (const auto [owner, fresh] = owners.emplace(a.mac.packed(), a.name); !fresh) {
      out.push_back({a.path + ".mac", fmt::format("{} is \"{}\"'s already; the switch could not tell them apart",
                                                  a.mac.text(), owner->second)});
    }
  }
}

// --- Taps -----------------------------------------------------------------------------------------------------------

void check_tapped_names(const LabSpec& spec, const AgentSpec& agent, List& out) {
  std::vector<std::string> known;
  for (const TenantSpec& t : spec.tenants) known.push_back(t.name);
  const std::string path = agent.path + ".tap.tenants";
  for (const std::string& name : agent.tap->tenants) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (name == agent.name) {
      out.push_back({path, fmt::format("\"{}\" would tap itself: its copies would be copied; name tenants", name)});
    } else if (std::any_of(spec.agents.begin(), spec.agents.end(), [&](const auto& a) { return a.name == name; })) {
      out.push_back({path, fmt::format("\"{}\" is an agent; taps show the traffic of tenants", name)});
    } else {
      const std::string_view near = pf::yaml::nearest(name, known);
      out.push_back({path, fmt::format("there is no tenant \"{}\"{}", name,
                                       near.empty() ? "; tenants are listed under lab.tenants"
                                                    : fmt::format("; did you mean \"{}\"?", near))});
    }
  }
}

void check_taps(const LabSpec& spec, List& out) {
  for (const AgentSpec& agent : spec.agents) {
    if (agent.queues == 3) out.push_back({agent.path + ".queues", "a VF has 1, 2 or 4"});
    if (auto ok = hw::parse_duplicate_options(agent.dedup); !ok) {
      out.push_back({agent.path + ".dedup", ok.error().text});
    }
    if (!agent.tap) continue;
    if (!agent.tap->says_one_thing()) out.push_back({agent.path + ".tap", std::string(kTapChoice)});
    check_tapped_names(spec, agent, out);
    const auto in_vlan = [&](const TenantSpec& t) { return t.vlan == agent.tap->vlan; };
    if (agent.tap->vlan && std::none_of(spec.tenants.begin(), spec.tenants.end(), in_vlan)) {
      out.push_back(
          {agent.path + ".tap.vlan", fmt::format("no tenant is in VLAN {0}; give one vlan: {0}", *agent.tap->vlan)});
    }
  }
}

// --- Traffic --------------------------------------------------------------------------------------------------------

void check_rate(const std::string& path, const std::string& rate, List& out) {
  if (!parse_rate(rate)) {
    out.push_back({path, fmt::format("\"{}\": use max, <n>x, <n>pps, <n>kpps, <n>mpps, <n>mbps or <n>gbps", rate)});
  }
}

void check_capture(const LabSpec& spec, const std::string& path, const std::string& file, List& out) {
  if (auto whole = check_whole_capture(spec.resolve(file)); !whole) out.push_back({path, whole.error().text});
}

void check_traffic(const LabSpec& spec, List& out) {
  const TrafficSpec& t = spec.traffic;
  if (t.file.empty() == !t.gen) out.push_back({"lab.traffic", "say one of file: FILE and gen: {..}"});
  check_rate("lab.traffic.rate", t.rate, out);
  if (t.gen && !t.gen->rate.empty()) check_rate("lab.traffic.gen.rate", t.gen->rate, out);
  if (!t.file.empty()) check_capture(spec, "lab.traffic.file", t.file, out);
}

void check_tenants(const LabSpec& spec, List& out) {
  for (const TenantSpec& t : spec.tenants) {
    if (!t.match.empty()) {
      if (auto filter = Filter::compile(t.match); !filter) out.push_back({t.path + ".match", filter.error().text});
    }
    if (!t.send.empty() && !t.send.starts_with("gen:")) check_capture(spec, t.path + ".send", t.send, out);
  }
}

}  // namespace

std::vector<Violation> violations(const LabSpec& spec) {
  List out;
  if (spec.tenants.empty() && spec.agents.empty()) {
    out.push_back({"lab", "neither tenants nor an agent: nobody would receive anything"});
  }
  check_names(spec, out);
  check_vfs(spec, out);
  check_macs(spec, out);
  check_taps(spec, out);
  check_traffic(spec, out);
  check_tenants(spec, out);
  return out;
}

void make_up_addresses(LabSpec& spec) {
  std::set<std::uint64_t> taken;
  for (const Actor& a : actors(spec)) taken.insert(a.mac.packed());
  // 02: locally administered, unicast. Counts up until nobody has it.
  const auto fresh = [&](unsigned low) {
    for (;; ++low) {
      const hw::Mac mac{{0x02, 0x00, 0x00, static_cast<std::uint8_t>(low >> 16), static_cast<std::uint8_t>(low >> 8),
                         static_cast<std::uint8_t>(low)}};
      if (taken.insert(mac.packed()).second) return mac;
    }
  };
  for (TenantSpec& t : spec.tenants) {
    if (t.mac.zero()) t.mac = fresh(0xfd0000 + (t.vf & 0xff));
  }
  for (AgentSpec& a : spec.agents) {
    if (a.mac.zero()) a.mac = fresh(0xfe0000 + (a.vf & 0xff));
  }
  spec.nobody = fresh(0xfffffe);
}

}  // namespace vigia::orch
