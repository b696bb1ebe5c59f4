// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/placement_devices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace vigia::orch {
namespace {

// Who has the function, or nullptr. vf: none for the PF itself.
const PlacedDomain* owner(std::span<const PlacedDomain> running, const std::string& pf, std::optional<unsigned> vf) {
  const auto at = std::find_if(running.begin(), running.end(),
                               [&](const PlacedDomain& d) { return d.pf == pf && (!d.vf || !vf || d.vf == vf); });
  return at == running.end() ? nullptr : &*at;
}

// The VF that the spec names, or the first free one of those that there are.
std::optional<unsigned> choose_vf(const VmSpec& spec, const std::string& pf, const std::vector<unsigned>& there,
                                  std::span<const PlacedDomain> running, std::vector<Refusal>& refusals) {
  if (const auto wanted = spec.network.vf) {
    if (std::find(there.begin(), there.end(), *wanted) == there.end()) {
      refusals.push_back({fmt::format("{} has no VF {}", pf, *wanted),
                          there.empty() ? "make VFs: vfs: N in the PF's file, then `vigia pf apply`"
                                        : fmt::format("it has {}; choose one, or vf: auto", cpu_list_text(there))});
      return std::nullopt;
    }
    if (const PlacedDomain* other = owner(running, pf, *wanted)) {
      refusals.push_back({fmt::format("VF {} of {} belongs to {}", *wanted, pf, other->name),
                          fmt::format("choose vf: auto, or `vigia {} down {}`", command_of(other->kind), other->name)});
      return std::nullopt;
    }
    return wanted;
  }
  for (const unsigned vf : there) {
    if (owner(running, pf, vf) == nullptr) return vf;
  }
  refusals.push_back({there.empty() ? fmt::format("{} has no VFs", pf)
                                    : fmt::format("none of the {} VFs of {} is free", there.size(), pf),
                      "raise vfs in the PF's file, then `vigia pf apply`; or take a VM down (`vigia ls`)"});
  return std::nullopt;
}

void choose_softnic(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running,
                    Placement& out, std::vector<Refusal>& refusals) {
  const SoftNic* nic = inventory.softnic(spec.network.pf);
  if (nic == nullptr) {
    refusals.push_back({fmt::format("no software NIC has its sockets in {}", spec.network.pf),
                        fmt::format("`vigia-softnic --dir {} --vfs 4 --wire null`", spec.network.pf)});
    return;
  }
  out.pf = nic->dir;
  out.vf = choose_vf(spec, nic->dir, nic->vfs, running, refusals);
  if (out.vf)
    out.why.push_back(
        fmt::format("VF {} of the software NIC in {}; it is a process, so no node is nearer", *out.vf, nic->dir));
}

void choose_whole_pf(const NetDevice& nic, std::span<const PlacedDomain> running, Placement& out,
                     std::vector<Refusal>& refusals) {
  if (const PlacedDomain* other = owner(running, nic.pci, std::nullopt)) {
    refusals.push_back(
        {fmt::format("{} has a function of {}", other->name, nic.pci), "take it down first (`vigia ls`)"});
  } else if (nic.vfs_enabled != 0) {
    refusals.push_back({fmt::format("{} has {} VFs, so it cannot be given away whole", nic.pci, nic.vfs_enabled),
                        fmt::format("`echo 0 > /sys/bus/pci/devices/{}/sriov_numvfs`, or mode: vf", nic.pci)});
  } else {
    out.pci = nic.pci;
    out.why.push_back(fmt::format("the whole PF {}: best for a probe when the NIC can be given away", nic.pci));
  }
}

void choose_hardware(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running,
                     Placement& out, std::vector<Refusal>& refusals) {
  const NetDevice* nic = inventory.nic(spec.network.pf);
  if (nic == nullptr) {
    std::vector<std::string> known;
    for (const NetDevice& n : inventory.nics) {
      if (n.pf.empty()) known.push_back(n.netdev.empty() ? n.pci : fmt::format("{} ({})", n.pci, n.netdev));
    }
    refusals.push_back({fmt::format("this host has no NIC {}", spec.network.pf),
                        known.empty() ? "it shows none at all; mode: softnic needs none"
                                      : fmt::format("it has {}", fmt::join(known, ", "))});
    return;
  }
  if (!nic->pf.empty()) {
    refusals.push_back({fmt::format("{} is a VF", nic->pci), fmt::format("say pf: \"{}\" and vf: N", nic->pf)});
    return;
  }
  if (!inventory.iommu) {
    refusals.push_back({"this host has no IOMMU in use, so no function can be given to a guest",
                        "enable VT-d or AMD-Vi in the firmware and boot with intel_iommu=on iommu=pt"});
  }
  out.pf = nic->pci;
  out.nic_node = nic->node;
  if (spec.network.mode == NetworkMode::pf) return choose_whole_pf(*nic, running, out, refusals);
  std::vector<unsigned> there;
  for (const VirtualFunction& vf : nic->vfs) there.push_back(vf.index);
  out.vf = choose_vf(spec, nic->pci, there, running, refusals);
  if (!out.vf) return;
  const auto at = std::find_if(nic->vfs.begin(), nic->vfs.end(), [&](const auto& vf) { return vf.index == *out.vf; });
  out.pci = at->pci;
  out.why.push_back(fmt::format("VF {} ({}) of {}: {}", *out.vf, at->pci, nic->pci,
                                spec.network.vf ? "as the spec says" : "the first that no VM has"));
}

}  // namespace

void choose_function(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running,
                     Placement& out, std::vector<Refusal>& refusals) {
  switch (spec.network.mode) {
    case NetworkMode::virtio:
      out.why.push_back(
          fmt::format("a virtio card on bridge {}: no function of a NIC, no node is nearer", spec.network.bridge));
      return;
    case NetworkMode::softnic:
      return choose_softnic(inventory, spec, running, out, refusals);
    case NetworkMode::vf:
    case NetworkMode::pf:
      return choose_hardware(inventory, spec, running, out, refusals);
  }
}

void find_storage(const Inventory& inventory, const VmSpec& spec, Placement& out, std::vector<Refusal>& refusals) {
  const StorageSpec& storage = spec.storage;
  if (storage.mode == StorageMode::none) return;
  const bool controller = storage.mode == StorageMode::passthrough;
  const auto at = std::find_if(inventory.disks.begin(), inventory.disks.end(), [&](const BlockDevice& d) {
    return controller ? d.pci == storage.path : "/dev/" + d.name == storage.path;
  });
  if (at != inventory.disks.end()) out.storage_node = at->node;
  if (!controller) return;
  if (!inventory.iommu) {
    refusals.push_back({"this host has no IOMMU in use, so no disk controller can be given to a guest",
                        "enable it in the firmware and boot with intel_iommu=on iommu=pt, or storage mode: virtio"});
  }
  if (at == inventory.disks.end()) {
    refusals.push_back({fmt::format("no disk of this host is on a controller {}", storage.path),
                        "`vigia inventory` lists disks with their controllers"});
  }
}

}  // namespace vigia::orch
