// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace vigia::orch {
namespace {

using Words = std::vector<std::string>;

void append(Words& words, std::initializer_list<std::string> more) { words.insert(words.end(), more); }

std::string device_of(const LabPaths& paths, unsigned vf) { return "vfio-user:" + paths.vf_socket(vf).string(); }

Command softnic_command(const LabSpec& spec, const LabPaths& paths) {
  const std::size_t receivers = spec.tenants.size() + spec.agents.size();
  return {"softnic",
          {paths.programs / "vigia-softnic", "--dir", paths.sockets, "--vfs", std::to_string(spec.vfs), "--wire",
           wire_spec(spec, paths), "--start-when-ready", std::to_string(receivers), "--counters",
           paths.counters("softnic"), "--timing", spec.timing == Timing::none ? "none" : "82599", "--doorbells",
           spec.doorbells == Doorbells::map ? "map" : "trap"},
          paths.log("softnic")};
}

Command pf_command(const LabPaths& paths) {
  return {"pf",
          {paths.programs / "vigia-pf", "--device", "vfio-user:" + paths.pf_socket().string(), "--config",
           paths.pf_config(), "--control", paths.pf_control(), "--ready-file", paths.ready("pf")},
          paths.log("pf")};
}

Command tenant_command(const LabSpec& spec, const TenantSpec& tenant, const LabPaths& paths) {
  Command command{tenant.name,
                  {paths.programs / "vigia-capture", "tenant", "--device", device_of(paths, tenant.vf), "--name",
                   tenant.name, "--counters", paths.counters(tenant.name), "--ready-file", paths.ready(tenant.name),
                   "--mtu", std::to_string(spec.mtu), "--stats-json", paths.dir / (tenant.name + ".json")},
                  paths.log(tenant.name)};
  if (tenant.reply == Reply::swap) append(command.argv, {"--reply", "swap"});
  if (!tenant.send.empty()) {
    const bool made_up = tenant.send.starts_with("gen:");
    append(command.argv, {"--send", made_up ? tenant.send : absolute(spec.resolve(tenant.send)).string(),
                          "--send-start-file", paths.send_start()});
  }
  return command;
}

// For the file's own description of what it holds.
std::string tap_words(const TapSpec& tap) {
  if (tap.vlan) return fmt::format("VLAN {}", *tap.vlan);
  constexpr std::array<std::string_view, 3> kDirections{"rx", "tx", "rx and tx"};
  return fmt::format("{} of {}", kDirections[static_cast<std::size_t>(tap.direction)],
                     tap.port ? "the port" : fmt::format("{}", fmt::join(tap.tenants, ", ")));
}

Command agent_command(const LabSpec& spec, const AgentSpec& agent, const LabPaths& paths) {
  Command command{agent.name,
                  {paths.programs / "vigia-capture", "run", "--device", device_of(paths, agent.vf), "--name",
                   agent.name, "--counters", paths.counters(agent.name), "--ready-file", paths.ready(agent.name),
                   "--stats-json", paths.dir / (agent.name + ".json"), "--mtu", std::to_string(spec.mtu)},
                  paths.log(agent.name)};
  if (agent.out == AgentOutput::pcapng) append(command.argv, {"--out", paths.capture(agent)});
  if (agent.out == AgentOutput::raw) append(command.argv, {"--raw", paths.capture(agent)});
  if (agent.snaplen != 0) append(command.argv, {"--snaplen", std::to_string(agent.snaplen)});
  if (!agent.ring.empty()) append(command.argv, {"--ring", agent.ring});
  if (agent.dedup != "off") {
    append(command.argv, {"--dedup", agent.dedup});
    if (agent.tap) {
      append(command.argv, {"--mirror-rules", paths.mirrors(), "--mirror-agent", std::to_string(agent.vf)});
    }
  }
  if (agent.queues != 1) append(command.argv, {"--queues", std::to_string(agent.queues)});
  if (agent.poll) append(command.argv, {"--poll"});
  if (agent.tap) append(command.argv, {"--tap", tap_words(*agent.tap)});
  // Captures are found by name; those of two labs must not meet. `vigia-capture attach` finds it with the same
  // variable.
  command.environment = {"VIGIA_RUN_DIR=" + paths.sockets.string()};
  return command;
}

pf::Tap tap_of(const LabSpec& spec, const AgentSpec& agent) {
  const TapSpec& wish = *agent.tap;
  pf::Tap tap;
  tap.name = agent.name;
  tap.port = wish.port;
  tap.to = agent.vf;
  tap.allow_port_scope = wish.allow_port_scope;
  tap.direction = static_cast<pf::Direction>(wish.direction);
  static_assert(static_cast<int>(TapDirection::both) == static_cast<int>(pf::Direction::both));
  for (const TenantSpec& t : spec.tenants) {
    const bool named = std::find(wish.tenants.begin(), wish.tenants.end(), t.name) != wish.tenants.end();
    if (named || (wish.vlan && wish.vlan == t.vlan)) tap.from.push_back(t.vf);
  }
  // A VLAN is what its members receive and send.
  if (wish.vlan) tap.direction = pf::Direction::both;
  return tap;
}

pf::VfConfig vf_of(unsigned index, const std::string& name, const hw::Mac& mac) {
  pf::VfConfig vf;
  vf.index = index;
  vf.name = name;
  vf.mac = mac;
  return vf;
}

std::string tap_yaml(const pf::Tap& tap) {
  constexpr std::array<std::string_view, 3> kDirections{"rx", "tx", "both"};
  const std::string source = tap.port ? "port: true" : fmt::format("from: [{}]", fmt::join(tap.from, ", "));
  return fmt::format("    - {{name: {}, {}, to: {}, direction: {}, allow_port_scope: {}}}\n", tap.name, source, tap.to,
                     kDirections[static_cast<std::size_t>(tap.direction)], tap.allow_port_scope);
}

}  // namespace

std::filesystem::path LabPaths::capture(const AgentSpec& agent) const {
  if (agent.out == AgentOutput::none) return {};
  return dir / (agent.name + (agent.out == AgentOutput::raw ? ".raw" : ".pcapng"));
}

std::string wire_spec(const LabSpec& spec, const LabPaths& paths) {
  const TrafficSpec& t = spec.traffic;
  if (!t.gen) return fmt::format("pcap:{},rate={},loop={}", paths.wire().string(), t.rate, t.loop);
  const std::string& rate = t.gen->rate.empty() ? t.rate : t.gen->rate;
  if (spec.shares_out_generated()) {
    return fmt::format("pcap:{},rate={},count={}", paths.wire().string(), rate, t.gen->count);
  }
  const hw::Mac target = spec.tenants.empty() ? spec.nobody : spec.tenants.front().mac;
  return fmt::format("gen:size={},flows={},count={},rate={},dst={}", t.gen->size, t.gen->flows, t.gen->count, rate,
                     target.text());
}

pf::PfConfig pf_config(const LabSpec& spec) {
  pf::PfConfig config;
  config.vfs = spec.vfs;
  config.mtu = spec.mtu;
  for (const TenantSpec& t : spec.tenants) {
    config.vf.push_back(vf_of(t.vf, t.name, t.mac));
    config.vf.back().vlan = t.vlan;
  }
  for (const AgentSpec& a : spec.agents) {
    config.vf.push_back(vf_of(a.vf, a.name, a.mac));
    if (a.tap) config.taps.push_back(tap_of(spec, a));
  }
  return config;
}

std::string pf_yaml(const pf::PfConfig& config) {
  std::string text = fmt::format("pf:\n  vfs: {}\n  mtu: {}\n  vf:\n", config.vfs, config.mtu);
  for (const pf::VfConfig& vf : config.vf) {
    text += fmt::format("    - {{index: {}, name: {}, mac: \"{}\"", vf.index, vf.name, vf.mac->text());
    if (vf.vlan) text += fmt::format(", vlan: {}", *vf.vlan);
    text += "}\n";
  }
  if (!config.taps.empty()) text += "  taps:\n";
  for (const pf::Tap& tap : config.taps) text += tap_yaml(tap);
  return text;
}

LabCommands lab_commands(const LabSpec& spec, const LabPaths& paths) {
  LabCommands commands{softnic_command(spec, paths), pf_command(paths), {}, {}};
  for (const AgentSpec& a : spec.agents) commands.agents.push_back(agent_command(spec, a, paths));
  for (const TenantSpec& t : spec.tenants) commands.tenants.push_back(tenant_command(spec, t, paths));
  return commands;
}

}  // namespace vigia::orch
