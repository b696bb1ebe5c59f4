// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/placement.h"

#include <fmt/format.h>

#include <algorithm>

#include "hw/values.h"
#include "orchestrator/placement_cpus.h"
#include "orchestrator/placement_devices.h"

namespace vigia::orch {
namespace {

using Refusals = std::vector<Refusal>;

bool strict_about_node(const VmSpec& spec, const Placement& draft) {
  return spec.affinity != Affinity::preferred && draft.nic_node.has_value();
}

// Nodes to try, best first.
std::vector<unsigned> candidate_nodes(const Inventory& inventory, const VmSpec& spec, const Placement& draft) {
  if (spec.numa) return {*spec.numa};
  if (strict_about_node(spec, draft)) return {*draft.nic_node};
  std::vector<unsigned> out;
  for (const NumaNode& node : inventory.nodes) out.push_back(node.id);
  const bool apart = spec.kind == VmKind::vnma && draft.nic_node;
  const auto rank = [&](unsigned node) {
    if (draft.nic_node && (node == *draft.nic_node) != apart) return 0;
    return draft.storage_node == node ? 1 : 2;
  };
  std::stable_sort(out.begin(), out.end(), [&](unsigned a, unsigned b) { return rank(a) < rank(b); });
  return out;
}

bool fit_memory(const Inventory& inventory, const NumaNode& node, const VmSpec& spec, Placement& out,
                Refusals& refusals) {
  const std::uint64_t size = bytes(spec.hugepages.size);
  if (size == 0) {
    // With one node its own figure adds nothing, and libvirt's is wrong on some machines.
    const bool node_short = inventory.nodes.size() > 1 && node.memory < spec.memory;
    if (!node_short && spec.memory <= inventory.memory_available) return true;
    refusals.push_back({node_short ? fmt::format("node {} has {} of memory, {} needed", node.id,
                                                 hw::size_text(node.memory), hw::size_text(spec.memory))
                                   : fmt::format("the host has {} of free memory, {} needed",
                                                 hw::size_text(inventory.memory_available), hw::size_text(spec.memory)),
                        "lower vm.memory, or take a VM down (`vigia ls`)"});
    return false;
  }
  const auto at = node.huge.find(size);
  const PagePool pool = at == node.huge.end() ? PagePool{} : at->second;
  out.page_size = size;
  out.pages = spec.memory / size;
  if (pool.free >= out.pages) return true;
  refusals.push_back({fmt::format("node {} has {} free {} pages, {} needed", node.id, pool.free,
                                  size == 1u << 30 ? "1 GiB" : "2 MiB", out.pages),
                      fmt::format("`vigia host hugepages --node {} --size {} --count {}`", node.id,
                                  word(spec.hugepages.size), pool.total + (out.pages - pool.free))});
  return false;
}

// What happens on one node: the placement, or the reasons why not.
std::optional<Placement> fit_node(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running,
                                  unsigned id, Placement draft, bool may_share, Refusals& refusals) {
  const NumaNode* node = inventory.node(id);
  if (node == nullptr) {
    refusals.push_back({fmt::format("this host has no node {}", id), "say numa: auto, or a node that it has"});
    return std::nullopt;
  }
  const bool memory_fits = fit_memory(inventory, *node, spec, draft, refusals);
  const auto cpus = choose_cpus(inventory, id, spec.vcpus, running);
  if (!cpus) {
    refusals.push_back(
        {fmt::format("node {} has fewer online CPUs than the VM's {} vCPUs", id, spec.vcpus), "lower vm.vcpus"});
    return std::nullopt;
  }
  if (cpus->shares && !may_share) {
    refusals.push_back(
        {fmt::format("node {} has no cores free for {} vCPUs and the emulator ({})", id, spec.vcpus, cpus->why.back()),
         "lower vm.vcpus, take a VM down (`vigia ls`), or say affinity: preferred"});
    return std::nullopt;
  }
  if (!memory_fits) return std::nullopt;
  draft.node = id;
  draft.vcpu_cpus = cpus->vcpus;
  draft.emulator_cpus = cpus->others;
  if (spec.storage.mode == StorageMode::virtio) draft.iothread_cpus = cpus->others;
  draft.shares_cores = cpus->shares;
  draft.why.insert(draft.why.end(), cpus->why.begin(), cpus->why.end());
  return draft;
}

void explain_node(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running,
                  Placement& out) {
  const auto say = [&](std::string line) { out.why.push_back(std::move(line)); };
  if (spec.numa) {
    say(fmt::format("node {}: as the spec says", out.node));
  } else if (inventory.nodes.size() == 1) {
    say(fmt::format("node {}: the host's only one", out.node));
  } else if (!out.nic_node) {
    say(fmt::format("node {}: the first with room; the host does not say that a NIC is nearer", out.node));
  } else if (out.node == *out.nic_node) {
    say(fmt::format("node {}: that of the NIC {}", out.node, out.pf));
  } else if (spec.kind == VmKind::vnma) {
    say(fmt::format("node {}: not that of the NIC ({}), which is for the mirrored tenants", out.node, *out.nic_node));
  }
  const bool remote = out.nic_node && out.node != *out.nic_node;
  if (remote && spec.kind != VmKind::vnma) {
    say(fmt::format("node {} is not the NIC's, {}: expect loss at high rates (measured: 35 to 47 %)", out.node,
                    *out.nic_node));
  }
  if (out.storage_node && *out.storage_node != out.node) {
    say(fmt::format("the disk is on node {}: every block crosses the nodes' link", *out.storage_node));
  }
  if (spec.kind != VmKind::vnma || !spec.tap) return;
  for (const std::string& name : spec.tap->tenants) {
    const auto at = std::find_if(running.begin(), running.end(), [&](const PlacedDomain& d) { return d.name == name; });
    if (at == running.end()) {
      say(fmt::format("tenant {} is no VM of vigia's that runs: the PF's file must give its VF that name", name));
    } else if (out.nic_node && at->node && *at->node != *out.nic_node) {
      say(fmt::format("tenant {} is on node {}, the NIC on node {}: mirrored tenants belong near the NIC", name,
                      *at->node, *out.nic_node));
    }
  }
}

void explain_memory(const Inventory& inventory, const VmSpec& spec, Placement& out) {
  if (out.page_size != 0) {
    out.why.push_back(
        fmt::format("memory: {} pages of {} on node {}", out.pages, hw::size_text(out.page_size), out.node));
  } else {
    out.why.push_back(fmt::format("memory: {} of normal pages on node {}", hw::size_text(spec.memory), out.node));
  }
  if (spec.acceleration == Acceleration::tcg) {
    out.why.push_back("accelerator: TCG, software emulation, as the spec says");
    return;
  }
  out.accelerator = inventory.kvm ? Accelerator::kvm : Accelerator::tcg;
  out.why.push_back(
      inventory.kvm
          ? "accelerator: KVM"
          : "accelerator: TCG, software emulation: no /dev/kvm for us, or VIGIA_ACCELERATOR=tcg; fine for trying, not "
            "for measuring");
}

}  // namespace

PlacementResult place(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running) {
  PlacementResult result;
  Placement draft;
  for (const PlacedDomain& domain : running) {
    if (domain.name != spec.name) continue;
    result.refusals.push_back({fmt::format("{} runs already", spec.name),
                               fmt::format("`vigia {} down {}`, or another name", command_of(domain.kind), spec.name)});
  }
  choose_function(inventory, spec, running, draft, result.refusals);
  find_storage(inventory, spec, draft, result.refusals);
  if (inventory.nodes.empty()) result.refusals.push_back({"the inventory has no NUMA node", "is /sys mounted?"});
  const bool hardware = spec.network.mode == NetworkMode::vf || spec.network.mode == NetworkMode::pf;
  if (spec.affinity == Affinity::required) {
    if (hardware && !draft.pf.empty() && !draft.nic_node && inventory.nodes.size() > 1) {
      result.refusals.push_back(
          {fmt::format("the host does not say which node {} is on", draft.pf), "say numa: N and affinity: legacy"});
    }
    if (spec.numa && draft.nic_node && *spec.numa != *draft.nic_node) {
      result.refusals.push_back({fmt::format("numa: {} is not the NIC's node, {}", *spec.numa, *draft.nic_node),
                                 "say numa: auto, or affinity: preferred"});
    }
  }
  const std::vector<unsigned> nodes = candidate_nodes(inventory, spec, draft);
  std::optional<Placement> found;
  // Cores of its own on another node before shared ones on the best.
  for (const bool may_share : {false, true}) {
    if (may_share && spec.affinity == Affinity::required) break;
    Refusals why_not;
    for (const unsigned node : nodes) {
      if (!found) found = fit_node(inventory, spec, running, node, draft, may_share, why_not);
    }
    if (found) break;
    // What only the second round accepts is no refusal.
    if (may_share || spec.affinity == Affinity::required) {
      result.refusals.insert(result.refusals.end(), why_not.begin(), why_not.end());
    }
  }
  if (!found || !result.refusals.empty()) return result;
  explain_node(inventory, spec, running, *found);
  explain_memory(inventory, spec, *found);
  result.placement = std::move(found);
  return result;
}

Result<Placement> verdict(const VmSpec& spec, PlacementResult result) {
  if (result.placement) return std::move(*result.placement);
  std::string text = fmt::format("{}: {} cannot be placed on this host", spec.file.string(), spec.name);
  for (const Refusal& refusal : result.refusals) text += "\n  " + refusal.text();
  return input_error(text);
}

}  // namespace vigia::orch
