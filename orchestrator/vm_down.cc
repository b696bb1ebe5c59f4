// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_down.h"

#include <fmt/format.h>

#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "orchestrator/pf_link.h"
#include "orchestrator/process_id.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

// The port's undo in two parts: mirroring ends before the guest does, the VF goes back once nobody uses it.
struct PortUndo {
  pf::Amendment taps, vf;
};

Result<PortUndo> port_undo(const Vm& vm) {
  PortUndo out;
  for (const std::string& text : undo_values(vm.metadata, kUndoPort)) {
    const auto change = pf::parse_amendment(text, vm.name + "'s metadata");
    if (!change) return change.error();
    out.taps.taps = change->taps;
    out.taps.remove_taps = change->remove_taps;
    out.vf.vf = change->vf;
  }
  return out;
}

class TakeDown {
 public:
  TakeDown(LibvirtHost& host, const Vm& vm, const LifeHooks& hooks)
      : host_(host), vm_(vm), hooks_(hooks), steps_(hooks, report_.timings) {}

  Result<DownReport> run() {
    const auto undo = port_undo(vm_);
    if (!undo) return undo.error();
    const bool mirrors = !undo->taps.taps.empty() || !undo->taps.remove_taps.empty();
    note_that_it_ends();
    if (mirrors) amend("ending the mirror", undo->taps);
    if (vm_.state == VmState::running || was_up()) {
      auto stopped = steps_.finish("stopping the guest's service", [&] { return hooks_.stop_guest(vm_.metadata); });
      if (!stopped) remark(stopped.error().text);
    }
    auto done = steps_.finish("stopping the domain", [&] { return host_.destroy(vm_.name); });
    if (!done) return done.error();
    if (!undo->vf.vf.empty()) amend("restoring the VF", undo->vf);
    remove_files();
    end_timer();
    done = steps_.finish("removing the domain", [&] { return host_.undefine(vm_.name); });
    if (!done) return done.error();
    return std::move(report_);
  }

 private:
  // Who comes after us, if we are killed, is to go on with it: what is half down must not be taken for damage to mend.
  void note_that_it_ends() {
    VmMetadata journal = vm_.metadata;
    remove_undo(journal, kUndoEnding);
    journal.undo.push_back(std::string(kUndoEnding) + ProcessId::self().text());
    const auto noted =
        steps_.finish("noting that it ends", [&] { return host_.set_metadata(vm_.name, metadata_xml(journal)); });
    if (!noted) remark(noted.error().text);
  }

  // An earlier `down` did not come to its end: the guest may run still, with data that are not written.
  bool was_up() const {
    return !undo_values(vm_.metadata, kUndoEnding).empty() && undo_values(vm_.metadata, kUndoStarting).empty();
  }

  void remark(std::string text) { report_.remarks.push_back(std::move(text)); }

  void amend(std::string_view step, const pf::Amendment& change) {
    const auto done = steps_.finish(step, [&] {
      const auto amended = PfLink(vm_.metadata.control).amend(change);
      return amended ? Result<Done>(Done{}) : Result<Done>(amended.error());
    });
    if (!done) remark(fmt::format("{}: {}", step, done.error().text));
  }

  void remove_files() {
    std::vector<std::string> files = vm_.metadata.files;
    if (!undo_values(vm_.metadata, kUndoStarting).empty()) {
      for (std::string& made : undo_values(vm_.metadata, kUndoCreated)) files.push_back(std::move(made));
    }
    for (const std::string& file : files) {
      std::error_code failed;
      fs::remove(file, failed);
      if (failed) remark(fmt::format("remove {}: {}", file, failed.message()));
    }
  }

  // Who waits for the VM's time to be over. It may be us.
  void end_timer() {
    for (const std::string& text : undo_values(vm_.metadata, kUndoProcess)) {
      const auto timer = ProcessId::parse(text);
      if (timer && timer->alive() && timer->pid != ::getpid()) ::kill(timer->pid, SIGTERM);
    }
  }

  LibvirtHost& host_;
  const Vm& vm_;
  const LifeHooks& hooks_;
  DownReport report_;
  Steps steps_;
};

}  // namespace

Result<DownReport> take_down(LibvirtHost& host, const Vm& vm, const LifeHooks& hooks) {
  return TakeDown(host, vm, hooks).run();
}

}  // namespace vigia::orch
