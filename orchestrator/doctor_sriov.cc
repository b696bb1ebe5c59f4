// SPDX-License-Identifier: Apache-2.0
// What stands between a real NIC and its VFs' users: IOMMU, VFIO, the PF's driver and state, VFs, IOMMU groups,
// registers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>

#include "orchestrator/doctor_checks.h"

namespace vigia::orch {
namespace {

// A PF that matters: VMs use it, somebody asks about it, or it has VFs.
struct UsedNic {
  const NetDevice* nic;
  const NicFacts* facts;  // nullptr: nobody looked
  std::vector<const VmFacts*> vms;
  // "0000:01:00.0 (eth0)"
  std::string name() const { return nic->netdev.empty() ? nic->pci : fmt::format("{} ({})", nic->pci, nic->netdev); }
  bool wanted() const { return !vms.empty() || (facts != nullptr && facts->asked); }
};

std::vector<UsedNic> used_nics(const Facts& facts) {
  std::vector<UsedNic> out;
  if (!facts.host.inventory) return out;
  for (const NetDevice& nic : facts.host.inventory->nics) {
    if (!nic.pf.empty()) continue;
    const auto at = facts.host.nics.find(nic.pci);
    UsedNic used{&nic, at == facts.host.nics.end() ? nullptr : &at->second, {}};
    for (const VmFacts& vm : facts.vms) {
      const std::string& pf = vm.vm.metadata.pf;
      if (!pf.empty() && (pf == nic.pci || pf == nic.netdev)) used.vms.push_back(&vm);
    }
    // Who asks about one VM does not ask about NICs of others.
    if (used.wanted() || (facts.only.empty() && nic.vfs_enabled > 0)) out.push_back(std::move(used));
  }
  return out;
}

void no_iommu(const Facts& facts, Findings& out) {
  if (!facts.host.inventory || facts.host.inventory->iommu) return;
  const KernelFacts& kernel = facts.host.kernel;
  for (const UsedNic& used : used_nics(facts)) {
    out.add(
        used.nic->pci,
        "the host has no IOMMU in use: no function of this NIC can be given to a guest, nor safely to vigia-capture",
        fmt::format("no group in /sys/kernel/iommu_groups; the firmware describes {}; kernel command line: {}",
                    kernel.iommu_in_firmware ? "one" : "none", kernel.command_line),
        kernel.iommu_in_firmware ? "boot with intel_iommu=on iommu=pt on the kernel command line"
                                 : "enable VT-d or AMD-Vi in the firmware, then boot with intel_iommu=on iommu=pt");
  }
}

void no_vfio_pci(const Facts& facts, Findings& out) {
  if (facts.host.kernel.vfio_pci != Module::missing || used_nics(facts).empty()) return;
  const std::string& release = facts.host.kernel.release;
  out.add(
      "host",
      fmt::format("the kernel {} has no driver vfio-pci: no VF can be given to a guest or to vigia-capture", release),
      fmt::format("no /sys/bus/pci/drivers/vfio-pci, and /lib/modules/{}/modules.dep names no file of it that is there",
                  release),
      "install the kernel's modules (Debian: linux-image-amd64 of this version; Ubuntu: linux-modules-extra), then "
      "`modprobe vfio-pci`");
}

void pf_driver(const Facts& facts, Findings& out) {
  for (const UsedNic& used : used_nics(facts)) {
    if (!used.nic->driver.empty()) continue;
    out.add(used.nic->pci, "no driver holds the PF: nobody brings the port up, makes VFs or answers them",
            fmt::format("/sys/bus/pci/devices/{}/driver is absent", used.nic->pci),
            fmt::format(
                "load Linux's driver for it (82576, I350: `modprobe igb`; 82599, X540, X550: `modprobe ixgbe`), or let "
                "vigia-pf drive it: `vigia host bind {} vfio-pci`",
                used.nic->pci));
  }
}

void pf_down(const Facts& facts, Findings& out) {
  for (const UsedNic& used : used_nics(facts)) {
    if (used.facts == nullptr || used.nic->netdev.empty() || used.facts->up) continue;
    out.add(used.name(), "the PF's interface is down: its VFs get no answer when they start, no link and no frame",
            fmt::format("/sys/class/net/{}/flags has no IFF_UP", used.nic->netdev),
            fmt::format("`ip link set {} up`, then start the drivers of its VFs again", used.nic->netdev));
  }
}

void pf_no_carrier(const Facts& facts, Findings& out) {
  for (const UsedNic& used : used_nics(facts)) {
    if (used.facts == nullptr || used.nic->netdev.empty() || !used.facts->up || used.facts->carrier) continue;
    out.add(used.name(), "the port has no link: nothing comes from outside, and VFs are told that the link is down",
            fmt::format("/sys/class/net/{}/carrier is not 1", used.nic->netdev),
            "look at the cable, the transceiver and the switch's port");
  }
}

// The most VFs that somebody counts on.
unsigned vfs_needed(const UsedNic& used) {
  unsigned out = used.facts != nullptr && used.facts->asked ? 1 : 0;
  for (const VmFacts* vm : used.vms) {
    if (vm->vm.metadata.vf) out = std::max(out, *vm->vm.metadata.vf + 1);
  }
  return out;
}

void no_vfs(const Facts& facts, Findings& out) {
  for (const UsedNic& used : used_nics(facts)) {
    const NetDevice& nic = *used.nic;
    const unsigned needed = vfs_needed(used);
    if (needed <= nic.vfs_enabled) continue;
    out.add(used.name(),
            nic.vfs_enabled == 0 ? "it has no VFs"
                                 : fmt::format("it has {} VFs, and a VM counts on VF {}", nic.vfs_enabled, needed - 1),
            fmt::format("sriov_numvfs of {} is {}, of {} possible", nic.pci, nic.vfs_enabled, nic.vfs_total),
            nic.vfs_total == 0
                ? "enable SR-IOV in the firmware and in the NIC's settings"
                : fmt::format("`echo {} > /sys/bus/pci/devices/{}/sriov_numvfs`, with vfs: {} in the PF's file", needed,
                              nic.pci, needed));
  }
}

void group_not_viable(const Facts& facts, Findings& out) {
  for (const UsedNic& used : used_nics(facts)) {
    if (used.facts == nullptr) continue;
    std::map<unsigned, std::vector<unsigned>> by_group;  // VFs
    for (const VirtualFunction& vf : used.nic->vfs) {
      const auto at = used.facts->vfs.find(vf.index);
      if (vf.iommu_group && at != used.facts->vfs.end() && !at->second.company.empty())
        by_group[*vf.iommu_group].push_back(vf.index);
    }
    for (const auto& [group, vfs] : by_group) {
      out.add(used.name(),
              fmt::format("VFs {} cannot be given to a guest: drivers of the host hold devices of their IOMMU group",
                          cpu_list_text(vfs)),
              fmt::format("/sys/kernel/iommu_groups/{}/devices: {}", group,
                          fmt::join(used.facts->vfs.at(vfs.front()).company, ", ")),
              "put the NIC where each function has a group of its own: a slot whose root port has ACS, ACS enabled in "
              "the firmware. "
              "pcie_acs_override makes groups smaller on paper only: functions could then reach each other's memory");
    }
  }
}

void vf_driver(const Facts& facts, Findings& out) {
  for (const UsedNic& used : used_nics(facts)) {
    for (const VmFacts* vm : used.vms) {
      if (vm->vm.state != VmState::running) continue;
      for (const VirtualFunction& vf : used.nic->vfs) {
        if (vf.index != vm->vm.metadata.vf || vf.driver == "vfio-pci") continue;
        out.add(vm->vm.name,
                fmt::format("its VF {} is held by {} of the host instead of the guest", vf.pci,
                            vf.driver.empty() ? "no driver" : vf.driver),
                fmt::format("/sys/bus/pci/devices/{}/driver", vf.pci),
                fmt::format("`vigia host bind {} vfio-pci`, then take the VM down and up", vf.pci));
      }
    }
  }
}

void vfs_on_host(const Facts& facts, Findings& out) {
  for (const UsedNic& used : used_nics(facts)) {
    std::vector<unsigned> vfs;
    std::vector<std::string> held;
    for (const VirtualFunction& vf : used.nic->vfs) {
      if (vf.driver.empty() || vf.driver == "vfio-pci" || vf.driver == "uio_pci_generic") continue;
      const auto at = used.facts == nullptr ? decltype(used.facts->vfs.end()){} : used.facts->vfs.find(vf.index);
      const bool known = used.facts != nullptr && at != used.facts->vfs.end() && !at->second.netdev.empty();
      vfs.push_back(vf.index);
      held.push_back(fmt::format("{} ({}{})", vf.pci, vf.driver, known ? ", " + at->second.netdev : ""));
    }
    if (vfs.empty()) continue;
    out.add(
        used.name(),
        fmt::format("VFs {} are interfaces of the host: neither a guest nor vigia-capture can have them as they are",
                    cpu_list_text(vfs)),
        fmt::format("{}", fmt::join(held, ", ")),
        fmt::format("`vigia host bind {} vfio-pci`; libvirt does it by itself when it starts a VM",
                    used.nic->vfs[vfs.front()].pci));
  }
}

void autoprobe_on(const Facts& facts, Findings& out) {
  for (const auto& [pci, on] : facts.host.autoprobe) {
    if (!on) continue;
    out.add(pci,
            "the host's kernel takes every new VF for itself: it gets interfaces of its own, and addresses of VFs "
            "are used twice until a guest has them",
            fmt::format("sriov_drivers_autoprobe of {} is 1", pci),
            fmt::format("`echo 0 > /sys/bus/pci/devices/{}/sriov_drivers_autoprobe` before VFs are made", pci));
  }
}

void registers_closed(const Facts& facts, Findings& out) {
  const KernelFacts& kernel = facts.host.kernel;
  for (const UsedNic& used : used_nics(facts)) {
    if (used.facts == nullptr || used.facts->registers_closed.empty()) continue;
    const bool relaxed = kernel.command_line.find("iomem=relaxed") != std::string::npos;
    out.add(used.name(),
            fmt::format("the kernel lets nobody at the PF's registers beside {}: vigia-pf (generator kernel) can set "
                        "no mirror and no copy there",
                        used.nic->driver),
            fmt::format("{}; lockdown: {}; the kernel command line has {}iomem=relaxed", used.facts->registers_closed,
                        kernel.lockdown.empty() ? "none" : kernel.lockdown, relaxed ? "" : "no "),
            kernel.lockdown.empty() ? "boot with iomem=relaxed, or give the PF to vigia-pf itself (bound to vfio-pci, "
                                      "generator native), where it knows the NIC"
                                    : "a locked-down kernel opens them to nobody: switch Secure Boot off and boot with "
                                      "iomem=relaxed, or give the PF to vigia-pf itself "
                                      "(bound to vfio-pci, generator native), where it knows the NIC");
  }
}

constexpr std::array kChecks{
    Check{"no-iommu", Severity::error, no_iommu},
    Check{"no-vfio-pci", Severity::error, no_vfio_pci},
    Check{"pf-driver", Severity::error, pf_driver},
    Check{"pf-down", Severity::error, pf_down},
    Check{"no-vfs", Severity::error, no_vfs},
    Check{"group-not-viable", Severity::error, group_not_viable},
    Check{"vf-driver", Severity::error, vf_driver},
    Check{"registers-closed", Severity::warning, registers_closed},
    Check{"pf-no-carrier", Severity::warning, pf_no_carrier},
    Check{"vfs-on-host", Severity::warning, vfs_on_host},
    Check{"autoprobe-on", Severity::warning, autoprobe_on},
};

}  // namespace

std::span<const Check> sriov_checks() { return kChecks; }

}  // namespace vigia::orch
