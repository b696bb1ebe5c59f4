// SPDX-License-Identifier: Apache-2.0
// `up` as a transaction. Everything that has to be taken back is written into the domain's metadata before it
// is done, so whoever comes next can take it back: this process when a step fails, `vigia repair` when it was killed.
#pragma once

#include <string>
#include <vector>

#include "hw/result.h"
#include "orchestrator/libvirt_host.h"
#include "orchestrator/vm_plan.h"
#include "orchestrator/vm_steps.h"

namespace vigia::orch {

struct UpReport {
  Timings timings;
  std::vector<std::string> scopes, remarks;
};
// A failure undoes every step before; what could not be undone is part of the error.
Result<UpReport> bring_up(LibvirtHost& host, const VmPlan& plan, const LifeHooks& hooks);

}  // namespace vigia::orch
