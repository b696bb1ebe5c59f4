// SPDX-License-Identifier: Apache-2.0
// One port: its manager, and what its registers let VFs receive and send (82599 reference 7, 8).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "orchestrator/doctor_checks.h"
#include "pfdriver/vf_state.h"

namespace vigia::orch {
namespace {

constexpr unsigned kOrdinaryFrame = pf::kOrdinaryFrame;

std::string macs_text(const std::vector<hw::Mac>& macs) {
  std::vector<std::string> texts;
  for (const hw::Mac& mac : macs) texts.push_back(mac.text());
  return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

std::string apply_again(const PortFacts& port) {
  return fmt::format("something else writes to this NIC; find it, then restart vigia-pf (--control {})", port.control);
}

void manager_down(const Facts& facts, Findings& out) {
  for (const PortFacts& port : facts.ports) {
    if (port.manager != Answer::nobody) continue;
    out.add(port.control, "the port has no manager: VFs get no answer, and no mirror rule can be set",
            port.manager_said, fmt::format("start vigia-pf with --control {}, then `vigia repair`", port.control));
  }
}

void manager_silent(const Facts& facts, Findings& out) {
  for (const PortFacts& port : facts.ports) {
    if (port.manager != Answer::silent) continue;
    out.add(port.control, "the port's manager hangs: VFs that reset now wait for an answer", port.manager_said,
            "look at its log; restart vigia-pf, it recovers from its journal");
  }
}

void port_down(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    if (port->view.up) continue;
    out.add(port->control, "the port's receiver is off: no frame enters the NIC",
            "CTRL_EXT.DRV_LOAD or RXCTRL.RXEN is 0", apply_again(*port));
  }
}

void link_down(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    if (port->view.link) continue;
    out.add(port->control,
            "the port has no link: nothing comes from the network; VMs of this port still reach each other",
            "LINKS.UP is 0", "check cable, transceiver and the switch's port; both ends want 10 Gb/s");
  }
}

void loopback_off(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    if (port->view.loopback) continue;
    const std::string drift = drift_or(*port, "PFDTXGSWC", "");
    out.add(port->control, "VMs of this port do not reach each other inside the NIC, and no mirror sees that traffic",
            drift.empty() ? "PFDTXGSWC.LBE is 0, as its file wants it" : drift,
            drift.empty() ? "loopback: true in the PF's file, then `vigia pf apply`" : apply_again(*port));
  }
}

void driver_absent(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (vf.vm == nullptr || vf.vm->vm.state != VmState::running || !vf.view->driver || vf.view->driver->ready) continue;
    out.add(vf.who(), "no driver in the guest has started the VF: it has no queues and receives nothing",
            "its vigia-pf has seen no RESET from it since it was reset itself",
            "is ixgbevf (or vigia-capture) running in the guest, and bound to the VF? `vigia console` shows its log");
  }
}

void receive_off(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (vf.view->receive || (vf.view->driver && !vf.view->driver->ready)) continue;
    const bool jumbo = vf.port->view.max_frame > kOrdinaryFrame;
    const std::string refusal = vf.view->driver ? vf.view->driver->last_refusal : "";
    out.add(vf.who(), "the NIC delivers nothing to this VF: its receive enable is off",
            fmt::format("PFVFRE bit {} is 0; frames of the port: up to {} bytes{}{}", vf.view->index,
                        vf.port->view.max_frame, refusal.empty() ? "" : "; vigia-pf said: ", refusal),
            jumbo ? "the 82599 has one frame size for all: raise the guest's MTU to the port's, or lower pf.mtu"
                  : "set the guest's interface down and up; if it stays off, " + apply_again(*vf.port));
  }
}

void transmit_off(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (vf.view->transmit || (vf.view->driver && !vf.view->driver->ready)) continue;
    out.add(vf.who(), "the NIC sends nothing for this VF: its transmit enable is off",
            fmt::format("PFVFTE bit {} is 0", vf.view->index),
            "set the guest's interface down and up; if it stays off, " + apply_again(*vf.port));
  }
}

void address_missing(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    const auto& have = vf.view->macs;
    if (!vf.wish->mac || std::find(have.begin(), have.end(), *vf.wish->mac) != have.end()) continue;
    out.add(vf.who(), "frames to its address do not reach it: the NIC has another address for it, or none",
            drift_or(*vf.port, "MPSAR",
                     drift_or(*vf.port, "RA",
                              fmt::format("wanted {}; receive addresses that lead to it: {}", vf.wish->mac->text(),
                                          macs_text(have)))),
            "set the guest's interface down and up; if it does not help, " + apply_again(*vf.port));
  }
}

void address_twice(const Facts& facts, Findings& out) {
  const auto used = used_vfs(facts);
  for (std::size_t a = 0; a < used.size(); ++a) {
    for (std::size_t b = a + 1; b < used.size(); ++b) {
      for (const hw::Mac& mac : used[a].view->macs) {
        const auto& other = used[b].view->macs;
        if (used[a].port != used[b].port || std::find(other.begin(), other.end(), mac) == other.end()) continue;
        out.add(used[a].who(),
                fmt::format("it and {} have the same address: both get the frames of either", used[b].who()),
                fmt::format("{} leads to both pools", mac.text()), "give each VM a mac of its own, or none");
      }
    }
  }
}

void vlan_missing(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    const auto& have = vf.view->vlans;
    if (!vf.wish->vlan || std::find(have.begin(), have.end(), *vf.wish->vlan) != have.end()) continue;
    out.add(vf.who(),
            fmt::format("frames of its VLAN {} do not reach it: the NIC does not know it as a member", *vf.wish->vlan),
            drift_or(*vf.port, "PFVLVF",
                     fmt::format("member of: {}", have.empty() ? "none" : fmt::format("{}", fmt::join(have, ", ")))),
            apply_again(*vf.port));
  }
}

void vlan_filter_off(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    const bool wanted = std::any_of(port->wishes.vf.begin(), port->wishes.vf.end(),
                                    [](const pf::VfConfig& vf) { return vf.vlan.has_value(); });
    if (!wanted || port->view.vlan_filter) continue;
    out.add(port->control, "VLANs do not separate: frames of every VLAN reach VFs that their address leads to",
            drift_or(*port, "VLNCTRL", "VLNCTRL.VFE is 0, as its file wants it"),
            "vlan_filter: auto in the PF's file; if it says so, " + apply_again(*port));
  }
}

// Linux's driver says it where vigia-pf does not drive the PF itself.
std::string spoof_evidence(const UsedVf& vf, std::string text) {
  if (vf.port->view.generator == pf::GeneratorKind::native) return drift_or(*vf.port, "PFVFSPOOF", std::move(text));
  return fmt::format("`ip link show` of the PF says that spoof checking of VF {} is {}", vf.view->index,
                     vf.view->spoof_check ? "on" : "off");
}

void spoof_check_off(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (!vf.wish->spoof_check || vf.view->spoof_check) continue;
    out.add(vf.who(), "it may send under any address, although it should not: what is captured may be forged",
            spoof_evidence(vf, "PFVFSPOOF has no bit for it"), apply_again(*vf.port));
  }
}

void spoof_check_forced(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (vf.wish->spoof_check || !vf.view->spoof_check) continue;
    out.add(vf.who(), "frames that it sends under other addresses are dropped, although spoof_check is off for it",
            spoof_evidence(vf, "PFVFSPOOF has a bit for it"), apply_again(*vf.port));
  }
}

void blocks_port(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    for (const pf::VfView& vf : port->view.vfs) {
      if (vf.drop_when_full) continue;
      out.add(fmt::format("VF {}", vf.index), "when its ring is full it stops the whole port: every VM loses frames",
              drift_or(*port, "PFQDE", fmt::format("PFQDE is 0 for a queue of VF {}", vf.index)), apply_again(*port));
    }
  }
}

void register_drift(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    if (port->view.drift.empty()) continue;
    std::vector<std::string> lines;
    for (const pf::Drift& drift : port->view.drift) {
      if (lines.size() == 6) break;
      lines.push_back(
          fmt::format("{} ({}): {:#x}, written {:#x}", drift.name, drift.meaning, drift.found, drift.wanted));
    }
    const std::size_t more = port->view.drift.size() - lines.size();
    out.add(port->control, "registers of the NIC do not hold what vigia-pf wrote: somebody else changes them",
            fmt::format("{}{}", fmt::join(lines, "; "), more == 0 ? "" : fmt::format("; and {} more", more)),
            apply_again(*port));
  }
}

void setting_overruled(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    for (const pf::Overruled& other : port->view.overruled) {
      out.add(port->control, "somebody changed a setting of the port behind vigia-pf, which leaves it so",
              fmt::format("{}: {} was set, {} is there", other.what, other.wanted, other.found),
              fmt::format("if that was not wanted: `vigia pf apply --control {}` with the port's file sets it again",
                          port->control));
    }
  }
}

constexpr std::array kChecks{
    Check{"port-manager-down", Severity::error, manager_down},
    Check{"port-manager-silent", Severity::error, manager_silent},
    Check{"port-down", Severity::error, port_down},
    Check{"link-down", Severity::error, link_down},
    Check{"vf-driver-absent", Severity::error, driver_absent},
    Check{"receive-off", Severity::error, receive_off},
    Check{"transmit-off", Severity::error, transmit_off},
    Check{"address-missing", Severity::error, address_missing},
    Check{"vlan-missing", Severity::error, vlan_missing},
    Check{"loopback-off", Severity::error, loopback_off},
    Check{"blocks-port", Severity::error, blocks_port},
    Check{"address-twice", Severity::warning, address_twice},
    Check{"vlan-filter-off", Severity::warning, vlan_filter_off},
    Check{"spoof-check-off", Severity::warning, spoof_check_off},
    Check{"spoof-check-forced", Severity::warning, spoof_check_forced},
    Check{"register-drift", Severity::warning, register_drift},
    Check{"setting-overruled", Severity::warning, setting_overruled},
};

}  // namespace

std::span<const Check> port_checks() { return kChecks; }

}  // namespace vigia::orch
