// SPDX-License-Identifier: Apache-2.0
// Hand-made hosts: so many nodes, cores and threads, a PF with VFs on the node that one likes.
#pragma once

#include <fmt/format.h>

#include "orchestrator/placement.h"

namespace vigia::orch {

inline constexpr std::uint64_t k2M = 2u << 20, k1G = 1u << 30;

// CPU numbers as Linux gives them: first threads of all cores, node after node, then the second threads.
inline Inventory make_host(unsigned nodes, unsigned cores_per_node, unsigned threads = 2) {
  Inventory host;
  const unsigned cores = nodes * cores_per_node;
  for (unsigned n = 0; n < nodes; ++n) {
    host.nodes.push_back({n, 64 * k1G, {{k2M, {4096, 4096}}, {k1G, {8, 8}}}});
  }
  for (unsigned id = 0; id < cores * threads; ++id) {
    Cpu cpu{id, id % cores / cores_per_node, {}, true, false};
    for (unsigned t = 0; t < threads; ++t) cpu.siblings.push_back(id % cores + t * cores);
    host.cpus.push_back(cpu);
  }
  host.memory = host.memory_available = nodes * 64 * k1G;
  host.kvm = host.iommu = true;
  return host;
}

inline void add_nic(Inventory& host, std::optional<unsigned> node, unsigned vfs) {
  NetDevice nic;
  nic.pci = "0000:3b:00.0";
  nic.netdev = "ens5f0";
  nic.driver = "ixgbe";
  nic.node = node;
  nic.vfs_total = 63;
  nic.vfs_enabled = vfs;
  for (unsigned i = 0; i < vfs; ++i) nic.vfs.push_back({i, fmt::format("0000:3b:10.{}", i), "vfio-pci", 40 + i});
  host.nics.push_back(nic);
}

inline VmSpec probe_spec() {
  VmSpec spec;
  spec.file = "probe.yaml";
  spec.text = "vm: {}\n";
  spec.name = "probe1";
  spec.image = "probe";
  spec.memory = k1G;
  spec.network.pf = "ens5f0";
  spec.network.mac = hw::Mac{{2, 0, 0, 0, 0, 1}};
  return spec;
}

inline PlacedDomain running_vm(std::string name, std::vector<unsigned> cpus, std::optional<unsigned> vf = {}) {
  PlacedDomain out;
  out.name = std::move(name);
  out.kind = "tenant";
  out.node = 0;
  out.vcpu_cpus = std::move(cpus);
  if (vf) {
    out.pf = "0000:3b:00.0";
    out.vf = vf;
  }
  return out;
}

}  // namespace vigia::orch
