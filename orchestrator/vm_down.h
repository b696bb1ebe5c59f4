// SPDX-License-Identifier: Apache-2.0
// `down`: notes in the domain's metadata that it ends, takes back what they say, and removes the domain last: a `down`
// that was killed can be done again, and repair does so.
#pragma once

#include <string>
#include <vector>

#include "hw/result.h"
#include "orchestrator/libvirt_host.h"
#include "orchestrator/vm_steps.h"

namespace vigia::orch {

struct DownReport {
  Timings timings;
  std::vector<std::string> remarks;  // what was not as expected, and what could not be restored
};

// Whatever state the VM is in, also an interrupted one. The VM's storage stays, unless its `up` made it and did not
// come to its end. A port whose vigia-pf is gone is remarked: nothing of the VM is left in it.
Result<DownReport> take_down(LibvirtHost& host, const Vm& vm, const LifeHooks& hooks);

}  // namespace vigia::orch
