// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_up.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "hw/fd.h"
#include "orchestrator/process_id.h"
#include "orchestrator/vm_down.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

// The disk image, of its whole size but without blocks. One that is there is left as it is.
Result<Done> make_storage(const StorageSpec& storage) {
  if (storage.mode != StorageMode::virtio || storage.size == 0 || fs::exists(storage.path)) return Done{};
  const Fd fd(::open(storage.path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
  if (!fd) return os_error("create the disk image " + storage.path);
  if (::ftruncate(fd.get(), static_cast<off_t>(storage.size)) != 0) {
    const Error error = os_error("size the disk image " + storage.path);
    ::unlink(storage.path.c_str());
    return error;
  }
  return Done{};
}

bool makes_storage(const StorageSpec& storage) {
  return storage.mode == StorageMode::virtio && storage.size != 0 && !fs::exists(storage.path);
}

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
Result<Done> plan_port(VmPlan& plan, const Catalog& catalog) {
  const PfLink link(plan.spec.control_socket());
  const auto port = link.wishes();
  if (!port) return port.error();
  auto change = port_change(plan.spec, plan.placement, *port, catalog);
  if (!change) return change.error();
  plan.port = std::move(*change);
  // Both at once, because the tap may only be possible with the VF's new entry.
  pf::Amendment both = plan.port.vf;
  both.taps = plan.port.tap.taps;
  const auto possible = link.plan(both);
  if (!possible) return possible.error();
  plan.scopes = possible->scopes;
  plan.remarks.insert(plan.remarks.end(), possible->warnings.begin(), possible->warnings.end());
  plan.metadata.undo.push_back(std::string(kUndoPort) + pf::amendment_json(possible->undo));
  if (!plan.port.tap.taps.empty()) plan.metadata.tap = plan.port.tap.taps.front().name;
  return Done{};
}

}  // namespace

Result<VmPlan> plan_vm(LibvirtHost& host, const HostDirs& dirs, VmSpec spec) {
  const auto catalog = read_catalog(host);
  if (!catalog) return catalog.error();
  if (const Vm* old = catalog->find(spec.name)) {
    return input_error(fmt::format("{}: vm.name: {} is there already ({}); take it down first: vigia {} down {}",
                                   spec.file.string(), spec.name, word(old->state),
                                   spec.kind == VmKind::tenant ? "tenant"
                                   : spec.kind == VmKind::vnp  ? "probe"
                                                               : "agent",
                                   spec.name));
  }
  auto files = find_image(dirs, spec.image);
  if (!files) return files.error();
  const auto inventory = read_inventory(host, spec);
  if (!inventory) return inventory.error();
  auto placement = verdict(spec, place(*inventory, spec, catalog->placed()));
  if (!placement) return placement.error();

  VmPlan plan{std::move(spec), std::move(*placement), std::move(*files), {}, {}, catalog->remarks, {}, {}};
  plan.metadata = metadata_of(plan.spec, plan.placement, plan.files);
  if (plan.spec.has_vf()) {
    if (auto planned = plan_port(plan, *catalog); !planned) return planned.error();
  }
  if (makes_storage(plan.spec.storage))
    plan.metadata.undo.push_back(std::string(kUndoCreated) + plan.spec.storage.path);
  for (const fs::path& file :
       {plan.files.channel(plan.spec.name), plan.files.shell(plan.spec.name), plan.files.console_log(plan.spec.name)}) {
    plan.metadata.files.push_back(file.string());
  }
  plan.xml = domain_xml(plan.spec, plan.placement, plan.files, plan.metadata);
  return plan;
}

Result<UpReport> bring_up(LibvirtHost& host, const VmPlan& plan, std::int64_t until, const LifeHooks& hooks) {
  const std::string& name = plan.spec.name;
  UpReport report{{}, plan.scopes, plan.remarks};
  Steps steps(hooks, report.timings);
  VmMetadata journal = plan.metadata;
  journal.until = until;
  journal.undo.push_back(std::string(kUndoStarting) + ProcessId::self().text());
  const PfLink link(plan.spec.control_socket());
  const auto amend = [&](const pf::Amendment& change) {
    const auto amended = link.amend(change);
    return amended ? Result<Done>(Done{}) : Result<Done>(amended.error());
  };

  // From here on the domain's definition is the journal.
  auto done = steps.run("defining the domain",
                        [&] { return host.define(name, domain_xml(plan.spec, plan.placement, plan.files, journal)); });
  if (!done) return done.error();
  if (plan.spec.has_vf()) {
    done = steps.run("setting up the VF", [&] { return amend(plan.port.vf); });
  }
  if (done) done = steps.run("preparing storage", [&] { return make_storage(plan.spec.storage); });
  if (done) done = steps.run("starting the domain", [&] { return host.start(name); });
  if (done) done = steps.run("waiting for the guest", [&] { return hooks.wait_ready(plan.metadata); });
  if (done && !plan.port.tap.taps.empty()) {
    done = steps.run("mirroring", [&] { return amend(plan.port.tap); });
  }
  if (done) {
    remove_undo(journal, kUndoStarting);
    remove_undo(journal, kUndoCreated);
    done = steps.run("noting that it is up", [&] { return host.set_metadata(name, metadata_xml(journal)); });
  }
  if (done) return report;

  hooks.step("undoing");
  LifeHooks quiet = hooks;
  quiet.stop_guest = [](const VmMetadata&) { return Result<Done>(Done{}); };
  const auto undone = take_down(host, {name, VmState::interrupted, journal, {}}, quiet);
  Error error = done.error();
  error.text = fmt::format("{}: {}", name, error.text);
  if (!undone) {
    error.text += fmt::format("\nand it could not all be undone: {}; `vigia repair` tries again", undone.error().text);
  } else {
    for (const std::string& remark : undone->remarks) error.text += "\nundoing: " + remark;
  }
  return error;
}

}  // namespace vigia::orch
