// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_catalog.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "orchestrator/process_id.h"

namespace vigia::orch {
namespace {

bool any_alive(const std::vector<std::string>& processes) {
  return std::any_of(processes.begin(), processes.end(), [](const std::string& text) {
    const auto who = ProcessId::parse(text);
    return who && who->alive();
  });
}

VmState state_of(const VmMetadata& metadata, bool running) {
  const auto starting = undo_values(metadata, kUndoStarting), ending = undo_values(metadata, kUndoEnding);
  if (any_alive(starting)) return VmState::starting;
  if (any_alive(ending)) return VmState::stopping;
  if (!starting.empty() || !ending.empty()) return VmState::interrupted;
  return running ? VmState::running : VmState::stopped;
}

}  // namespace

std::vector<std::string> undo_values(const VmMetadata& metadata, std::string_view key) {
  std::vector<std::string> out;
  for (const std::string& line : metadata.undo) {
    if (line.starts_with(key)) out.push_back(line.substr(key.size()));
  }
  return out;
}

void remove_undo(VmMetadata& metadata, std::string_view key) {
  std::erase_if(metadata.undo, [&](const std::string& line) { return line.starts_with(key); });
}

std::string_view word(VmState state) {
  switch (state) {
    case VmState::running:
      return "running";
    case VmState::stopped:
      return "stopped";
    case VmState::starting:
      return "starting";
    case VmState::stopping:
      return "stopping";
    case VmState::interrupted:
      return "interrupted";
  }
  return "?";
}

const Vm* Catalog::find(std::string_view name) const {
  const auto at = std::find_if(vms.begin(), vms.end(), [&](const Vm& vm) { return vm.name == name; });
  return at == vms.end() ? nullptr : &*at;
}

std::vector<PlacedDomain> Catalog::placed() const {
  std::vector<PlacedDomain> out;
  for (const Vm& vm : vms) {
    if (vm.state != VmState::stopped) out.push_back(vm.placed);
  }
  return out;
}

Result<Catalog> read_catalog(LibvirtHost& host) {
  const auto domains = host.domains();
  if (!domains) return domains.error();
  Catalog out;
  for (const DomainView& domain : *domains) {
    auto metadata = parse_metadata(domain.xml);
    auto placed = parse_placed_domain(domain.xml);
    if (!metadata || !placed) {
      out.remarks.push_back(fmt::format("{}: {}", domain.name, metadata ? placed.error().text : metadata.error().text));
      continue;
    }
    if (!*metadata || !*placed) continue;  // somebody else's
    const VmState state = state_of(**metadata, domain.running);
    out.vms.push_back({domain.name, state, std::move(**metadata), std::move(**placed)});
  }
  std::sort(out.vms.begin(), out.vms.end(), [](const Vm& a, const Vm& b) { return a.name < b.name; });
  return out;
}

Result<Vm> find_vm(LibvirtHost& host, std::string_view name) {
  auto catalog = read_catalog(host);
  if (!catalog) return catalog.error();
  if (const Vm* vm = catalog->find(name)) return *vm;
  std::vector<std::string> names;
  for (const Vm& vm : catalog->vms) names.push_back(vm.name);
  return input_error(
      fmt::format("no VM of vigia is called '{}' at {}; there {}", name, host.uri(),
                  names.empty() ? std::string("is none") : fmt::format("are: {}", fmt::join(names, ", "))));
}

}  // namespace vigia::orch
