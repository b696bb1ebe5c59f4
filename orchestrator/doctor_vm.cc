// SPDX-License-Identifier: Apache-2.0
// Whether the VMs are there at all, and what killed commands left behind.
#include <fmt/format.h>

#include <array>

#include "orchestrator/doctor_checks.h"

namespace vigia::orch {
namespace {

void from_damages(const Facts& facts, Damage::Kind kind, std::string_view sentence, Findings& out) {
  for (const Damage& damage : facts.damages) {
    if (damage.kind != kind) continue;
    out.add(damage.subject, std::string(sentence), damage.text, fmt::format("`vigia repair` {}", damage.remedy));
  }
}

void interrupted(const Facts& facts, Findings& out) {
  from_damages(facts, Damage::Kind::half_up, "it came up only by half: what it should see was perhaps never set up",
               out);
}
void stopped(const Facts& facts, Findings& out) {
  from_damages(facts, Damage::Kind::ended, "it does not run: it captures and sends nothing", out);
}
void expired(const Facts& facts, Findings& out) {
  from_damages(facts, Damage::Kind::expired, "its time is over and it still holds its VF and its mirror rule", out);
}
void wishes_lost(const Facts& facts, Findings& out) {
  from_damages(facts, Damage::Kind::lost_wish, "its port has forgotten its address or its mirror: it sees nothing",
               out);
}
void nic_lost(const Facts& facts, Findings& out) {
  for (const Damage& damage : facts.damages) {
    if (damage.kind != Damage::Kind::lost_nic) continue;
    out.add(damage.subject, "its guest has lost its NIC for good: it sees and sends nothing", damage.text,
            damage.remedy);
  }
}
void orphan_tap(const Facts& facts, Findings& out) {
  from_damages(facts, Damage::Kind::orphan_tap,
               "a mirror rule works for a VM that is gone; the NIC has four rules in all", out);
}
void stray_file(const Facts& facts, Findings& out) {
  from_damages(facts, Damage::Kind::stray_file, "a file of a VM that is gone lies in the run folder", out);
}

void starting(const Facts& facts, Findings& out) {
  for (const VmFacts& vm : facts.vms) {
    if (vm.vm.state != VmState::starting) continue;
    out.add(vm.vm.name, "its `up` is still at work", "the process that its metadata names is alive", "wait for it");
  }
}

void claimed_twice(const Facts& facts, Findings& out) {
  const auto running = running_vms(facts);
  for (std::size_t a = 0; a < running.size(); ++a) {
    for (std::size_t b = a + 1; b < running.size(); ++b) {
      const VmMetadata &x = running[a]->vm.metadata, &y = running[b]->vm.metadata;
      if (x.pf.empty() || x.pf != y.pf || x.vf != y.vf) continue;
      out.add(running[a]->vm.name,
              fmt::format("it and {} claim the same function: one of them has no card", running[b]->vm.name),
              fmt::format("both name {}{} in their metadata", x.pf, x.vf ? fmt::format(" VF {}", *x.vf) : ""),
              "take one of them down; vf: auto chooses a free one");
    }
  }
}

void vf_not_there(const Facts& facts, Findings& out) {
  for (const PortFacts* port : answering_ports(facts)) {
    for (const VmFacts& vm : facts.vms) {
      if (vm.vm.metadata.control != port->control || !vm.vm.metadata.vf || *vm.vm.metadata.vf < port->wishes.vfs) {
        continue;
      }
      out.add(vm.vm.name, fmt::format("vigia-pf manages no VF {}: nobody gives it an address", *vm.vm.metadata.vf),
              fmt::format("vfs: {} at {}", port->wishes.vfs, port->control),
              fmt::format("restart vigia-pf with vfs: {} or more in its file", *vm.vm.metadata.vf + 1));
    }
  }
}

constexpr std::array kChecks{
    Check{"vm-interrupted", Severity::error, interrupted},     Check{"vm-stopped", Severity::error, stopped},
    Check{"vf-claimed-twice", Severity::error, claimed_twice}, Check{"vf-not-managed", Severity::error, vf_not_there},
    Check{"wishes-lost", Severity::error, wishes_lost},        Check{"vm-expired", Severity::warning, expired},
    Check{"orphan-tap", Severity::warning, orphan_tap},        Check{"vm-starting", Severity::note, starting},
    Check{"stray-file", Severity::note, stray_file},           Check{"nic-lost", Severity::error, nic_lost},
};

}  // namespace

std::span<const Check> life_checks() { return kChecks; }

}  // namespace vigia::orch
