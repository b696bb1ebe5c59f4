// SPDX-License-Identifier: Apache-2.0
// `vigia plan` and `vigia inventory`: what would be done, and what the host has. Neither changes anything.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "orchestrator/cli.h"
#include "orchestrator/cli_kit.h"
#include "orchestrator/domain_xml.h"
#include "orchestrator/vm_plan.h"

namespace vigia::orch {
namespace {

struct PlanOptions {
  std::string file, inventory, uri;
  bool json = false, xml = false;
};

Result<VmPlan> make_plan(const PlanOptions& options) {
  auto spec = load_vm(options.file);
  if (!spec) return spec.error();
  const HostDirs dirs = HostDirs::from_environment();
  if (options.inventory.empty()) {
    if (!options.uri.empty()) spec->uri = options.uri;
    auto host = LibvirtHost::open(spec->uri);
    if (!host) return host.error();
    return plan_vm(*host, dirs, std::move(*spec), 0);
  }
  std::ifstream in(options.inventory, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (text.empty()) return input_error(fmt::format("--inventory {}: cannot be read, or is empty", options.inventory));
  const auto inventory = parse_inventory_json(text, options.inventory);
  if (!inventory) return inventory.error();
  return plan_for(*inventory, dirs, std::move(*spec));
}

nlohmann::ordered_json plan_json(const VmPlan& plan) {
  const Placement& p = plan.placement;
  nlohmann::ordered_json out{{"name", plan.spec.name},
                             {"kind", word(plan.spec.kind)},
                             {"node", p.node},
                             {"vcpus", p.vcpu_cpus},
                             {"emulator", p.emulator_cpus},
                             {"iothread", p.iothread_cpus},
                             {"page_size", p.page_size},
                             {"pages", p.pages},
                             {"accelerator", p.accelerator == Accelerator::kvm ? "kvm" : "tcg"},
                             {"pf", p.pf},
                             {"pci", p.pci},
                             {"shares_cores", p.shares_cores},
                             {"why", p.why},
                             {"control", plan.spec.control_socket()},
                             {"port_changes", nlohmann::ordered_json::parse(pf::amendment_json(whole(plan.port)))},
                             {"scopes", plan.scopes},
                             {"remarks", plan.remarks},
                             {"xml", plan.xml}};
  out["vf"] = p.vf ? nlohmann::ordered_json(*p.vf) : nlohmann::ordered_json(nullptr);
  return out;
}

void print_plan(const VmPlan& plan) {
  const Placement& p = plan.placement;
  fmt::print("{} ({}): node {}, vCPUs on CPU {}\n", plan.spec.name, word(plan.spec.kind), p.node,
             fmt::join(p.vcpu_cpus, ", "));
  for (const std::string& line : p.why) fmt::print("  {}\n", line);
  if (plan.port.vf.vf.empty()) return;
  fmt::print("changes of the port, by {}:\n  {}\n", plan.spec.control_socket(), pf::amendment_json(whole(plan.port)));
  for (const std::string& scope : plan.scopes) fmt::print("  mirror: {}\n", scope);
  for (const std::string& remark : plan.remarks) fmt::print("  note: {}\n", remark);
}

int run_plan(const PlanOptions& options) {
  const auto plan = make_plan(options);
  if (!plan) return report_error(plan.error(), options.json);
  if (options.json) {
    print_json(plan_json(*plan));
  } else if (options.xml) {
    fmt::print("{}", plan->xml);
  } else {
    print_plan(*plan);
  }
  return 0;
}

void print_inventory(const Inventory& inventory) {
  fmt::print("{}, {}\n", inventory.kvm ? "KVM" : "no KVM (software emulation only)",
             inventory.iommu ? "IOMMU" : "no IOMMU");
  for (const NumaNode& node : inventory.nodes) {
    std::vector<unsigned> online, isolated;
    for (const Cpu& cpu : inventory.cpus) {
      if (cpu.node == node.id && cpu.online) online.push_back(cpu.id);
      if (cpu.node == node.id && cpu.isolated) isolated.push_back(cpu.id);
    }
    fmt::print("node {}: CPU {}{}{}\n", node.id, cpu_list_text(online), isolated.empty() ? "" : ", isolated ",
               cpu_list_text(isolated));
    for (const auto& [size, pool] : node.huge) {
      fmt::print("  {} of {} pages of {} KiB free\n", pool.free, pool.total, size >> 10);
    }
  }
  for (const NetDevice& nic : inventory.nics) {
    if (!nic.pf.empty()) continue;
    fmt::print("NIC {} {} driver {}, node {}, {} of {} VFs\n", nic.pci, nic.netdev,
               nic.driver.empty() ? "none" : nic.driver, nic.node ? std::to_string(*nic.node) : "unknown",
               nic.vfs_enabled, nic.vfs_total);
  }
  for (const BlockDevice& disk : inventory.disks) {
    fmt::print("disk {} of {} MiB, controller {}, node {}\n", disk.name, disk.size >> 20,
               disk.pci.empty() ? "none" : disk.pci, disk.node ? std::to_string(*disk.node) : "unknown");
  }
}

}  // namespace

HostCommand add_plan_command(CLI::App& app) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* plan = app.add_subcommand("plan", "Where a VM would run and why, its domain XML; nothing is done");
  plan->add_option("FILE", options->file, "The VM's file; vigia explain spec")->required();
  plan->add_option("--uri", options->uri, "libvirt to ask instead of the file's");
  plan->add_option("--inventory", options->inventory,
                   "Plan for the host that this file describes (vigia inventory --json)");
  auto* json = plan->add_flag("--json", options->json, "One JSON object");
  plan->add_flag("--xml", options->xml, "Only the domain XML")->excludes(json);
  return {plan, [options] { return run_plan(*options); }};
}

HostCommand add_inventory_command(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  CLI::App* inventory = app.add_subcommand("inventory", "NUMA nodes, cores, hugepages, NICs and disks of this host");
  inventory->add_flag("--json", *json, "One JSON object, as vigia plan --inventory reads it");
  return {inventory, [json] {
            const auto found = inventory_from_sysfs("/");
            if (!found) return report_error(found.error(), *json);
            *json ? fmt::print("{}", inventory_json(*found)) : print_inventory(*found);
            return 0;
          }};
}

}  // namespace vigia::orch
