// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/port_change.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>

namespace vigia::orch {
namespace {

constexpr std::string_view kTapPrefix = "vm:";

// The VF of a tenant by the name of its VM, or by the name that pf.yaml gives the VF.
std::optional<unsigned> vf_of_tenant(const std::string& tenant, const Placement& placement, const PortWishes& port,
                                     const Catalog& catalog) {
  if (const Vm* vm = catalog.find(tenant); vm != nullptr && vm->metadata.pf == placement.pf) return vm->metadata.vf;
  for (const pf::VfConfig& vf : port.vf) {
    if (vf.name == tenant) return vf.index;
  }
  return std::nullopt;
}

std::vector<std::string> tenants_of(const Placement& placement, const PortWishes& port, const Catalog& catalog) {
  std::set<std::string> names;
  for (const Vm& vm : catalog.vms) {
    if (vm.metadata.pf == placement.pf && vm.metadata.vf) names.insert(vm.name);
  }
  for (const pf::VfConfig& vf : port.vf) {
    if (!vf.name.empty()) names.insert(vf.name);
  }
  return {names.begin(), names.end()};
}

Result<pf::Tap> tap_of(const VmSpec& spec, const Placement& placement, const PortWishes& port, const Catalog& catalog) {
  pf::Tap tap;
  tap.name = tap_name(spec.name);
  tap.to = *placement.vf;
  if (spec.kind == VmKind::vnp) {  // a probe watches the port
    tap.port = true;
    tap.direction = spec.tap ? static_cast<pf::Direction>(spec.tap->direction) : pf::Direction::both;
    tap.allow_port_scope = true;
    return tap;
  }
  const TapSpec& wish = *spec.tap;
  tap.port = wish.port;
  tap.allow_port_scope = wish.allow_port_scope;
  // A VLAN is what its members receive and send.
  tap.direction = wish.vlan ? pf::Direction::both : static_cast<pf::Direction>(wish.direction);
  for (const std::string& tenant : wish.tenants) {
    const auto vf = vf_of_tenant(tenant, placement, port, catalog);
    if (!vf) {
      const auto known = tenants_of(placement, port, catalog);
      return input_error(fmt::format(
          "{}: vm.tap.tenants: no VM or VF called '{}' on {}; there {}", spec.file.string(), tenant, placement.pf,
          known.empty() ? std::string("is none") : fmt::format("are: {}", fmt::join(known, ", "))));
    }
    tap.from.push_back(*vf);
  }
  if (wish.vlan) {
    for (const pf::VfConfig& vf : port.vf) {
      if (vf.vlan == wish.vlan && vf.index != tap.to) tap.from.push_back(vf.index);
    }
    if (tap.from.empty()) {
      return input_error(fmt::format("{}: vm.tap.vlan: no VF on {} is a member of VLAN {}", spec.file.string(),
                                     placement.pf, *wish.vlan));
    }
  }
  return tap;
}

}  // namespace

std::string tap_name(std::string_view vm) { return fmt::format("{}{}", kTapPrefix, vm); }

std::string_view vm_of_tap(std::string_view tap) {
  return tap.starts_with(kTapPrefix) ? tap.substr(kTapPrefix.size()) : std::string_view{};
}

pf::Amendment whole(const PortChange& change) {
  pf::Amendment out = change.vf;
  out.taps = change.tap.taps;
  return out;
}

Result<PortChange> port_change(const VmSpec& spec, const Placement& placement, const PortWishes& port,
                               const Catalog& catalog) {
  if (*placement.vf >= port.vfs) {
    return input_error(fmt::format("{}: vm.network.vf: VF {} does not exist on {}: its vigia-pf has {} VFs, 0..{}",
                                   spec.file.string(), *placement.vf, placement.pf, port.vfs, port.vfs - 1));
  }
  PortChange out;
  pf::VfConfig vf;
  vf.index = *placement.vf;
  vf.name = spec.name;
  vf.mac = spec.network.mac;
  vf.vlan = spec.network.vlan;
  vf.port_vlan = vf.vlan.has_value();
  vf.trust = spec.network.trust;
  out.vf.vf.push_back(std::move(vf));
  if (spec.captures()) {
    auto tap = tap_of(spec, placement, port, catalog);
    if (!tap) return tap.error();
    out.tap.taps.push_back(std::move(*tap));
  }
  return out;
}

}  // namespace vigia::orch
