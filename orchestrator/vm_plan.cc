// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_plan.h"

#include <fmt/format.h>

#include <filesystem>
#include <span>

#include "orchestrator/process_id.h"
#include "orchestrator/vm_catalog.h"
#include "orchestrator/vm_disks.h"
#include "orchestrator/vm_ledger.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

Result<Inventory> read_inventory(LibvirtHost& host, const VmSpec& spec) {
  const auto capabilities = host.capabilities();
  if (!capabilities) return capabilities.error();
  const auto devices = host.node_devices();
  if (!devices) return devices.error();
  auto inventory = inventory_from_libvirt(*capabilities, *devices);
  if (!inventory) return inventory.error();
  read_host_facts(*inventory, "/");
  if (spec.network.mode == NetworkMode::softnic) {
    auto nic = read_softnic(spec.network.pf);
    if (!nic) return nic.error();
    inventory->softnics.push_back(std::move(*nic));
  }
  return inventory;
}

// Fills port, scopes and the metadata's undo lines.
Result<Done> plan_port(VmPlan& plan, const PortWishes& port, const Catalog& catalog) {
  const PfLink link(plan.spec.control_socket());
  auto change = port_change(plan.spec, plan.placement, port, catalog);
  if (!change) return change.error();
  plan.port = std::move(*change);
  // Both at once, because the tap may only be possible with the VF's new entry.
  const auto possible = link.plan(whole(plan.port));
  if (!possible) return possible.error();
  plan.scopes = possible->scopes;
  plan.remarks.insert(plan.remarks.end(), possible->warnings.begin(), possible->warnings.end());
  plan.metadata.undo.push_back(std::string(kUndoPort) + pf::amendment_json(possible->undo));
  if (!plan.port.tap.taps.empty()) plan.metadata.tap = plan.port.tap.taps.front().name;
  return Done{};
}

// A VF that pf.yaml names is somebody's, though no VM of ours; unless the name is that of the VM.
void add_reserved(const VmSpec& spec, const PortWishes& port, const Catalog& catalog,
                  std::vector<PlacedDomain>& running) {
  for (const pf::VfConfig& vf : port.vf) {
    if (vf.name.empty() || vf.name == spec.name || catalog.find(vf.name) != nullptr) continue;
    PlacedDomain owner;
    owner.name = vf.name;
    owner.pf = spec.network.pf;
    owner.vf = vf.index;
    running.push_back(std::move(owner));
  }
}

// All that does not need the port.
Result<VmPlan> decide(const Inventory& inventory, std::span<const PlacedDomain> running, const HostDirs& dirs,
                      VmSpec spec) {
  auto files = find_image(dirs, spec.image);
  if (!files) return files.error();
  auto placement = verdict(spec, place(inventory, spec, running));
  if (!placement) return placement.error();
  VmPlan plan{std::move(spec), std::move(*placement), std::move(*files), {}, {}, {}, {}, {}};
  plan.metadata = metadata_of(plan.spec, plan.placement, plan.files);
  plan.metadata.undo.push_back(std::string(kUndoStarting) + ProcessId::self().text());
  if (makes_storage(plan.spec.storage))
    plan.metadata.undo.push_back(std::string(kUndoCreated) + plan.spec.storage.path);
  for (const fs::path& file :
       {plan.files.channel(plan.spec.name), plan.files.shell(plan.spec.name), plan.files.console_log(plan.spec.name)}) {
    plan.metadata.files.push_back(file.string());
  }
  if (!plan.files.disk.empty()) plan.metadata.files.push_back(plan.files.overlay(plan.spec.name).string());
  return plan;
}

}  // namespace

Result<VmPlan> plan_vm(LibvirtHost& host, const HostDirs& dirs, VmSpec spec, std::int64_t until) {
  const auto catalog = read_catalog(host);
  if (!catalog) return catalog.error();
  if (const Vm* old = catalog->find(spec.name)) {
    return input_error(fmt::format("{}: vm.name: {} is there already ({}); take it down first: vigia {} down {}",
                                   spec.file.string(), spec.name, word(old->state), command_of(word(spec.kind)),
                                   spec.name));
  }
  if (auto storage = check_storage(spec); !storage) return storage.error();
  const auto inventory = read_inventory(host, spec);
  if (!inventory) return inventory.error();
  std::vector<PlacedDomain> running = catalog->placed();
  PortWishes port;
  if (spec.has_vf()) {
    auto wishes = PfLink(spec.control_socket()).wishes();
    if (!wishes) return wishes.error();
    port = std::move(*wishes);
    add_reserved(spec, port, *catalog, running);
  }
  auto plan = decide(*inventory, running, dirs, std::move(spec));
  if (!plan) return plan.error();
  plan->remarks = catalog->remarks;
  plan->metadata.until = until;
  if (plan->spec.has_vf()) {
    if (auto planned = plan_port(*plan, port, *catalog); !planned) return planned.error();
    if (std::string line = written_line(plan->placement.pf, *plan->placement.vf); !line.empty()) {
      plan->metadata.undo.push_back(std::move(line));
    }
  }
  plan->xml = domain_xml(plan->spec, plan->placement, plan->files, plan->metadata);
  return plan;
}

Result<VmPlan> plan_for(const Inventory& inventory, const HostDirs& dirs, VmSpec spec) {
  auto plan = decide(inventory, {}, dirs, std::move(spec));
  if (plan) plan->xml = domain_xml(plan->spec, plan->placement, plan->files, plan->metadata);
  return plan;
}

}  // namespace vigia::orch
