// SPDX-License-Identifier: Apache-2.0
// The mirrors of a port, as `vigia pf show --json` prints them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "vfdriver/mirror_copies.h"

namespace vigia::vf {
namespace {

using nlohmann::json;

// The functions below throw json::exception at what is not of the form; caught in parse_mirror_rules().
MirroredTenant tenant_from(const json& vf) {
  MirroredTenant tenant;
  for (const std::string& text : vf.at("macs").get<std::vector<std::string>>()) {
    if (const auto mac = hw::Mac::parse(text)) tenant.macs.push_back(*mac);
  }
  tenant.vlans = vf.at("vlans").get<std::vector<std::uint16_t>>();
  if (const json& vlan = vf.at("port_vlan"); !vlan.is_null()) tenant.port_vlan = vlan.get<std::uint16_t>();
  return tenant;
}

// Nothing: nothing is mirrored.
Result<std::optional<unsigned>> find_agent(const json& port, const std::map<unsigned, MirroredTenant>& vfs,
                                           const std::string& what, const std::optional<hw::Mac>& own) {
  std::set<unsigned> agents;
  for (const json& mirror : port.at("mirrors")) agents.insert(mirror.at("to").get<unsigned>());
  for (const json& rule : port.at("rules")) agents.insert(rule.at("destination").get<unsigned>());
  if (agents.empty()) return std::optional<unsigned>();
  if (agents.size() == 1) return std::optional(*agents.begin());
  for (const unsigned agent : agents) {
    const auto vf = vfs.find(agent);
    if (vf == vfs.end() || !own) continue;
    for (const hw::Mac& mac : vf->second.macs) {
      if (mac == *own) return std::optional(agent);
    }
  }
  return input_error(fmt::format("{}: copies go to VF {}; say by --mirror-agent which of them this capture is", what,
                                 fmt::join(agents, ", ")));
}

Result<MirrorRules> rules_from(const json& port, const std::string& what, std::optional<unsigned> agent,
                               const std::optional<hw::Mac>& own) {
  std::map<unsigned, MirroredTenant> vfs;
  for (const json& vf : port.at("vfs")) vfs[vf.at("index").get<unsigned>()] = tenant_from(vf);
  if (!agent) {
    const auto found = find_agent(port, vfs, what, own);
    if (!found) return found.error();
    agent = *found;
  }
  MirrorRules rules;
  rules.vf = agent;
  if (!agent) return rules;
  if (const auto self = vfs.find(*agent); self != vfs.end()) rules.agent = self->second.macs;
  for (const json& rule : port.at("rules")) rules.once = rules.once || rule.at("destination") == *agent;
  std::set<unsigned> mirrored;
  for (const json& mirror : port.at("mirrors")) {
    if (mirror.at("to") != *agent) continue;
    const auto from = mirror.at("from").get<unsigned>();
    const auto tenant = vfs.find(from);
    if (tenant == vfs.end() || tenant->second.macs.empty()) {
      return input_error(fmt::format(
          "{}: the address of VF {}, which is mirrored, is not there; give it `mac` in the PF's configuration", what,
          from));
    }
    mirrored.insert(from);
    (mirror.at("direction") == "rx" ? tenant->second.receives : tenant->second.sends) = true;
  }
  for (const unsigned from : mirrored) rules.tenants.push_back(vfs[from]);
  return rules;
}

}  // namespace

Result<MirrorRules> parse_mirror_rules(std::string_view text, const std::string& what, std::optional<unsigned> agent,
                                       const std::optional<hw::Mac>& port) {
  if (text.empty()) return input_error(what + ": cannot be read, or is empty");
  try {
    return rules_from(json::parse(text), what, agent, port);
  } catch (const json::exception& wrong) {
    return input_error(
        fmt::format("{}: not what `vigia pf show --json` of this version prints ({})", what, wrong.what()));
  }
}

std::string read_mirror_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  return in ? text.str() : "";
}

Result<MirrorRules> load_mirror_rules(const std::filesystem::path& file, std::optional<unsigned> agent,
                                      const std::optional<hw::Mac>& port) {
  auto rules = parse_mirror_rules(read_mirror_text(file), file.string(), agent, port);
  if (!rules || !rules->none()) return rules;
  if (!rules->vf) {
    return input_error(file.string() + ": nothing is mirrored; bring the tap up first, or capture without it");
  }
  return input_error(fmt::format("{}: nothing is mirrored to VF {}; is it the agent's?", file.string(), *rules->vf));
}

}  // namespace vigia::vf
