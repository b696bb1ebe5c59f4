// SPDX-License-Identifier: Apache-2.0
// "Why do I see nothing?": from facts about host, ports and VMs to findings, each with evidence and remedy. Pure; the
// facts come from doctor_facts.h, or from a test. A fact that is not known is said, never taken for good.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/inventory.h"
#include "orchestrator/pf_link.h"
#include "orchestrator/repair.h"
#include "orchestrator/vm_catalog.h"

namespace vigia::orch {

// error: something cannot work as it is. warning: frames are, or will be, missing. note: good to know.
enum class Severity { error, warning, note };
std::string_view word(Severity severity);

struct Finding {
  Severity severity = Severity::note;
  std::string code;      // stable, for programs: "port-manager-down"
  std::string subject;   // the VM, port or device
  std::string sentence;  // what is wrong, and what that means for what one sees
  std::string evidence;  // what was read, where
  std::string remedy;    // what to do
};

// Whether somebody answered within his time.
enum class Answer { yes, nobody, silent };

// What the inventory does not say of a PF with SR-IOV.
struct NicFacts {
  bool asked = false;                // somebody wants to know about this one, though no VM uses it
  bool up = false, carrier = false;  // of its interface, when it has one
  std::string registers_closed;      // why they cannot be mapped beside Linux's driver; empty: they can
  std::string registers_unknown;     // why that is not known
  struct Vf {
    std::string netdev;  // the host's interface; empty: none
    std::vector<std::string>
        company;  // devices of its IOMMU group that a driver of the host holds: "0000:01:00.0 (igb)"
  };
  std::map<unsigned, Vf> vfs;
};

enum class Module { loaded, loadable, missing };

struct KernelFacts {
  std::string release, command_line, lockdown;  // lockdown: "integrity" ..; empty: none
  bool iommu_in_firmware = false;               // ACPI has a table of IOMMUs
  Module vfio_pci = Module::loaded;
};

struct HostFacts {
  std::optional<Inventory> inventory;    // none: see FactsAbout::unknown
  std::map<std::string, NicFacts> nics;  // by PCI address
  KernelFacts kernel;
  std::map<std::string, bool> autoprobe;  // by PCI address of the PF: sriov_drivers_autoprobe
  std::string uri;                        // of libvirt
  Answer libvirt = Answer::yes;
  std::string libvirt_said;                 // why it is not yes
  std::vector<std::string> domain_remarks;  // domains of ours that cannot be understood
};

// The folder of a vigia-softnic.
struct SoftNicFacts {
  std::string dir;
  std::vector<unsigned> sockets;             // VFs that have a socket file there; empty: not even that
  std::optional<std::set<unsigned>> served;  // those that a process listens at; none: not known
};

struct PortFacts {
  std::string control;  // socket of its vigia-pf
  std::string pf;       // PCI address or softnic folder, as VMs call it; empty: no VM uses it
  Answer manager = Answer::yes;
  std::string manager_said;  // why it is not yes
  PortWishes wishes;         // these two when it answered
  pf::PortView view;
  std::optional<SoftNicFacts> softnic;
  // Accounts of a software NIC (hw/accounts.h), and how much each grew while we looked; none: not known.
  std::optional<std::map<std::string, std::uint64_t>> counters;
  std::map<std::string, std::uint64_t> growth;
};

// What vigia-capture in a probe or agent says of itself.
struct CaptureFacts {
  struct Listener {
    std::int64_t pid = 0;
    bool lossless = false;
    std::uint64_t lapped = 0, behind_bytes = 0;
  };
  std::string state, why;  // "capturing", "waiting", "ended"
  bool port_up = false;
  std::string port_problem, driver, mac;
  bool link = false;
  unsigned queues = 0;
  std::uint64_t frames = 0;  // taken from the ring of the device
  std::map<std::string, std::uint64_t> accounts;
  std::vector<Listener> listeners;
  std::uint64_t ring_bytes = 0;
  bool ring_hugepages = true;
  std::string store_directory, store_problem;
  std::uint64_t disk_dropped = 0;
  std::optional<std::uint64_t> disk_free;  // bytes
};
// The status that the guest's service sends. Foreign text: what is not there stays empty; no JSON object is an error.
Result<CaptureFacts> parse_capture_status(std::string_view json);

// What a tenant of the lab says of its interfaces.
struct InterfaceFacts {
  std::string name, mac, state;  // state: operstate, "up"
  bool promiscuous = false;
};

struct VmFacts {
  Vm vm;
  std::optional<Answer> guest;  // none: not asked, because the VM does not run or has no channel
  std::string guest_said;       // why it is not yes
  std::optional<CaptureFacts> capture;
  std::optional<std::vector<InterfaceFacts>> interfaces;
};

struct Unknown {
  std::string subject, what, why;
};

struct Facts {
  HostFacts host;
  std::vector<PortFacts> ports;
  std::vector<VmFacts> vms;
  std::vector<Damage> damages;   // of repair
  std::vector<Unknown> unknown;  // what could not be found out
  std::string only;              // the VM that is asked about; empty: everything

  const VmFacts* vm(std::string_view name) const;
  const PortFacts* port(std::string_view control) const;
};

// Those about one VM, its port, and the tenants that it is shown.
Facts narrowed(Facts facts, std::string_view vm);

// Errors first, and in each severity causes before what follows from them.
std::vector<Finding> diagnose(const Facts& facts);

// Every code that diagnose() can say, in its order.
std::vector<std::string_view> doctor_codes();

}  // namespace vigia::orch
