// SPDX-License-Identifier: Apache-2.0
// Who is shown what: taps, the rules that serve them, and what a promiscuous wish means on this NIC (82599 reference 8,
// 9; the 82599 has no unicast promiscuous mode for VFs).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "orchestrator/doctor_checks.h"
#include "orchestrator/port_change.h"

namespace vigia::orch {
namespace {

pf::MirrorRule sorted(pf::MirrorRule rule) {
  std::sort(rule.vids.begin(), rule.vids.end());
  return rule;
}

// The same copies, whatever slot they are in.
bool same_copies(const pf::MirrorRule& a, const pf::MirrorRule& b) {
  pf::MirrorRule x = sorted(a), y = sorted(b);
  x.slot = y.slot = 0;
  return x == y;
}

bool has_rule(const std::vector<pf::MirrorRule>& rules, const pf::MirrorRule& rule) {
  return std::any_of(rules.begin(), rules.end(), [&](const pf::MirrorRule& other) { return same_copies(other, rule); });
}

std::string rules_text(const PortFacts& port) {
  return port.view.scopes.empty() ? "the NIC has no mirror rule at all"
                                  : fmt::format("the NIC has: {}", fmt::join(port.view.scopes, "; "));
}

std::string fix_rules(const PortFacts& port) {
  return fmt::format(
      "something else writes to this NIC; find it, then restart vigia-pf (--control {}) and `vigia "
      "repair`",
      port.control);
}

// Taps that matter, with their ports. With Facts::only: of VMs that are left in the facts.
struct TapOn {
  const PortFacts* port;
  const pf::Tap* tap;
  std::string who() const {
    const std::string_view vm = vm_of_tap(tap->name);
    return vm.empty() ? fmt::format("tap {}", tap->name) : std::string(vm);
  }
};
std::vector<TapOn> taps(const Facts& facts) {
  std::vector<TapOn> out;
  for (const PortFacts* port : answering_ports(facts)) {
    for (const pf::Tap& tap : port->wishes.taps) {
      if (facts.only.empty() || vm_of_tap(tap.name) == facts.only) out.push_back({port, &tap});
    }
  }
  return out;
}

void tap_without_rule(const Facts& facts, Findings& out) {
  for (const auto& [port, tap] : taps(facts)) {
    const TapOn on{port, tap};
    for (const pf::MirrorRule& wanted : port->view.wanted_rules) {
      if (wanted.destination != tap->to || has_rule(port->view.rules, wanted)) continue;
      out.add(on.who(), "the NIC does not copy what its tap asks for: the mirror rule is not as vigia-pf wrote it",
              fmt::format("wanted {}; {}", pf::rule_json(wanted), rules_text(*port)), fix_rules(*port));
    }
  }
}

void rule_without_tap(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    for (const pf::MirrorRule& rule : port->view.rules) {
      if (has_rule(port->view.wanted_rules, rule)) continue;
      out.add(port->control, "a mirror rule copies frames that no tap asked for", pf::rule_json(rule),
              fix_rules(*port));
    }
  }
}

void tap_elsewhere(const Facts& facts, Findings& out) {
  for (const auto& [port, tap] : taps(facts)) {
    const VmFacts* vm = facts.vm(vm_of_tap(tap->name));
    if (vm == nullptr || !vm->vm.metadata.vf || *vm->vm.metadata.vf == tap->to) continue;
    out.add(vm->vm.name, "its tap shows the traffic to another VF",
            fmt::format("tap {} goes to VF {}, the VM has VF {}", tap->name, tap->to, *vm->vm.metadata.vf),
            "take it down and up");
  }
}

void source_idle(const Facts& facts, Findings& out) {
  for (const auto& [port, tap] : taps(facts)) {
    const TapOn on{port, tap};
    for (const unsigned vf : tap->from) {
      if (vf >= port->view.vfs.size() || vf >= port->wishes.vf.size()) continue;
      const auto& driver = port->view.vfs[vf].driver;
      if (!driver || driver->ready) continue;
      out.add(on.who(),
              fmt::format("it is shown {}, on which no driver runs: nothing is received there, so nothing is "
                          "copied",
                          port->wishes.vf[vf].title()),
              "vigia-pf has seen no RESET from that VF since it was reset itself",
              "start that tenant, or name another one in vm.tap.tenants");
    }
  }
}

void port_not_promiscuous(const Facts& facts, Findings& out) {
  for (const auto& [port, tap] : taps(facts)) {
    if (!tap->port || !tap->wants_rx() || port->view.promiscuous) continue;
    const TapOn on{port, tap};
    out.add(on.who(), "it watches the port, but the port refuses frames for addresses that are not its own",
            drift_or(*port, "FCTRL", "FCTRL.UPE is 0"), fix_rules(*port));
  }
}

void port_without_pool(const Facts& facts, Findings& out) {
  for (const auto& [port, tap] : taps(facts)) {
    if (!tap->port || !tap->wants_rx() || port->view.default_pool) continue;
    const TapOn on{port, tap};
    out.add(on.who(), "it watches the port, but frames that no VF wants are dropped before the mirror sees them",
            drift_or(*port, "PFVTCTL", "PFVTCTL has no default pool"), fix_rules(*port));
  }
}

void port_filters_vlans(const Facts& facts, Findings& out) {
  for (const auto& [port, tap] : taps(facts)) {
    const bool wanted = std::any_of(port->wishes.vf.begin(), port->wishes.vf.end(),
                                    [](const pf::VfConfig& vf) { return vf.vlan.has_value(); });
    // With VLANs of VFs the filter is as it has to be, and a drift is named by its register.
    if (!tap->port || !tap->wants_rx() || !port->view.vlan_filter || wanted) continue;
    const TapOn on{port, tap};
    out.add(on.who(), "it watches the port, but tagged frames are dropped at the door: VLAN filter on, no VLAN allowed",
            drift_or(*port, "VLNCTRL", "VLNCTRL.VFE is 1 and no VF has a VLAN"),
            "vlan_filter: auto in the PF's file, then `vigia pf apply`");
  }
}

constexpr std::string_view kInstead =
    "use a tap instead: kind: vnma with tap: {tenants: [..]} shows what tenants receive, kind: vnp (or tap: {port: "
    "true}) the whole port; a few foreign addresses can be had with trust: true and macvlan";

void promiscuous_asked(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (!vf.view->driver || !vf.view->driver->wants_promiscuous) continue;
    out.add(vf.who(),
            "its guest asks for promiscuous mode, which an 82599 has not for VFs: it still sees only its own "
            "unicast, broadcast and multicast",
            fmt::format("the VF's last UPDATE_XCAST_MODE was PROMISC; trust is {}{}", vf.wish->trust ? "on" : "off",
                        vf.wish->trust ? ", which changes nothing about this" : "; turning it on would not help"),
            std::string(kInstead));
  }
}

void guest_promiscuous(const Facts& facts, Findings& out) {
  for (const VmFacts* vm : running_vms(facts)) {
    if (!vm->interfaces) continue;
    for (const InterfaceFacts& i : *vm->interfaces) {
      if (!i.promiscuous) continue;
      out.add(vm->vm.name,
              fmt::format("{} is set promiscuous inside the guest (tcpdump does that): on a VF of this NIC "
                          "it changes nothing",
                          i.name),
              fmt::format("IFF_PROMISC in /sys/class/net/{}/flags of the guest", i.name), std::string(kInstead));
    }
  }
}

void trust_no_help(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (!vf.wish->trust || vf.vm == nullptr || vf.vm->vm.metadata.kind == "tenant") continue;
    out.add(vf.who(),
            "trust is on, and shows a probe nothing more: on an 82599 it allows other addresses and all "
            "multicast, not foreign unicast",
            "network.trust: true in its file", "leave it out; what it sees is decided by its tap");
  }
}

constexpr std::array kChecks{
    Check{"tap-without-rule", Severity::error, tap_without_rule},
    Check{"tap-elsewhere", Severity::error, tap_elsewhere},
    Check{"port-not-promiscuous", Severity::error, port_not_promiscuous},
    Check{"port-without-pool", Severity::error, port_without_pool},
    Check{"tap-source-idle", Severity::warning, source_idle},
    Check{"port-filters-vlans", Severity::warning, port_filters_vlans},
    Check{"promiscuous-asked", Severity::warning, promiscuous_asked},
    Check{"guest-promiscuous", Severity::warning, guest_promiscuous},
    Check{"rule-without-tap", Severity::warning, rule_without_tap},
    Check{"trust-without-effect", Severity::note, trust_no_help},
};

}  // namespace

std::span<const Check> mirror_checks() { return kChecks; }

}  // namespace vigia::orch
