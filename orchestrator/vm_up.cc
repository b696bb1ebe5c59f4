// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_up.h"

#include <fmt/format.h>

#include <algorithm>

#include "orchestrator/port_mirrors.h"
#include "orchestrator/vm_disks.h"
#include "orchestrator/vm_down.h"

namespace vigia::orch {
namespace {

Result<Done> vf_is_ours(LibvirtHost& host, const VmPlan& plan) {
  if (!plan.placement.vf) return Done{};
  const auto catalog = read_catalog(host);
  if (!catalog) return catalog.error();
  for (const Vm& vm : catalog->vms) {
    if (vm.name == plan.spec.name || vm.metadata.pf != plan.placement.pf || vm.metadata.vf != plan.placement.vf)
      continue;
    return input_error(fmt::format("{}: VF {} of {} was taken by {} meanwhile; try again", plan.spec.name,
                                   *plan.placement.vf, plan.placement.pf, vm.name));
  }
  return Done{};
}

// A probe that leaves out duplicates holds them against the mirrors. That it cannot is no reason to take it down.
void tell_mirrors(const PfLink& link, const VmPlan& plan, const LifeHooks& hooks, UpReport& report) {
  const auto port = link.show();
  const auto told =
      port ? hooks.tell_mirrors(plan.metadata, mirrors_to(*port, *plan.placement.vf)) : Result<Done>(port.error());
  if (told) return;
  report.remarks.push_back(
      fmt::format("{} does not know what is mirrored to it and takes every duplicate for one that "
                  "no mirror explains: {}",
                  plan.spec.name, told.error().text));
}

}  // namespace

Result<UpReport> bring_up(LibvirtHost& host, const VmPlan& plan, const LifeHooks& hooks) {
  const std::string& name = plan.spec.name;
  UpReport report{{}, plan.scopes, plan.remarks};
  Steps steps(hooks, report.timings);
  const PfLink link(plan.spec.control_socket());
  const auto amend = [&](const pf::Amendment& change) {
    const auto amended = link.amend(change);
    return amended ? Result<Done>(Done{}) : Result<Done>(amended.error());
  };

  // From here on the domain's definition is the journal.
  auto done = steps.run("defining the domain", [&] { return host.define(name, plan.xml); });
  if (!done) return done.error();
  // Two that planned at the same moment may have chosen the same VF. Nothing but the definition is there to take back.
  if (auto free = vf_is_ours(host, plan); !free) {
    const auto undefined = host.undefine(name);
    return undefined ? free.error() : undefined.error();
  }
  if (plan.spec.has_vf()) {
    done = steps.run("setting up the VF", [&] { return amend(plan.port.vf); });
  }
  if (done) done = steps.run("preparing storage", [&] { return make_storage(plan.spec.storage); });
  if (done && !plan.files.disk.empty()) {
    done = steps.run("preparing the system's disk", [&] { return make_overlay(plan.files, name); });
  }
  if (done) done = steps.run("starting the domain", [&] { return host.start(name); });
  if (done) {
    done = steps.run("waiting for the guest",
                     [&] { return hooks.wait_ready(plan.metadata, [&] { return host.runs(name); }); });
  }
  if (done && !plan.port.tap.taps.empty()) {
    done = steps.run("mirroring", [&] { return amend(plan.port.tap); });
  }
  if (done && plan.spec.captures() && plan.spec.capture.dedup != "off" && plan.placement.vf) {
    done = steps.run("telling the guest what is mirrored", [&] {
      tell_mirrors(link, plan, hooks, report);
      return Result<Done>(Done{});
    });
  }
  if (done) {
    VmMetadata journal = plan.metadata;
    remove_undo(journal, kUndoStarting);
    remove_undo(journal, kUndoCreated);
    done = steps.run("noting that it is up", [&] { return host.set_metadata(name, metadata_xml(journal)); });
  }
  if (done) return report;

  hooks.step("undoing");
  LifeHooks quiet = hooks;
  quiet.stop_guest = [](const VmMetadata&) { return Result<Done>(Done{}); };
  const auto undone = take_down(host, {name, VmState::interrupted, plan.metadata, {}}, quiet);
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
