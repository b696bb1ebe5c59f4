// SPDX-License-Identifier: Apache-2.0
// What a VM changes on its port: the entry of its VF, and the tap that shows it traffic. Pure.
#pragma once

#include <string>
#include <string_view>

#include "hw/result.h"
#include "orchestrator/pf_link.h"
#include "orchestrator/placement.h"
#include "orchestrator/vm_catalog.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {

// Taps of VMs carry this prefix, so that `repair` can tell them from those of the operator's pf.yaml.
std::string tap_name(std::string_view vm);
// The VM that a tap is of; empty: the operator's.
std::string_view vm_of_tap(std::string_view tap);

struct PortChange {
  pf::Amendment vf;   // before the VM starts
  pf::Amendment tap;  // once it captures; empty for a tenant
};

// Both at once.
pf::Amendment whole(const PortChange& change);

// Tenants of a tap are VMs on the same port, or else VFs that pf.yaml names. An input error when one is neither.
// The spec has a VF (has_vf()), and so has the placement.
Result<PortChange> port_change(const VmSpec& spec, const Placement& placement, const PortWishes& port,
                               const Catalog& catalog);

}  // namespace vigia::orch
