// SPDX-License-Identifier: Apache-2.0
// Everything that bringing a VM up means, decided and not done.
#pragma once

#include <string>
#include <vector>

#include "hw/result.h"
#include "orchestrator/images.h"
#include "orchestrator/libvirt_host.h"
#include "orchestrator/port_change.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {

struct VmPlan {
  VmSpec spec;
  Placement placement;
  DomainFiles files;
  PortChange port;                   // nothing in it when the VM has no VF, or the port was not asked
  std::vector<std::string> scopes;   // of the mirror rules that the port then has
  std::vector<std::string> remarks;  // what deserves a look although it is possible
  VmMetadata metadata;               // with all that has to be taken back, also if its `up` is killed
  std::string xml;                   // holds the metadata
};

// Reads the host, libvirt, the port; decides. Impossible wishes are input errors. until: seconds since 1970 at which
// the VM is to end by itself; 0: never.
Result<VmPlan> plan_vm(LibvirtHost& host, const HostDirs& dirs, VmSpec spec, std::int64_t until);

// For a host that is only described: no libvirt, no port, no VMs.
Result<VmPlan> plan_for(const Inventory& inventory, const HostDirs& dirs, VmSpec spec);

}  // namespace vigia::orch
