// SPDX-License-Identifier: Apache-2.0
// The inventory from libvirt's texts (libvirt: formatcaps, formatnode).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <pugixml.hpp>

#include "orchestrator/inventory.h"

namespace vigia::orch {
namespace {

using pugi::xml_node;

constexpr std::size_t kLargestXml = 16u << 20;  // capabilities of the largest hosts are some 100 KiB

template <class T>
std::optional<T> number(std::string_view text, int base = 10) {
  if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<Done> load(pugi::xml_document& document, std::string_view xml, const char* what) {
  if (xml.size() > kLargestXml) return work_error(fmt::format("{}: larger than 16 MiB, refused", what));
  const auto parsed = document.load_buffer(xml.data(), xml.size());
  if (parsed) return Done{};
  return work_error(fmt::format("{}: not XML at byte {}: {}", what, parsed.offset, parsed.description()));
}

std::uint64_t kib(std::string_view text) {
  const std::uint64_t n = number<std::uint64_t>(text).value_or(0);
  return n < 1ull << 54 ? n << 10 : 0;
}

void read_cell(xml_node cell, Inventory& out) {
  const auto id = number<unsigned>(cell.attribute("id").value());
  if (!id) return;
  NumaNode& node = out.nodes.emplace_back();
  node.id = *id;
  node.memory = kib(cell.child_value("memory"));
  for (const xml_node pages : cell.children("pages")) {
    const std::uint64_t size = kib(pages.attribute("size").value());
    const auto count = number<std::uint64_t>(pages.text().get());
    // 4 KiB pages are listed too. How many of the others are free is in sysfs only: read_host_facts.
    if (size > 4096 && count) node.huge[size] = {*count, *count};
  }
  for (const xml_node item : cell.child("cpus").children("cpu")) {
    const auto cpu = number<unsigned>(item.attribute("id").value());
    if (!cpu) continue;
    auto siblings = parse_cpu_list(item.attribute("siblings").value());
    if (!siblings || siblings->empty()) siblings = std::vector<unsigned>{*cpu};
    out.cpus.push_back({*cpu, *id, std::move(*siblings), true, false});
  }
}

// <address domain='0x0000' bus='0x3b' slot='0x10' function='0x0'/>; empty when it is none.
std::string pci_text(xml_node at) {
  const auto part = [&](const char* name) {
    const std::string_view text = at.attribute(name).value();
    return text.empty() ? std::optional<unsigned>() : number<unsigned>(text, text.starts_with("0x") ? 16 : 10);
  };
  const auto domain = part("domain"), bus = part("bus"), slot = part("slot"), function = part("function");
  if (!domain || !bus || !slot || !function) return {};
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", *domain, *bus, *slot, *function);
}

// The same numbers as decimal elements: <domain>0</domain><bus>59</bus>..
std::string pci_of_capability(xml_node capability) {
  const auto part = [&](const char* name) { return number<unsigned>(capability.child_value(name)); };
  const auto domain = part("domain"), bus = part("bus"), slot = part("slot"), function = part("function");
  if (!domain || !bus || !slot || !function) return {};
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", *domain, *bus, *slot, *function);
}

void read_functions(xml_node pci, NetDevice& nic) {
  for (const xml_node capability : pci.children("capability")) {
    const std::string_view type = capability.attribute("type").value();
    if (type == "phys_function") nic.pf = pci_text(capability.child("address"));
    if (type != "virt_functions") continue;
    nic.vfs_total = number<unsigned>(capability.attribute("maxCount").value()).value_or(0);
    for (const xml_node address : capability.children("address")) {
      if (std::string text = pci_text(address); !text.empty()) {
        nic.vfs.push_back({static_cast<unsigned>(nic.vfs.size()), std::move(text), {}, {}});
      }
    }
    nic.vfs_enabled = static_cast<unsigned>(nic.vfs.size());
  }
}

void read_pci(xml_node device, xml_node pci, Inventory& out) {
  constexpr unsigned kNetworkClass = 0x02;  // PCI base class
  const auto pci_class = number<unsigned>(pci.child_value("class"), 16);
  const std::string address = pci_of_capability(pci);
  if (address.empty() || !pci_class || *pci_class >> 16 != kNetworkClass) return;
  NetDevice& nic = out.nics.emplace_back();
  nic.pci = address;
  nic.driver = device.child("driver").child_value("name");
  nic.vendor = number<std::uint16_t>(pci.child("vendor").attribute("id").value(), 16).value_or(0);
  nic.device = number<std::uint16_t>(pci.child("product").attribute("id").value(), 16).value_or(0);
  nic.node = number<unsigned>(pci.child("numa").attribute("node").value());
  if (const xml_node group = pci.child("iommuGroup"))
    nic.iommu_group = number<unsigned>(group.attribute("number").value());
  read_functions(pci, nic);
}

// <name>net_eth0_..</name><parent>pci_0000_3b_00_0</parent><capability type='net'>
void read_netdev(xml_node device, xml_node net, Inventory& out) {
  std::string parent = device.child_value("parent");
  if (!parent.starts_with("pci_") || parent.size() != 16) return;
  parent = parent.substr(4);
  parent[4] = parent[7] = ':';
  parent[10] = '.';
  const auto at = std::find_if(out.nics.begin(), out.nics.end(), [&](const NetDevice& n) { return n.pci == parent; });
  if (at == out.nics.end()) return;
  at->netdev = net.child_value("interface");
  at->link_mbps = number<std::uint64_t>(net.child("link").attribute("speed").value()).value_or(0);
}

// VFs are devices of their own too: what those say belongs into the PF's list.
void join_functions(Inventory& out) {
  for (NetDevice& nic : out.nics) {
    for (VirtualFunction& vf : nic.vfs) {
      if (const NetDevice* device = out.nic(vf.pci)) {
        vf.driver = device->driver;
        vf.iommu_group = device->iommu_group;
      }
    }
    out.iommu |= nic.iommu_group.has_value();
  }
}

}  // namespace

Result<Inventory> inventory_from_libvirt(std::string_view capabilities, std::span<const std::string> node_devices) {
  pugi::xml_document document;
  if (auto loaded = load(document, capabilities, "libvirt capabilities"); !loaded) return loaded.error();
  const xml_node host = document.child("capabilities").child("host");
  if (!host)
    return work_error("libvirt capabilities: no <capabilities><host> in them; is the connection a hypervisor's?");
  Inventory out;
  for (const xml_node cell : host.child("topology").child("cells").children("cell")) read_cell(cell, out);
  if (out.nodes.empty() || out.cpus.empty()) {
    return work_error("libvirt capabilities: no NUMA cells with CPUs in them; read sysfs instead");
  }
  for (const NumaNode& node : out.nodes) out.memory += node.memory;
  out.memory_available = out.memory;
  out.iommu = std::string_view(host.child("iommu").attribute("support").value()) == "yes";
  // Interfaces name their PCI functions, so those come first.
  for (const std::string_view wanted : {"pci", "net"}) {
    for (const std::string& text : node_devices) {
      pugi::xml_document device;
      if (auto loaded = load(device, text, "libvirt node device"); !loaded) return loaded.error();
      const xml_node top = device.child("device");
      const xml_node capability = top.child("capability");
      if (capability.attribute("type").value() != wanted) continue;
      wanted == "pci" ? read_pci(top, capability, out) : read_netdev(top, capability, out);
    }
  }
  const auto by_pci = [](const NetDevice& a, const NetDevice& b) { return a.pci < b.pci; };
  std::sort(out.nics.begin(), out.nics.end(), by_pci);
  std::sort(out.cpus.begin(), out.cpus.end(), [](const Cpu& a, const Cpu& b) { return a.id < b.id; });
  join_functions(out);
  return out;
}

}  // namespace vigia::orch
