// SPDX-License-Identifier: Apache-2.0
// Which function of which NIC the VM gets, and where its disk is. Pure; for placement.cc.
#pragma once

#include <span>
#include <vector>

#include "orchestrator/placement.h"

namespace vigia::orch {

// Fills pf, vf, pci and nic_node of out, with a line; or adds refusals.
void choose_function(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running,
                     Placement& out, std::vector<Refusal>& refusals);
// Fills storage_node.
void find_storage(const Inventory& inventory, const VmSpec& spec, Placement& out, std::vector<Refusal>& refusals);

}  // namespace vigia::orch
