// SPDX-License-Identifier: Apache-2.0
// Which cores, pages and functions of the host a VM gets, and why; or what has to change before it can get them. Pure:
// (inventory, spec, what runs already) -> placement or refusals. The rules are those of the thesis (architecture 5.8).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "orchestrator/inventory.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {

enum class Accelerator { kvm, tcg };

struct Placement {
  unsigned node = 0;                    // of all vCPUs and of the memory
  std::vector<unsigned> vcpu_cpus;      // host CPU of each vCPU, by vCPU
  std::vector<unsigned> emulator_cpus;  // of QEMU's other threads, never empty
  std::vector<unsigned> iothread_cpus;  // empty: the VM needs no I/O thread
  std::uint64_t page_size = 0;          // bytes of a hugepage on the host; 0: normal pages
  std::uint64_t pages = 0;              // hugepages, on node
  Accelerator accelerator = Accelerator::tcg;

  std::string pf;                        // PCI address of the PF, or the softnic's folder; empty: no PCI function
  std::optional<unsigned> vf;            // index on pf; none with a pf: the PF itself is given away
  std::string pci;                       // of the function that the guest gets; empty with softnic and virtio
  std::optional<unsigned> nic_node;      // none: no NIC, or the host does not say
  std::optional<unsigned> storage_node;  // none: no disk, or the host does not say
  bool shares_cores = false;             // a vCPU shares its CPU or its core with another vCPU, domain or the emulator

  std::vector<std::string> why;  // one line per choice, and one per rule that could only be bent
};

struct Refusal {
  std::string what;    // "node 1 has 3 free 1 GiB pages, 4 needed"
  std::string remedy;  // "`vigia host hugepages --node 1 --size 1G --count 4`"
  std::string text() const { return what + ": " + remedy; }
};

struct PlacementResult {
  std::optional<Placement> placement;
  std::vector<Refusal> refusals;  // empty exactly when there is a placement
};

PlacementResult place(const Inventory& inventory, const VmSpec& spec, std::span<const PlacedDomain> running);

// The refusals as one input error (exit status 2), or the placement.
Result<Placement> verdict(const VmSpec& spec, PlacementResult result);

}  // namespace vigia::orch
