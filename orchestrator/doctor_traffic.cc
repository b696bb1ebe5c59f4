// SPDX-License-Identifier: Apache-2.0
// What the accounts say: where frames end that never reach a guest. Losses that go on while we look are told from those
// of the past.
#include <fmt/format.h>

#include <array>

#include "hw/accounts.h"
#include "orchestrator/doctor_checks.h"

namespace vigia::orch {
namespace {

std::uint64_t value(const std::map<std::string, std::uint64_t>& of, const std::string& name) {
  const auto at = of.find(name);
  return at == of.end() ? 0 : at->second;
}

std::string evidence(const PortFacts& port, const std::string& name) {
  const std::uint64_t growing = value(port.growth, name);
  return fmt::format("{} is {}, {} while looking: {}", name, value(*port.counters, name),
                     growing == 0 ? "still" : fmt::format("{} more", growing), hw::accounts::meaning_of(name));
}

// An account of the whole port that should be zero.
void port_account(const Facts& facts, const std::string& name, std::string_view sentence, std::string_view remedy,
                  Findings& out) {
  for (const PortFacts& port : facts.ports) {
    if (!port.counters || value(*port.counters, name) == 0) continue;
    out.add(port.control, std::string(sentence), evidence(port, name), std::string(remedy));
  }
}

void missed(const Facts& facts, Findings& out) {
  port_account(facts, "wire.missed", "the port itself loses frames before any VF: its packet buffer is full",
               "look for a VF that blocks the port; with several copies of the port, remove one mirror", out);
}
void oversize(const Facts& facts, Findings& out) {
  port_account(facts, "wire.filtered_oversize", "frames longer than the port takes are dropped",
               "raise mtu in the PF's file, then `vigia pf apply`; guests follow with their MTU", out);
}
void vlan_filtered(const Facts& facts, Findings& out) {
  port_account(facts, "wire.filtered_vlan",
               "frames of VLANs that no VF is a member of are dropped; no mirror sees them",
               "make a VF a member (vlan: in its file, or a VLAN interface in the guest)", out);
}
void spoofed(const Facts& facts, Findings& out) {
  port_account(
      facts, "tx.spoofed", "frames that VFs send under addresses or VLANs not theirs are dropped; no mirror sees them",
      "is a bridge or a second address in use in that guest? trust: true and spoof_check: false allow it", out);
}
void transmit_refused(const Facts& facts, Findings& out) {
  port_account(facts, "tx.refused", "frames that VFs send are refused: tagged although the port tags, or too long",
               "with network.vlan the guest must not tag; its MTU must not be above the port's", out);
}
void malformed(const Facts& facts, Findings& out) {
  port_account(facts, "tx.malformed", "descriptors of a VF make no frame: its driver is broken",
               "which driver is it? report what it does", out);
}

// An account of a VF that should be zero. grown: only if it grows.
void vf_account(const Facts& facts, std::string_view account, bool grown, std::string_view sentence,
                std::string_view remedy, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (!vf.port->counters) continue;
    const std::string name = fmt::format("vf{}.{}", vf.view->index, account);
    if (value(grown ? vf.port->growth : *vf.port->counters, name) == 0) continue;
    out.add(vf.who(), std::string(sentence), evidence(*vf.port, name), std::string(remedy));
  }
}

void queue_off(const Facts& facts, Findings& out) {
  vf_account(facts, "queue_disabled", true, "frames for it are thrown away: it has no receive queue switched on",
             "is its interface up in the guest? `ip link set dev .. up`, or restart vigia-capture there", out);
}
void dma_fault(const Facts& facts, Findings& out) {
  vf_account(facts, "dma_fault", false, "its driver gave the NIC addresses outside of the guest's memory",
             "softnic needs guests with shared memory (hugepages, or memfd): bring the VM up with `vigia`", out);
}
void no_descriptor(const Facts& facts, Findings& out) {
  vf_account(facts, "no_descriptor", false, "it reads too slowly: its ring is empty when frames come",
             "give it cores of its own (`vigia plan` says which it shares), a larger ring, or a smaller tap", out);
}

// The capture and the NIC side by side.
void frames_not_taken(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (vf.vm == nullptr || !vf.vm->capture || !vf.vm->capture->port_up || !vf.port->counters) continue;
    const std::uint64_t written = value(*vf.port->counters, fmt::format("vf{}.written", vf.view->index));
    if (written == 0 || vf.vm->capture->frames > 0) continue;
    out.add(vf.who(), "the NIC has written frames into its memory, and its capture has taken none",
            evidence(*vf.port, fmt::format("vf{}.written", vf.view->index)),
            "look at `vigia console`: is the engine stuck, or has the device been started anew?");
  }
}

void nothing_copied(const Facts& facts, Findings& out) {
  for (const UsedVf& vf : used_vfs(facts)) {
    if (vf.vm == nullptr || !vf.vm->capture || vf.vm->capture->frames > 0) continue;
    const std::string name = fmt::format("vf{}.copies", vf.view->index);
    const bool known = vf.port->counters.has_value();
    if (known && value(*vf.port->counters, name) > 0) continue;
    out.add(vf.who(), "it has not been sent a single frame yet",
            known ? evidence(*vf.port, name) : "engine.taken is 0; what the NIC counts is not known",
            "do the tenants that it is shown receive anything? its scope is in `vigia pf show`");
  }
}

void wire_quiet(const Facts& facts, Findings& out) {
  for (const PortFacts& port : facts.ports) {
    if (!port.counters || value(*port.counters, "wire.sent") + value(*port.counters, "tx.sent") > 0) continue;
    out.add(port.control, "there is no traffic at all: neither the network nor any VF has sent a frame",
            "wire.sent and tx.sent are 0", "is the wire of vigia-softnic the one you meant (--wire)? do guests send?");
  }
}

constexpr std::array kChecks{
    Check{"queue-off", Severity::error, queue_off},
    Check{"dma-fault", Severity::error, dma_fault},
    Check{"frames-not-taken", Severity::error, frames_not_taken},
    Check{"no-descriptor", Severity::warning, no_descriptor},
    Check{"port-missed", Severity::warning, missed},
    Check{"frames-oversize", Severity::warning, oversize},
    Check{"vlan-filtered", Severity::warning, vlan_filtered},
    Check{"frames-spoofed", Severity::warning, spoofed},
    Check{"transmit-refused", Severity::warning, transmit_refused},
    Check{"transmit-malformed", Severity::warning, malformed},
    Check{"nothing-copied", Severity::warning, nothing_copied},
    Check{"wire-quiet", Severity::note, wire_quiet},
};

}  // namespace

std::span<const Check> traffic_checks() { return kChecks; }

}  // namespace vigia::orch
