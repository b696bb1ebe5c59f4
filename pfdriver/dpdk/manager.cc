// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/dpdk/manager.h"

#include <fmt/format.h>

#include "hw/log.h"
#include "hw/pci_sysfs.h"

namespace vigia::pf {
namespace {

// testpmd is started for its driver, not for its forwarding: two threads on one CPU that mostly wait.
std::vector<std::string> command_line(const std::string& program, const std::string& address,
                                      const std::string& token) {
  return {program, "-a", address, "--vfio-vf-token=" + token, "--lcores", "0@0,1@0", "-m",
          "256",   "--", "-i",    "--total-num-mbufs=8192"};
}

// The rest of the line behind a label of testpmd's tables; empty: there is none.
std::string field(const std::string& text, const std::string& label) {
  const auto at = text.find(label);
  if (at == std::string::npos) return "";
  const auto begin = at + label.size(), end = text.find_first_of("\r\n", begin);
  return text.substr(begin, end == std::string::npos ? end : end - begin);
}

bool is_default(const VfConfig& vf) { return !vf.vlan && !vf.trust && vf.spoof_check && vf.rate_mbps == 0; }

}  // namespace

Result<std::unique_ptr<DpdkManager>> DpdkManager::start(Sriov sriov, const PfConfig& config,
                                                        const std::string& program) {
  std::unique_ptr<DpdkManager> manager(new DpdkManager(std::move(sriov)));
  if (auto possible = verdict(manager->plan(config)); !possible) return possible.error();
  const std::string address = manager->sriov_.address().text();
  const auto facts = manager->sriov_.look();
  if (!facts) return facts.error();
  if (facts.value().driver != "vfio-pci") {
    return input_error(fmt::format(
        "{}: it has {}; generator dpdk needs vfio-pci on it, loaded with enable_sriov=1: `vigia host bind {} vfio-pci`",
        address, facts.value().driver.empty() ? "no driver" : "driver " + facts.value().driver, address));
  }
  if (facts.value().vfs != config.vfs) {
    if (facts.value().vfs != 0) {
      if (auto none = manager->sriov_.set_vfs(0); !none) return none.error();
    }
    if (auto made = manager->sriov_.set_vfs(config.vfs); !made) {
      return Error{made.error().code, made.error().text + "; is vfio-pci loaded with enable_sriov=1?"};
    }
  }
  const std::string token = hw::read_small_file("/proc/sys/kernel/random/uuid");
  auto testpmd = Testpmd::start(command_line(program, address, token));
  if (!testpmd) {
    (void)manager->sriov_.set_vfs(0);
    return testpmd.error();
  }
  manager->testpmd_ = std::move(*testpmd);
  const auto port = manager->testpmd_->ask("show port info 0");
  if (!port) return port.error();
  manager->driver_ = field(*port, "Driver name: ");
  log::info("{}: DPDK's {} drives it; VFs on vfio-pci are opened with the token {}", address, manager->driver_, token);
  manager->config_ = config;
  if (auto applied = manager->apply(config); !applied) return applied.error();
  return manager;
}

DpdkManager::~DpdkManager() {
  if (testpmd_ == nullptr) return;
  testpmd_.reset();
  (void)sriov_.set_vfs(0);
}

Plan DpdkManager::plan(const PfConfig& config) const {
  Plan plan;
  const auto refuse = [&](std::string text) { plan.refusals.push_back(std::move(text)); };
  if (config.generator != GeneratorKind::dpdk) {
    refuse(fmt::format("pf.generator: {} is wanted, and this port is driven by DPDK; end vigia-pf and start it anew",
                       generator_word(config.generator)));
    return plan;
  }
  if (testpmd_ != nullptr && config.vfs != config_.vfs) refuse("pf.vfs: another number needs a restart of vigia-pf");
  for (const Tap& tap : config.taps) {
    refuse(fmt::format("tap {}: DPDK has no mirror rules since 21.11; use generator: native or kernel", tap.name));
  }
  if (config.default_pool != DefaultPool::drop || config.vlan_filter != VlanFilter::automatic || !config.loopback ||
      config.mtu != 1500) {
    refuse(
        "pf: with generator: dpdk only vfs, and mac of a VF, are told; remove mtu, default_pool, vlan_filter, "
        "loopback");
  }
  for (const VfConfig& vf : config.vf) {
    if (!is_default(vf)) {
      refuse(fmt::format(
          "pf.vf: {}: with generator: dpdk only the MAC is told; remove vlan, trust, spoof_check, rate_mbps",
          vf.title()));
    }
    if (vf.mac) plan.lines.push_back({fmt::format("VF {} MAC", vf.index), "?", vf.mac->text(), "set vf mac addr"});
  }
  plan.warnings.push_back("spoof check, trust and VLANs of VFs are as DPDK's driver has them; it does not tell");
  return plan;
}

Result<Done> DpdkManager::set_mac(const VfConfig& vf) {
  const std::string command = fmt::format("set vf mac addr 0 {} {}", vf.index, vf.mac->text());
  const auto answer = testpmd_->ask(command);
  if (!answer) return answer.error();
  // It says nothing when it has done it, and cannot be asked.
  if (answer.value().find_first_not_of(" \r\n") == std::string::npos) return Done{};
  return work_error(fmt::format("testpmd: {}: DPDK's {} says: {}; remove the mac, the VF then has one of its own",
                                command, driver_, field(answer.value(), "")));
}

Result<Plan> DpdkManager::apply(const PfConfig& config) {
  Plan plan = this->plan(config);
  if (auto possible = verdict(plan); !possible) return possible.error();
  for (const VfConfig& vf : config.vf) {
    if (!vf.mac) continue;
    if (auto set = set_mac(vf); !set) return set.error();
  }
  config_ = config;
  return plan;
}

PortView DpdkManager::show() {
  PortView view;
  view.generator = GeneratorKind::dpdk;
  const auto port = testpmd_->ask("show port info 0");
  if (!port) return view;
  view.up = true;
  view.link = field(*port, "Link status: ").starts_with("up");
  view.promiscuous = field(*port, "Promiscuous mode: ").starts_with("enabled");
  for (const VfConfig& vf : config_.vf) {
    VfView& out = view.vfs.emplace_back();
    out.index = vf.index;
    out.drop_when_full = true;  // not told; and no reason for an alarm
    if (vf.mac) out.macs.push_back(*vf.mac);
  }
  return view;
}

void DpdkManager::stop() {
  testpmd_.reset();
  if (auto none = sriov_.set_vfs(0); !none) log::warning("{}", none.error().text);
}

}  // namespace vigia::pf
