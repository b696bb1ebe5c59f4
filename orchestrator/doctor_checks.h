// SPDX-License-Identifier: Apache-2.0
// The table of doctor.cc, by topic: one code, one small function that looks for it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/doctor.h"

namespace vigia::orch {

// Takes the findings of one check, which has its code and severity from the table.
class Findings {
 public:
  Findings(Severity severity, std::string_view code, std::vector<Finding>& out)
      : severity_(severity), code_(code), out_(out) {}
  void add(std::string subject, std::string sentence, std::string evidence, std::string remedy) {
    out_.push_back({severity_, std::string(code_), std::move(subject), std::move(sentence), std::move(evidence),
                    std::move(remedy)});
  }

 private:
  Severity severity_;
  std::string_view code_;
  std::vector<Finding>& out_;
};

struct Check {
  std::string_view code;
  Severity severity;
  void (*look)(const Facts&, Findings&);
};

std::span<const Check> host_checks();
std::span<const Check> sriov_checks();    // of real NICs
std::span<const Check> life_checks();     // of VMs
std::span<const Check> port_checks();     // one port, whoever uses it
std::span<const Check> mirror_checks();   // who is shown what
std::span<const Check> traffic_checks();  // what the NIC's accounts say
std::span<const Check> guest_checks();

// A VF that matters: some VM has it, a tap names it, or a driver runs on it.
struct UsedVf {
  const PortFacts* port;
  const pf::VfView* view;
  const pf::VfConfig* wish;  // never nullptr
  const VmFacts* vm;         // nullptr: no VM of ours
  std::string who() const;   // "web (VF 0)", "VF 3"
};
// Of ports whose manager answers. With Facts::only: of that VM, and of the tenants that it is shown.
std::vector<UsedVf> used_vfs(const Facts& facts);

// VMs whose guest should be at work.
std::vector<const VmFacts*> running_vms(const Facts& facts);
// Ports whose manager answers.
std::vector<const PortFacts*> answering_ports(const Facts& facts);

// "PFDTXGSWC holds 0x0, its vigia-pf wrote 0x1", or text when no drift concerns that register.
std::string drift_or(const PortFacts& port, std::string_view register_name, std::string text);

}  // namespace vigia::orch
