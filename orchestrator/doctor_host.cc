// SPDX-License-Identifier: Apache-2.0
// What the host itself withholds: libvirt, hugepages, cores. (Its NICs: doctor_sriov.cc.)
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "orchestrator/doctor_checks.h"

namespace vigia::orch {
namespace {

constexpr std::uint64_t kPage2M = 2u << 20, kPage1G = 1u << 30;

// VMs that have a function of a real NIC, with that NIC.
struct OnNic {
  const VmFacts* vm;
  const NetDevice* nic;
};
std::vector<OnNic> vms_on_nics(const Facts& facts) {
  std::vector<OnNic> out;
  if (!facts.host.inventory) return out;
  for (const VmFacts& vm : facts.vms) {
    if (const NetDevice* nic = facts.host.inventory->nic(vm.vm.metadata.pf)) out.push_back({&vm, nic});
  }
  return out;
}

void libvirt_down(const Facts& facts, Findings& out) {
  if (facts.host.libvirt != Answer::nobody) return;
  out.add(facts.host.uri, "libvirt does not answer, so VMs can be neither seen nor started", facts.host.libvirt_said,
          "start libvirtd (`systemctl start libvirtd`), or name another one with --uri");
}

void libvirt_silent(const Facts& facts, Findings& out) {
  if (facts.host.libvirt != Answer::silent) return;
  out.add(facts.host.uri, "libvirt took the connection and then said nothing: it hangs", facts.host.libvirt_said,
          "look at its log (`journalctl -u libvirtd`) and restart it; VMs that run go on");
}

void domain_not_understood(const Facts& facts, Findings& out) {
  for (const std::string& remark : facts.host.domain_remarks) {
    out.add(facts.host.uri, "a domain of vigia cannot be understood, so nothing is said about it", remark,
            "was its XML edited, or is it of another version of vigia? `virsh undefine` it and bring it up anew");
  }
}

void no_kvm(const Facts& facts, Findings& out) {
  if (!facts.host.inventory || facts.host.inventory->kvm || facts.vms.empty()) return;
  out.add("host", "guests run by software emulation: good for trying, far too slow for measuring",
          "/dev/kvm is absent, closed to this user, or VIGIA_ACCELERATOR=tcg is set",
          "enable VT-x or AMD-V in the firmware, load kvm_intel or kvm_amd, join group kvm");
}

void no_hugepages(const Facts& facts, Findings& out) {
  if (!facts.host.inventory) return;
  const auto running = running_vms(facts);
  const bool all_do_without = !running.empty() && std::all_of(running.begin(), running.end(), [](const VmFacts* vm) {
    return vm->vm.placed.page_size == 0;
  });
  if (all_do_without) return;
  for (const NumaNode& node : facts.host.inventory->nodes) {
    for (const std::uint64_t size : {kPage2M, kPage1G}) {
      if (const auto at = node.huge.find(size); at != node.huge.end() && at->second.total > 0) return;
    }
  }
  out.add("host", "the host has no hugepages: VMs with hugepages (the default) cannot start",
          "nr_hugepages of 2 MiB and 1 GiB is 0 on every node",
          "`vigia host hugepages --node 0 --size 2M --count 1024`, or hugepages: {size: none} in the VM's file");
}

void softnic_missing(const Facts& facts, Findings& out) {
  for (const PortFacts& port : facts.ports) {
    if (!port.softnic || !port.softnic->sockets.empty()) continue;
    out.add(port.softnic->dir, "there is no software NIC in this folder: no VF has a socket",
            fmt::format("no vf0.sock in {}", port.softnic->dir),
            fmt::format("`vigia-softnic --dir {} --vfs 4 --wire null`, then vigia-pf", port.softnic->dir));
  }
}

void softnic_dead(const Facts& facts, Findings& out) {
  for (const PortFacts& port : facts.ports) {
    // A manager that answers has its device. (Sockets of another network namespace are not in our list of listeners.)
    if (!port.softnic || !port.softnic->served || port.manager == Answer::yes) continue;
    std::vector<unsigned> left;
    for (const unsigned vf : port.softnic->sockets) {
      if (!port.softnic->served->contains(vf)) left.push_back(vf);
    }
    if (left.empty()) continue;
    out.add(port.softnic->dir, "the software NIC has died: its sockets are there, but no process serves them",
            fmt::format("nobody listens at vf{}.sock (VFs {})", left.front(), cpu_list_text(left)),
            "start vigia-softnic again in that folder, then vigia-pf, and take its VMs down and up");
  }
}

void numa_mismatch(const Facts& facts, Findings& out) {
  for (const auto& [vm, nic] : vms_on_nics(facts)) {
    // An agent belongs on the other node: the NIC's is for the tenants that it watches.
    if (!nic->node || !vm->vm.placed.node || *nic->node == *vm->vm.placed.node || vm->vm.metadata.kind == "vnma") {
      continue;
    }
    out.add(vm->vm.name, "its memory and vCPUs are not on the NIC's NUMA node: expect loss at high rates",
            fmt::format("the VM is on node {}, {} on node {}", *vm->vm.placed.node, nic->pci, *nic->node),
            fmt::format("numa: {} or affinity: required in {}, then take it down and up", *nic->node,
                        vm->vm.metadata.spec_file));
  }
}

void cores_shared(const Facts& facts, Findings& out) {
  const auto running = running_vms(facts);
  for (std::size_t a = 0; a < running.size(); ++a) {
    for (std::size_t b = a + 1; b < running.size(); ++b) {
      const auto& ours = running[a]->vm.placed.vcpu_cpus;
      std::vector<unsigned> shared;
      for (const unsigned cpu : running[b]->vm.placed.vcpu_cpus) {
        if (std::find(ours.begin(), ours.end(), cpu) != ours.end()) shared.push_back(cpu);
      }
      if (shared.empty()) continue;
      out.add(running[a]->vm.name,
              fmt::format("it shares cores with {}: both lose frames under load", running[b]->vm.name),
              fmt::format("vCPUs of both are pinned to CPU {}", cpu_list_text(shared)),
              "lower vm.vcpus of one, or say affinity: required, then take it down and up");
    }
  }
}

constexpr std::array kChecks{
    Check{"libvirt-down", Severity::error, libvirt_down},
    Check{"libvirt-silent", Severity::error, libvirt_silent},
    Check{"softnic-missing", Severity::error, softnic_missing},
    Check{"softnic-dead", Severity::error, softnic_dead},
    Check{"no-hugepages", Severity::warning, no_hugepages},
    Check{"domain-not-understood", Severity::warning, domain_not_understood},
    Check{"numa-mismatch", Severity::warning, numa_mismatch},
    Check{"cores-shared", Severity::warning, cores_shared},
    Check{"no-kvm", Severity::note, no_kvm},
};

}  // namespace

std::span<const Check> host_checks() { return kChecks; }

}  // namespace vigia::orch
