// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <set>

#include "orchestrator/port_change.h"
#include "orchestrator/vm_down.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using Kind = Damage::Kind;

bool has_tap(const PortWishes& port, std::string_view name) {
  return std::any_of(port.taps.begin(), port.taps.end(), [&](const pf::Tap& tap) { return tap.name == name; });
}

// Whether the port still has what the VM's `up` asked for.
bool keeps_wishes(const Vm& vm, const PortWishes& port) {
  if (!vm.metadata.tap.empty() && !has_tap(port, vm.metadata.tap)) return false;
  if (!vm.metadata.vf || *vm.metadata.vf >= port.vf.size()) return !vm.metadata.vf;
  const pf::VfConfig& vf = port.vf[*vm.metadata.vf];
  return vf.name == vm.name && (vm.metadata.mac.empty() || (vf.mac && vf.mac->text() == vm.metadata.mac));
}

// The sockets tell: vigia-softnic makes its own at its start, libvirt a domain's channel at the domain's start.
bool nic_is_younger(const VmMetadata& vm) {
  if (!vm.vf || vm.channel.empty()) return false;
  std::error_code no_nic, no_channel;
  const auto nic = fs::last_write_time(fs::path(vm.pf) / fmt::format("vf{}.sock", *vm.vf), no_nic);
  const auto guest = fs::last_write_time(vm.channel, no_channel);
  return !no_nic && !no_channel && nic > guest;
}

void check_vm(const Vm& vm, const HostState& state, std::vector<Damage>& out) {
  const auto add = [&](Kind kind, std::string text, std::string remedy, bool mendable = true) {
    out.push_back({kind, vm.name, vm.metadata.control, std::move(text), std::move(remedy), mendable});
  };
  if (vm.state == VmState::starting || vm.state == VmState::stopping) return;
  if (vm.state == VmState::interrupted && undo_values(vm.metadata, kUndoStarting).empty()) {
    add(Kind::half_down, "its `down` was killed before it came to its end", "takes it down");
  } else if (vm.state == VmState::interrupted) {
    add(Kind::half_up, "its `up` was killed before it came to its end", "takes back what was done");
  } else if (vm.state == VmState::stopped) {
    add(Kind::ended, "its guest is off (shut down from inside, or its QEMU died)", "takes it down");
  } else if (vm.metadata.until != 0 && vm.metadata.until <= state.now) {
    add(Kind::expired, "its time is over and nobody took it down", "takes it down");
  } else if (const auto dead = state.dead_ports.find(vm.metadata.control); dead != state.dead_ports.end()) {
    add(Kind::dead_port, "its port has no manager: " + dead->second,
        fmt::format("start vigia-pf with --control {}, then repair again", vm.metadata.control), false);
  } else if (state.lost_nics.count(vm.name) != 0) {
    add(Kind::lost_nic,
        "vigia-softnic was started anew, and its guest still has a VF of the old one: no frame reaches it",
        fmt::format("vigia {} down {}, then up again: a guest takes its VF at its start", command_of(vm.metadata.kind),
                    vm.name),
        false);
  } else if (const auto port = state.ports.find(vm.metadata.control);
             port != state.ports.end() && !keeps_wishes(vm, port->second)) {
    add(Kind::lost_wish, "its port does not know its VF or tap any more (vigia-pf was started anew, or reverted)",
        "asks the port for them again");
  }
}

void check_taps(const HostState& state, std::vector<Damage>& out) {
  for (const auto& [control, port] : state.ports) {
    for (const pf::Tap& tap : port.taps) {
      const std::string_view vm = vm_of_tap(tap.name);
      if (vm.empty() || state.catalog.find(vm) != nullptr) continue;
      out.push_back({Kind::orphan_tap, tap.name, control,
                     fmt::format("mirrors to VF {}, whose VM {} is not there", tap.to, vm), "removes it", true});
    }
  }
}

// NAME.channel, NAME.shell, NAME.console.log of VMs that are not there.
void check_files(const HostState& state, std::vector<Damage>& out) {
  constexpr std::array<std::string_view, 3> kEndings{".channel", ".shell", ".console.log"};
  for (const std::string& file : state.run_files) {
    for (const std::string_view ending : kEndings) {
      if (!std::string_view(file).ends_with(ending)) continue;
      const std::string vm = file.substr(0, file.size() - ending.size());
      if (state.catalog.find(vm) == nullptr) {
        out.push_back(
            {Kind::stray_file, file, "", fmt::format("belongs to a VM {} that is not there", vm), "removes it", true});
      }
    }
  }
}

Result<Done> end_vm(LibvirtHost& host, const Vm& vm, const LifeHooks& hooks) {
  const auto done = take_down(host, vm, hooks);
  if (!done) return done.error();
  return Done{};
}

Result<Done> ask_again(const Vm& vm, const HostState& state) {
  const auto spec = parse_vm(vm.metadata.spec_text, vm.metadata.spec_file);
  if (!spec) return spec.error();
  Placement placement;
  placement.pf = vm.metadata.pf;
  placement.vf = vm.metadata.vf;
  const auto change = port_change(*spec, placement, state.ports.at(vm.metadata.control), state.catalog);
  if (!change) return change.error();
  const auto amended = PfLink(vm.metadata.control).amend(whole(*change));
  return amended ? Result<Done>(Done{}) : Result<Done>(amended.error());
}

Result<Done> mend(LibvirtHost& host, const HostDirs& dirs, const HostState& state, const Damage& damage,
                  const LifeHooks& hooks) {
  switch (damage.kind) {
    case Kind::half_up:
    case Kind::half_down:
    case Kind::ended:
    case Kind::expired:
      return end_vm(host, *state.catalog.find(damage.subject), hooks);
    case Kind::lost_wish:
      return ask_again(*state.catalog.find(damage.subject), state);
    case Kind::orphan_tap: {
      pf::Amendment change;
      change.remove_taps.push_back(damage.subject);
      const auto amended = PfLink(damage.control).amend(change);
      return amended ? Result<Done>(Done{}) : Result<Done>(amended.error());
    }
    case Kind::stray_file: {
      std::error_code failed;
      fs::remove(dirs.run / damage.subject, failed);
      return failed ? Result<Done>(work_error(failed.message())) : Result<Done>(Done{});
    }
    case Kind::dead_port:
    case Kind::lost_nic:
      break;
  }
  return work_error(damage.remedy);
}

}  // namespace

std::vector<Damage> find_damage(const HostState& state) {
  std::vector<Damage> out;
  for (const Vm& vm : state.catalog.vms) check_vm(vm, state, out);
  check_taps(state, out);
  check_files(state, out);
  return out;
}

void look_around(HostState& state, const HostDirs& dirs) {
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(dirs.run, gone)) {
    state.run_files.push_back(entry.path().filename().string());
  }
  std::sort(state.run_files.begin(), state.run_files.end());
  for (const Vm& vm : state.catalog.vms) {
    if (vm.state == VmState::running && nic_is_younger(vm.metadata)) state.lost_nics.insert(vm.name);
  }
  state.now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<HostState> read_host_state(LibvirtHost& host, const HostDirs& dirs, const std::vector<std::string>& also) {
  auto catalog = read_catalog(host);
  if (!catalog) return catalog.error();
  HostState out;
  out.catalog = std::move(*catalog);
  std::set<std::string> controls(also.begin(), also.end());
  for (const Vm& vm : out.catalog.vms) {
    if (!vm.metadata.control.empty()) controls.insert(vm.metadata.control);
  }
  for (const std::string& control : controls) {
    auto wishes = PfLink(control).wishes();
    if (wishes) {
      out.ports.emplace(control, std::move(*wishes));
    } else {
      out.dead_ports.emplace(control, wishes.error().text);
    }
  }
  look_around(out, dirs);
  return out;
}

std::vector<Mended> repair(LibvirtHost& host, const HostDirs& dirs, const HostState& state,
                           const std::vector<Damage>& damages, const LifeHooks& hooks) {
  std::vector<Mended> out;
  for (const Damage& damage : damages) {
    const auto done = mend(host, dirs, state, damage, hooks);
    out.push_back({damage, done ? std::string() : done.error().text});
  }
  return out;
}

}  // namespace vigia::orch
