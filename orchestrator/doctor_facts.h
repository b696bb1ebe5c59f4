// SPDX-License-Identifier: Apache-2.0
// The facts of doctor.h, from this host: sysfs and procfs, libvirt, control sockets of vigia-pf, counters of softnic,
// guests. Reads only. Whoever does not answer in time is a fact too.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "orchestrator/doctor.h"
#include "orchestrator/images.h"

namespace vigia::orch {

struct DoctorOptions {
  std::string uri;
  HostDirs dirs;
  std::vector<std::string> controls;      // sockets of vigia-pf, besides those of VMs
  std::string device;                     // folder of a vigia-softnic; empty: those of VMs
  std::string pf;                         // PCI address or interface of a real PF; empty: those of VMs, and with VFs
  std::filesystem::path counters;         // of the softnic in device; empty: softnic.counters in its folder
  std::filesystem::path root = "/";       // of sysfs and procfs
  std::chrono::milliseconds limit{5000};  // for one answer of one party
  std::chrono::milliseconds growth{300};  // between two looks at the counters
};

// Takes at most a few times the limit, however many parties hang.
Facts gather_facts(const DoctorOptions& options);

// One line per interface of a tenant: "eth0 02:00:00:00:00:01 0x1003 up". Foreign text.
std::vector<InterfaceFacts> parse_interfaces(std::string_view text);

// PFs with SR-IOV of the inventory. asked: one of them, by PCI address or interface; empty: none.
std::map<std::string, NicFacts> look_at_nics(const Inventory& inventory, const std::string& asked,
                                             const std::filesystem::path& root);
KernelFacts look_at_kernel(const std::filesystem::path& root);

// Sockets in dir, and at which of them a process listens, by root/proc/net/unix.
SoftNicFacts look_at_softnic(const std::filesystem::path& dir, const std::filesystem::path& root);

}  // namespace vigia::orch
