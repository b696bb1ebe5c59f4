// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/port_mirrors.h"

#include <nlohmann/json.hpp>
#include <set>

namespace vigia::orch {

using nlohmann::json;

std::string mirrors_to(const pf::PortView& port, unsigned vf) {
  json out{{"vfs", json::array()}, {"mirrors", json::array()}, {"rules", json::array()}};
  std::set<unsigned> told{vf};
  for (const pf::PortMirror& mirror : port.mirrors) {
    if (mirror.to != vf) continue;
    out["mirrors"].push_back({{"from", mirror.from}, {"to", vf}, {"direction", pf::direction_word(mirror.direction)}});
    told.insert(mirror.from);
  }
  for (const pf::MirrorRule& rule : port.rules) {
    if (rule.destination == vf) out["rules"].push_back({{"destination", vf}});
  }
  for (const pf::VfView& view : port.vfs) {
    if (!told.contains(view.index)) continue;
    json macs = json::array();
    for (const hw::Mac& mac : view.macs) macs.push_back(mac.text());
    out["vfs"].push_back({{"index", view.index},
                          {"macs", macs},
                          {"vlans", view.vlans},
                          {"port_vlan", view.port_vlan ? json(*view.port_vlan) : json()}});
  }
  return out.dump();
}

}  // namespace vigia::orch
