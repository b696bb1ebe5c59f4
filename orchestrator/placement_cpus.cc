// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/placement_cpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace vigia::orch {
namespace {

struct Core {
  std::vector<unsigned> cpus;  // online, ascending
  bool isolated = false;
  bool taken = false;  // a vCPU of a running domain is on it
};

// The CPU that names the physical core: the lowest of its siblings.
unsigned core_of(const Cpu& cpu) {
  return cpu.siblings.empty() ? cpu.id : *std::min_element(cpu.siblings.begin(), cpu.siblings.end());
}

// Those of the node, in the order in which vCPUs should take them: isolated ones first, the boot CPU's last.
std::vector<Core> cores_of_node(const Inventory& inventory, unsigned node, const std::set<unsigned>& taken) {
  std::map<unsigned, Core> cores;
  for (const Cpu& cpu : inventory.cpus) {
    if (cpu.node != node) continue;
    Core& core = cores[core_of(cpu)];
    core.taken |= taken.contains(cpu.id);
    if (!cpu.online) continue;
    core.cpus.push_back(cpu.id);
    core.isolated |= cpu.isolated;
  }
  std::vector<Core> out;
  for (auto& [id, core] : cores) {
    if (!core.cpus.empty()) out.push_back(std::move(core));
  }
  std::stable_sort(out.begin(), out.end(), [](const Core& a, const Core& b) {
    if (a.isolated != b.isolated) return a.isolated;
    return a.cpus.front() != 0 && b.cpus.front() == 0;
  });
  return out;
}

void take(CpuChoice& out, unsigned cpu, unsigned wanted) {
  const bool fresh = std::find(out.vcpus.begin(), out.vcpus.end(), cpu) == out.vcpus.end();
  if (out.vcpus.size() < wanted && fresh) out.vcpus.push_back(cpu);
}

void choose_vcpus(const std::vector<Core>& cores, unsigned node, unsigned wanted, CpuChoice& out) {
  for (const Core& core : cores) {
    if (!core.taken) take(out, core.cpus.front(), wanted);
  }
  const std::size_t own = out.vcpus.size();
  if (own > 0) {
    out.why.push_back(fmt::format("{} vCPU{} one physical core each on node {}: CPU {}; siblings left free", own,
                                  own == 1 ? "," : "s,", node, cpu_list_text(out.vcpus)));
  }
  if (own == wanted) return;
  out.shares = true;
  for (const Core& core : cores) {
    if (core.taken) continue;
    for (const unsigned cpu : core.cpus) take(out, cpu, wanted);
  }
  if (out.vcpus.size() > own) {
    out.why.push_back(
        fmt::format("node {} has only {} free physical cores for {} vCPUs: {} of them sit on a sibling of "
                    "another vCPU's core",
                    node, own, wanted, out.vcpus.size() - own));
  }
  const std::size_t before = out.vcpus.size();
  for (const Core& core : cores) {
    for (const unsigned cpu : core.cpus) take(out, cpu, wanted);
  }
  if (out.vcpus.size() > before) {
    out.why.push_back(fmt::format("{} vCPUs share cores of node {} with other VMs: no core is free",
                                  out.vcpus.size() - before, node));
  }
}

// CPUs for the emulator: not on a core of any vCPU, of the wanted node if there are such, and rather not isolated.
void choose_others(const Inventory& inventory, unsigned node, std::set<unsigned> busy, CpuChoice& out) {
  busy.insert(out.vcpus.begin(), out.vcpus.end());
  std::set<unsigned> busy_cores;
  for (const Cpu& cpu : inventory.cpus) {
    if (busy.contains(cpu.id)) busy_cores.insert(core_of(cpu));
  }
  const auto pick = [&](auto&& good) {
    out.others.clear();
    for (const Cpu& cpu : inventory.cpus) {
      if (cpu.online && good(cpu)) out.others.push_back(cpu.id);
    }
    return !out.others.empty();
  };
  const auto quiet = [&](const Cpu& cpu) { return !busy_cores.contains(core_of(cpu)); };
  if (pick([&](const Cpu& c) { return quiet(c) && !c.isolated && c.node == node; }) ||
      pick([&](const Cpu& c) { return quiet(c) && !c.isolated; }) ||
      pick([&](const Cpu& c) { return quiet(c) && c.node == node; }) || pick(quiet)) {
    out.why.push_back(fmt::format("emulator threads on CPU {}, away from every vCPU", cpu_list_text(out.others)));
    return;
  }
  out.shares = true;
  if (pick([&](const Cpu& c) { return !busy.contains(c.id); })) {
    out.why.push_back(
        fmt::format("emulator threads on CPU {}: siblings of vCPUs, as no core is left", cpu_list_text(out.others)));
    return;
  }
  if (pick([&](const Cpu& c) { return std::find(out.vcpus.begin(), out.vcpus.end(), c.id) == out.vcpus.end(); })) {
    out.why.push_back(fmt::format("emulator threads share CPU {} with vCPUs of other VMs: no CPU is left",
                                  cpu_list_text(out.others)));
    return;
  }
  out.others = {out.vcpus.front()};
  out.why.push_back(
      fmt::format("emulator threads share CPU {} with vCPU 0: this machine has no other", out.vcpus.front()));
}

}  // namespace

std::optional<CpuChoice> choose_cpus(const Inventory& inventory, unsigned node, unsigned vcpus,
                                     std::span<const PlacedDomain> running) {
  std::set<unsigned> taken;
  for (const PlacedDomain& domain : running) taken.insert(domain.vcpu_cpus.begin(), domain.vcpu_cpus.end());
  const std::vector<Core> cores = cores_of_node(inventory, node, taken);
  CpuChoice out;
  choose_vcpus(cores, node, vcpus, out);
  if (out.vcpus.size() < vcpus) return std::nullopt;
  choose_others(inventory, node, std::move(taken), out);
  return out;
}

}  // namespace vigia::orch
