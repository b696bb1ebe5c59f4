// SPDX-License-Identifier: Apache-2.0
// From the lab to what is started: the PF's configuration and every command line. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "orchestrator/child.h"
#include "orchestrator/lab_spec.h"
#include "pfdriver/config.h"

namespace vigia::orch {

struct LabPaths {
  std::filesystem::path dir;       // everything that stays
  std::filesystem::path sockets;   // softnic's; a short path, sockets have at most 107 characters
  std::filesystem::path programs;  // vigia-softnic, vigia-pf, vigia-capture

  std::filesystem::path counters(const std::string& name) const { return dir / (name + ".counters"); }
  std::filesystem::path ready(const std::string& name) const { return dir / (name + ".ready"); }
  std::filesystem::path log(const std::string& name) const { return dir / (name + ".log"); }
  std::filesystem::path wire() const { return dir / "wire.pcap"; }
  // Tenants that send begin when this exists: once everybody is ready.
  std::filesystem::path send_start() const { return dir / "send.start"; }
  std::filesystem::path pf_config() const { return dir / "pf.yaml"; }
  std::filesystem::path pf_control() const { return sockets / "pf.control"; }
  // What the port mirrors, as `vigia pf show --json` prints it, for agents that look for duplicates.
  std::filesystem::path mirrors() const { return dir / "mirrors.json"; }
  std::filesystem::path vf_socket(unsigned vf) const { return sockets / ("vf" + std::to_string(vf) + ".sock"); }
  std::filesystem::path pf_socket() const { return sockets / "pf.sock"; }
  // The agent's capture: a pcapng file, a folder of RAW files, or nothing.
  std::filesystem::path capture(const AgentSpec& agent) const;
};

struct LabCommands {
  Command softnic, pf;
  std::vector<Command> agents, tenants;  // in the order of the lab file
};

// The PF's configuration, one VF entry for each tenant and agent, one tap for each agent that has one.
pf::PfConfig pf_config(const LabSpec& spec);
// The same as pf.yaml.
std::string pf_yaml(const pf::PfConfig& config);
LabCommands lab_commands(const LabSpec& spec, const LabPaths& paths);
// What softnic's wire is told: "pcap:DIR/wire.pcap,rate=max".
std::string wire_spec(const LabSpec& spec, const LabPaths& paths);

}  // namespace vigia::orch
