// SPDX-License-Identifier: Apache-2.0
// What the guest reads at its start, from fw_cfg.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "hw/values.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {

std::string guest_config(const VmSpec& spec) {
  nlohmann::json out = {{"role", spec.captures() ? "probe" : "tenant"}, {"name", spec.name}};
  if (spec.network.mac) out["mac"] = spec.network.mac->text();
  if (spec.network.vlan) out["port_vlan"] = *spec.network.vlan;
  out["storage"] = {{"mode", word(spec.storage.mode)}};
  out["hugepages"] = spec.hugepages.guest;
  if (spec.captures()) {
    out["capture"] = {{"ring", hw::size_word(spec.capture.ring)},
                      {"snaplen", spec.capture.snaplen},
                      {"policy", word(spec.capture.policy)},
                      {"max_file", hw::size_word(spec.capture.max_file)}};
    if (spec.capture.dedup != "off") {
      out["capture"]["dedup"] = spec.capture.dedup;
      if (spec.has_vf()) out["capture"]["mirror_rules"] = "/run/vigia/mirrors.json";  // comes through the channel
    }
    if (spec.capture.rotate.count() != 0) out["capture"]["rotate"] = fmt::format("{}ms", spec.capture.rotate.count());
    if (spec.capture.quota != 0) out["capture"]["quota"] = hw::size_word(spec.capture.quota);
  }
  if (spec.guest) {
    out["mtu"] = spec.guest->mtu;
    if (!spec.guest->address.empty()) out["address"] = spec.guest->address;
    if (!spec.guest->gateway.empty()) out["gateway"] = spec.guest->gateway;
    if (spec.guest->vlan) out["vlan"] = *spec.guest->vlan;
    if (!spec.guest->script.empty()) out["script"] = spec.guest->script;
  }
  return out.dump();
}

}  // namespace vigia::orch
