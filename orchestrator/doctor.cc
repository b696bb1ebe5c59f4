// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "orchestrator/doctor_checks.h"

namespace vigia::orch {
namespace {

void not_known(const Facts& facts, Findings& out) {
  for (const Unknown& unknown : facts.unknown) {
    out.add(unknown.subject, fmt::format("{} is not known, so nothing is said about it", unknown.what), unknown.why,
            "make it readable, or look yourself");
  }
}

constexpr std::array kLast{Check{"not-known", Severity::note, not_known}};

// Causes first: a host that cannot give, a VM that is not there, a port, what it mirrors, what it counts, the guest.
std::vector<Check> all_checks() {
  std::vector<Check> out;
  for (const auto& topic : {host_checks(), sriov_checks(), life_checks(), port_checks(), mirror_checks(),
                            guest_checks(), traffic_checks(), std::span<const Check>(kLast)}) {
    out.insert(out.end(), topic.begin(), topic.end());
  }
  return out;
}

const pf::Tap* tap_of(const Facts& facts, const VmFacts& vm) {
  const PortFacts* port = facts.port(vm.vm.metadata.control);
  if (port == nullptr || vm.vm.metadata.tap.empty()) return nullptr;
  const auto& taps = port->wishes.taps;
  const auto at =
      std::find_if(taps.begin(), taps.end(), [&](const pf::Tap& tap) { return tap.name == vm.vm.metadata.tap; });
  return at == taps.end() ? nullptr : &*at;
}

template <class T>
bool holds(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// VFs of the port that its VMs have, or that taps of those VMs name.
bool concerns(const Facts& facts, const PortFacts& port, unsigned vf) {
  for (const VmFacts& vm : facts.vms) {
    if (vm.vm.metadata.control != port.control) continue;
    if (vm.vm.metadata.vf == vf) return true;
    if (const pf::Tap* tap = tap_of(facts, vm); tap != nullptr && holds(tap->from, vf)) return true;
  }
  return false;
}

}  // namespace

std::string_view word(Severity severity) {
  switch (severity) {
    case Severity::error:
      return "error";
    case Severity::warning:
      return "warning";
    case Severity::note:
      return "note";
  }
  return "?";
}

const VmFacts* Facts::vm(std::string_view name) const {
  const auto at = std::find_if(vms.begin(), vms.end(), [&](const VmFacts& v) { return v.vm.name == name; });
  return at == vms.end() ? nullptr : &*at;
}

const PortFacts* Facts::port(std::string_view control) const {
  const auto at = std::find_if(ports.begin(), ports.end(), [&](const PortFacts& p) { return p.control == control; });
  return at == ports.end() ? nullptr : &*at;
}

Facts narrowed(Facts facts, std::string_view name) {
  const VmFacts* vm = facts.vm(name);
  if (vm == nullptr) return facts;
  const std::string control = vm->vm.metadata.control, own_tap = vm->vm.metadata.tap;
  const pf::Tap* tap = tap_of(facts, *vm);
  const std::vector<unsigned> shown = tap == nullptr ? std::vector<unsigned>{} : tap->from;
  std::set<std::string> subjects{std::string(name), own_tap, control};
  std::erase_if(facts.vms, [&](const VmFacts& other) {
    const VmMetadata& meta = other.vm.metadata;
    const bool keep =
        other.vm.name == name || (meta.control == control && !control.empty() && meta.vf && holds(shown, *meta.vf));
    if (keep) subjects.insert(other.vm.name);
    return !keep;
  });
  std::erase_if(facts.ports, [&](const PortFacts& port) { return port.control != control; });
  std::erase_if(facts.damages, [&](const Damage& damage) { return !subjects.contains(damage.subject); });
  for (const PortFacts& port : facts.ports) subjects.insert(port.pf);
  subjects.insert("host");
  std::erase_if(facts.unknown, [&](const Unknown& unknown) { return !subjects.contains(unknown.subject); });
  facts.only = name;
  return facts;
}

std::vector<Finding> diagnose(const Facts& facts) {
  std::vector<Finding> out;
  for (const Check& check : all_checks()) {
    Findings findings(check.severity, check.code, out);
    check.look(facts, findings);
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.severity < b.severity; });
  return out;
}

std::vector<std::string_view> doctor_codes() {
  std::vector<std::string_view> out;
  for (const Check& check : all_checks()) out.push_back(check.code);
  return out;
}

std::string UsedVf::who() const {
  if (vm != nullptr) return fmt::format("{} (VF {})", vm->vm.name, view->index);
  return wish->title();
}

std::vector<UsedVf> used_vfs(const Facts& facts) {
  std::vector<UsedVf> out;
  for (const PortFacts* port : answering_ports(facts)) {
    for (const pf::VfView& view : port->view.vfs) {
      if (view.index >= port->wishes.vf.size()) continue;
      const bool driven = facts.only.empty() && view.driver && view.driver->ready;
      if (!driven && !concerns(facts, *port, view.index)) continue;
      const auto owner = std::find_if(facts.vms.begin(), facts.vms.end(), [&](const VmFacts& vm) {
        return vm.vm.metadata.control == port->control && vm.vm.metadata.vf == view.index;
      });
      out.push_back({port, &view, &port->wishes.vf[view.index], owner == facts.vms.end() ? nullptr : &*owner});
    }
  }
  return out;
}

std::vector<const VmFacts*> running_vms(const Facts& facts) {
  std::vector<const VmFacts*> out;
  for (const VmFacts& vm : facts.vms) {
    if (vm.vm.state == VmState::running) out.push_back(&vm);
  }
  return out;
}

std::vector<const PortFacts*> answering_ports(const Facts& facts) {
  std::vector<const PortFacts*> out;
  for (const PortFacts& port : facts.ports) {
    if (port.manager == Answer::yes) out.push_back(&port);
  }
  return out;
}

std::string drift_or(const PortFacts& port, std::string_view register_name, std::string text) {
  for (const pf::Drift& drift : port.view.drift) {
    if (!std::string_view(drift.name).starts_with(register_name)) continue;
    return fmt::format("register {} holds {:#x}; vigia-pf had written {:#x}", drift.name, drift.found, drift.wanted);
  }
  return text;
}

}  // namespace vigia::orch
