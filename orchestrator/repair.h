// SPDX-License-Identifier: Apache-2.0
// `vigia repair`: what a killed process left behind, found by comparing libvirt's domains, the ports and the run
// folder, and put right. Finding is pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "hw/result.h"
#include "orchestrator/images.h"
#include "orchestrator/pf_link.h"
#include "orchestrator/vm_catalog.h"
#include "orchestrator/vm_steps.h"

namespace vigia::orch {

struct HostState {
  Catalog catalog;
  std::map<std::string, PortWishes> ports;        // by control socket; those that answered
  std::map<std::string, std::string> dead_ports;  // control socket -> what came back
  std::vector<std::string> run_files;             // names in the run folder
  std::set<std::string> lost_nics;                // running VMs whose software NIC is younger than they are
  std::int64_t now = 0;                           // seconds since 1970
};

struct Damage {
  enum class Kind { half_up, half_down, ended, expired, lost_nic, lost_wish, dead_port, orphan_tap, stray_file };
  Kind kind;
  std::string subject;  // name of the VM, of the tap or of the file
  std::string control;  // of the port that is concerned; else empty
  std::string text;     // what is wrong
  std::string remedy;   // what repair does, or the user must
  bool mendable = true;
};

std::vector<Damage> find_damage(const HostState& state);

// Adds what no port and no libvirt is asked for: files, times.
void look_around(HostState& state, const HostDirs& dirs);

// also: control sockets to look at besides those of VMs.
Result<HostState> read_host_state(LibvirtHost& host, const HostDirs& dirs, const std::vector<std::string>& also);

struct Mended {
  Damage damage;
  std::string error;  // empty: done
};
std::vector<Mended> repair(LibvirtHost& host, const HostDirs& dirs, const HostState& state,
                           const std::vector<Damage>& damages, const LifeHooks& hooks);

}  // namespace vigia::orch
