// SPDX-License-Identifier: Apache-2.0
// `up` as a transaction. Everything that has to be taken back is written into the domain's metadata before it
// is done, so whoever comes next can take it back: this process when a step fails, `vigia repair` when it was killed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hw/result.h"
#include "orchestrator/images.h"
#include "orchestrator/libvirt_host.h"
#include "orchestrator/port_change.h"
#include "orchestrator/vm_spec.h"
#include "orchestrator/vm_steps.h"

namespace vigia::orch {

// Everything decided, nothing done.
struct VmPlan {
  VmSpec spec;
  Placement placement;
  DomainFiles files;
  PortChange port;                   // nothing in it when the VM has no VF
  std::vector<std::string> scopes;   // of the mirror rules that the port then has
  std::vector<std::string> remarks;  // what deserves a look although it is possible
  VmMetadata metadata;
  std::string xml;
};

// Reads the host, libvirt, the port; decides. Impossible wishes are input errors.
Result<VmPlan> plan_vm(LibvirtHost& host, const HostDirs& dirs, VmSpec spec);

struct UpReport {
  Timings timings;
  std::vector<std::string> scopes, remarks;
};
// until: seconds since 1970 at which it is to end by itself; 0: never. A failure undoes every step before; what could
// not be undone is part of the error.
Result<UpReport> bring_up(LibvirtHost& host, const VmPlan& plan, std::int64_t until, const LifeHooks& hooks);

}  // namespace vigia::orch
