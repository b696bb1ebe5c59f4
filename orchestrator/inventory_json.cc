// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "orchestrator/inventory.h"

namespace vigia::orch {
namespace {

using nlohmann::json;

template <class T>
json maybe(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}
template <class T>
std::optional<T> maybe_of(const json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? std::nullopt : std::optional<T>(at->template get<T>());
}

json text_of(const NumaNode& node) {
  json huge = json::array();
  for (const auto& [size, pool] : node.huge)
    huge.push_back({{"size", size}, {"total", pool.total}, {"free", pool.free}});
  return {{"id", node.id}, {"memory", node.memory}, {"hugepages", huge}};
}
json text_of(const Cpu& cpu) {
  return {{"id", cpu.id},
          {"node", cpu.node},
          {"siblings", cpu.siblings},
          {"online", cpu.online},
          {"isolated", cpu.isolated}};
}
json text_of(const VirtualFunction& vf) {
  return {{"index", vf.index}, {"pci", vf.pci}, {"driver", vf.driver}, {"iommu_group", maybe(vf.iommu_group)}};
}
json text_of(const NetDevice& nic) {
  json vfs = json::array();
  for (const VirtualFunction& vf : nic.vfs) vfs.push_back(text_of(vf));
  return {{"pci", nic.pci},
          {"netdev", nic.netdev},
          {"driver", nic.driver},
          {"vendor", nic.vendor},
          {"device", nic.device},
          {"node", maybe(nic.node)},
          {"iommu_group", maybe(nic.iommu_group)},
          {"vfs_total", nic.vfs_total},
          {"vfs_enabled", nic.vfs_enabled},
          {"vfs", vfs},
          {"pf", nic.pf},
          {"link_mbps", nic.link_mbps}};
}
json text_of(const SoftNic& nic) { return {{"dir", nic.dir}, {"vfs", nic.vfs}}; }
json text_of(const BlockDevice& disk) {
  return {{"name", disk.name},
          {"pci", disk.pci},
          {"node", maybe(disk.node)},
          {"size", disk.size},
          {"iommu_group", maybe(disk.iommu_group)}};
}

void read(const json& in, NumaNode& out) {
  in.at("id").get_to(out.id);
  out.memory = in.value("memory", std::uint64_t{0});
  for (const json& pool : in.value("hugepages", json::array())) {
    out.huge[pool.at("size").get<std::uint64_t>()] = {pool.at("total").get<std::uint64_t>(),
                                                      pool.at("free").get<std::uint64_t>()};
  }
}
void read(const json& in, Cpu& out) {
  in.at("id").get_to(out.id);
  in.at("node").get_to(out.node);
  out.siblings = in.value("siblings", std::vector<unsigned>{out.id});
  out.online = in.value("online", true);
  out.isolated = in.value("isolated", false);
}
void read(const json& in, VirtualFunction& out) {
  in.at("index").get_to(out.index);
  in.at("pci").get_to(out.pci);
  out.driver = in.value("driver", "");
  out.iommu_group = maybe_of<unsigned>(in, "iommu_group");
}

// Its definition comes behind all of those that it calls.
template <class T>
void read_list(const json& in, const char* key, std::vector<T>& out);

void read(const json& in, NetDevice& out) {
  in.at("pci").get_to(out.pci);
  out.netdev = in.value("netdev", "");
  out.driver = in.value("driver", "");
  out.vendor = in.value("vendor", std::uint16_t{0});
  out.device = in.value("device", std::uint16_t{0});
  out.node = maybe_of<unsigned>(in, "node");
  out.iommu_group = maybe_of<unsigned>(in, "iommu_group");
  out.vfs_total = in.value("vfs_total", 0u);
  out.vfs_enabled = in.value("vfs_enabled", 0u);
  out.pf = in.value("pf", "");
  out.link_mbps = in.value("link_mbps", std::uint64_t{0});
  read_list(in, "vfs", out.vfs);
}
void read(const json& in, SoftNic& out) {
  in.at("dir").get_to(out.dir);
  in.at("vfs").get_to(out.vfs);
}
void read(const json& in, BlockDevice& out) {
  in.at("name").get_to(out.name);
  out.pci = in.value("pci", "");
  out.node = maybe_of<unsigned>(in, "node");
  out.size = in.value("size", std::uint64_t{0});
  out.iommu_group = maybe_of<unsigned>(in, "iommu_group");
}

template <class T>
void read_list(const json& in, const char* key, std::vector<T>& out) {
  for (const json& item : in.value(key, json::array())) read(item, out.emplace_back());
}

template <class T>
json list(const std::vector<T>& items) {
  json out = json::array();
  for (const T& item : items) out.push_back(text_of(item));
  return out;
}

}  // namespace

std::string inventory_json(const Inventory& inventory) {
  const json out = {{"memory", inventory.memory},     {"memory_available", inventory.memory_available},
                    {"kvm", inventory.kvm},           {"iommu", inventory.iommu},
                    {"nodes", list(inventory.nodes)}, {"cpus", list(inventory.cpus)},
                    {"nics", list(inventory.nics)},   {"softnics", list(inventory.softnics)},
                    {"disks", list(inventory.disks)}};
  // Names come from the host: a byte that is not UTF-8 must not end us.
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Inventory> parse_inventory_json(std::string_view text, std::string_view file) {
  // The library reports by exceptions; they end here.
  try {
    const json in = json::parse(text);
    Inventory out;
    out.memory = in.value("memory", std::uint64_t{0});
    out.memory_available = in.value("memory_available", out.memory);
    out.kvm = in.value("kvm", false);
    out.iommu = in.value("iommu", false);
    read_list(in, "nodes", out.nodes);
    read_list(in, "cpus", out.cpus);
    read_list(in, "nics", out.nics);
    read_list(in, "softnics", out.softnics);
    read_list(in, "disks", out.disks);
    return out;
  } catch (const json::exception& error) {
    return input_error(fmt::format("{}: no inventory as `vigia inventory --json` prints it: {}", file, error.what()));
  }
}

}  // namespace vigia::orch
