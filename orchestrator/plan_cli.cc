// SPDX-License-Identifier: Apache-2.0
// `vigia plan` and `vigia inventory`: what would be done, and what the host has. Neither changes anything.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "orchestrator/cli.h"
#include "orchestrator/domain_xml.h"
#include "orchestrator/vm_files.h"

namespace vigia::orch {
namespace {

struct PlanOptions {
  std::string file, inventory;
  bool json = false, xml = false;
};

Result<Inventory> take_inventory(const std::string& file) {
  if (file.empty()) return inventory_from_sysfs("/");
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (text.empty()) return input_error(fmt::format("--inventory {}: cannot be read, or is empty", file));
  return parse_inventory_json(text, file);
}

// What vigia-pf will be asked for, in words.
std::vector<std::string> port_changes(const VmSpec& spec, const Placement& placement) {
  std::vector<std::string> out;
  if (!placement.vf) return out;
  std::string vf = fmt::format("VF {}: name {}, address {}", *placement.vf, spec.name, spec.network.mac->text());
  if (spec.network.vlan) vf += fmt::format(", VLAN {}", *spec.network.vlan);
  if (spec.network.trust) vf += ", trusted";
  out.push_back(vf);
  if (spec.kind == VmKind::vnp)
    out.push_back(fmt::format("tap {}: rx of the whole port to VF {}", spec.name, *placement.vf));
  if (spec.tap) {
    const std::string what = spec.tap->port   ? "the whole port"
                             : spec.tap->vlan ? fmt::format("VLAN {}", *spec.tap->vlan)
                                              : fmt::format("{}", fmt::join(spec.tap->tenants, ", "));
    out.push_back(
        fmt::format("tap {}: {} of {} to VF {}", spec.name, direction_word(spec.tap->direction), what, *placement.vf));
  }
  return out;
}

std::string plan_json(const VmSpec& spec, const Placement& p, const std::vector<std::string>& port,
                      const std::string& xml) {
  nlohmann::json out = {{"name", spec.name},
                        {"kind", word(spec.kind)},
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
                        {"control", spec.control_socket()},
                        {"port_changes", port},
                        {"xml", xml}};
  out["vf"] = p.vf ? nlohmann::json(*p.vf) : nlohmann::json(nullptr);
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void print_plan(const VmSpec& spec, const Placement& p, const std::vector<std::string>& port) {
  fmt::print("{} ({}): node {}, vCPUs on CPU {}\n", spec.name, word(spec.kind), p.node, fmt::join(p.vcpu_cpus, ", "));
  for (const std::string& line : p.why) fmt::print("  {}\n", line);
  if (port.empty()) return;
  fmt::print("changes of the port, by {}:\n", spec.control_socket());
  for (const std::string& line : port) fmt::print("  {}\n", line);
}

int fail(const Error& error) {
  log::error("{}", error.text);
  return error.exit_status();
}

int run_plan(const PlanOptions& options) {
  const auto spec = load_vm(options.file);
  if (!spec) return fail(spec.error());
  auto inventory = take_inventory(options.inventory);
  if (!inventory) return fail(inventory.error());
  if (spec->network.mode == NetworkMode::softnic && inventory->softnic(spec->network.pf) == nullptr) {
    if (auto nic = read_softnic(spec->network.pf)) inventory->softnics.push_back(std::move(*nic));
  }
  const auto placement = verdict(*spec, place(*inventory, *spec, {}));
  if (!placement) return fail(placement.error());
  const auto port = port_changes(*spec, *placement);
  std::string xml;
  if (options.xml || options.json) {
    const auto files = find_vm_files(*spec, images_dir(), "/run/vigia");
    if (!files) return fail(files.error());
    xml = domain_xml(*spec, *placement, *files, metadata_of(*spec, *placement, *files));
  }
  if (options.json) {
    fmt::print("{}", plan_json(*spec, *placement, port, xml));
  } else if (options.xml) {
    fmt::print("{}", xml);
  } else {
    print_plan(*spec, *placement, port);
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
            if (!found) return fail(found.error());
            *json ? fmt::print("{}", inventory_json(*found)) : print_inventory(*found);
            return 0;
          }};
}

}  // namespace vigia::orch
