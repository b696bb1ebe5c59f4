// SPDX-License-Identifier: Apache-2.0
// Which CPUs of one node the vCPUs get, and which the other threads. Pure; for placement.cc.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "orchestrator/inventory.h"

namespace vigia::orch {

struct CpuChoice {
  std::vector<unsigned> vcpus;   // one host CPU each, no CPU twice
  std::vector<unsigned> others;  // of the emulator and I/O threads
  bool shares = false;           // some rule was bent; the lines say which
  std::vector<std::string> why;
};

// nullopt: the node has fewer online CPUs than vCPUs.
std::optional<CpuChoice> choose_cpus(const Inventory& inventory, unsigned node, unsigned vcpus,
                                     std::span<const PlacedDomain> running);

}  // namespace vigia::orch
