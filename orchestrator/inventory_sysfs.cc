// SPDX-License-Identifier: Apache-2.0
// The inventory from sysfs and procfs (Linux: Documentation/ABI, admin-guide/mm/hugetlbpage, PCI/pci-iov-howto).
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "hw/meminfo.h"
#include "hw/pci_sysfs.h"
#include "orchestrator/inventory.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSectorBytes = 512;  // of /sys/block/*/size, whatever the disk's own sectors are

// The first line, without the newline; empty when there is no such file.
std::string line_of(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

template <class T>
std::optional<T> number_of(std::string_view text, int base = 10) {
  if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Of a node file, where -1 means that the firmware does not say.
std::optional<unsigned> node_of(const fs::path& device) { return number_of<unsigned>(line_of(device / "numa_node")); }

std::vector<unsigned> cpus_in(const fs::path& file) {
  return parse_cpu_list(line_of(file)).value_or(std::vector<unsigned>{});
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> out;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    out.push_back(at->path());
  std::sort(out.begin(), out.end());
  return out;
}

// The number behind a prefix: "node3" -> 3.
std::optional<unsigned> numbered(const fs::path& path, std::string_view prefix) {
  const std::string name = path.filename().string();
  if (!name.starts_with(prefix)) return std::nullopt;
  return number_of<unsigned>(std::string_view(name).substr(prefix.size()));
}

void read_huge_pools(const fs::path& folder, NumaNode& node) {
  for (const fs::path& pool : entries(folder)) {
    const std::string name = pool.filename().string();
    constexpr std::string_view kPrefix = "hugepages-", kSuffix = "kB";
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const auto kib = number_of<std::uint64_t>(
        std::string_view(name).substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()));
    if (!kib || *kib == 0 || *kib >= 1ull << 40) continue;
    node.huge[*kib << 10] = {number_of<std::uint64_t>(line_of(pool / "nr_hugepages")).value_or(0),
                             number_of<std::uint64_t>(line_of(pool / "free_hugepages")).value_or(0)};
  }
}

void read_nodes(const fs::path& root, Inventory& out) {
  for (const fs::path& path : entries(root / "sys/devices/system/node")) {
    const auto id = numbered(path, "node");
    if (!id) continue;
    NumaNode& node = out.nodes.emplace_back();
    node.id = *id;
    node.memory = hw::memory_field(path / "meminfo", "MemTotal:").value_or(0);
    read_huge_pools(path / "hugepages", node);
    for (const unsigned cpu : cpus_in(path / "cpulist")) out.cpus.push_back({cpu, *id, {cpu}, true, false});
  }
  if (out.nodes.empty()) {  // a kernel without NUMA
    NumaNode& node = out.nodes.emplace_back();
    read_huge_pools(root / "sys/kernel/mm/hugepages", node);
    for (const unsigned cpu : cpus_in(root / "sys/devices/system/cpu/present"))
      out.cpus.push_back({cpu, 0, {cpu}, true, false});
  }
  std::sort(out.nodes.begin(), out.nodes.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  std::sort(out.cpus.begin(), out.cpus.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
}

void read_cpus(const fs::path& root, Inventory& out) {
  const fs::path folder = root / "sys/devices/system/cpu";
  const std::vector<unsigned> online = cpus_in(folder / "online");
  for (Cpu& cpu : out.cpus) {
    cpu.online = std::binary_search(online.begin(), online.end(), cpu.id);
    const auto siblings = cpus_in(folder / fmt::format("cpu{}/topology/thread_siblings_list", cpu.id));
    if (!siblings.empty()) cpu.siblings = siblings;
  }
}

std::optional<unsigned> iommu_group(const fs::path& device) {
  return number_of<unsigned>(hw::link_name(device / "iommu_group"));
}

VirtualFunction read_vf(const fs::path& link, unsigned index) {
  return {index, hw::link_name(link), hw::link_name(link / "driver"), iommu_group(link)};
}

void read_nic(const fs::path& device, Inventory& out) {
  NetDevice& nic = out.nics.emplace_back();
  nic.pci = device.filename().string();
  nic.driver = hw::link_name(device / "driver");
  nic.vendor = number_of<std::uint16_t>(line_of(device / "vendor"), 16).value_or(0);
  nic.device = number_of<std::uint16_t>(line_of(device / "device"), 16).value_or(0);
  nic.node = node_of(device);
  nic.iommu_group = iommu_group(device);
  nic.vfs_total = number_of<unsigned>(line_of(device / "sriov_totalvfs")).value_or(0);
  nic.vfs_enabled = number_of<unsigned>(line_of(device / "sriov_numvfs")).value_or(0);
  nic.pf = hw::link_name(device / "physfn");
  for (const fs::path& link : entries(device)) {
    if (const auto index = numbered(link, "virtfn")) nic.vfs.push_back(read_vf(link, *index));
  }
  std::sort(nic.vfs.begin(), nic.vfs.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  if (const auto netdevs = entries(device / "net"); !netdevs.empty()) {
    nic.netdev = netdevs.front().filename().string();
    nic.link_mbps = number_of<std::uint64_t>(line_of(netdevs.front() / "speed")).value_or(0);
  }
}

void read_nics(const fs::path& root, Inventory& out) {
  constexpr unsigned kNetworkClass = 0x02;  // PCI base class
  for (const fs::path& device : entries(root / "sys/bus/pci/devices")) {
    const auto pci_class = number_of<unsigned>(line_of(device / "class"), 16);
    if (pci_class && *pci_class >> 16 == kNetworkClass) read_nic(device, out);
  }
}

// "../../devices/pci0000:00/0000:00:1f.2/ata1/..": the last PCI address on the way to the disk.
std::string controller_of(const fs::path& target) {
  std::string out;
  for (const fs::path& part : target) {
    const std::string name = part.string();
    if (name.size() == 12 && name[4] == ':' && name[7] == ':' && name[10] == '.') out = name;
  }
  return out;
}

void read_disks(const fs::path& root, Inventory& out) {
  out.disks.clear();
  for (const fs::path& link : entries(root / "sys/block")) {
    const std::string name = link.filename().string();
    if (name.starts_with("loop") || name.starts_with("ram") || name.starts_with("zram")) continue;
    std::error_code error;
    const fs::path target = fs::read_symlink(link, error);
    BlockDevice& disk = out.disks.emplace_back();
    disk.name = name;
    disk.size = number_of<std::uint64_t>(line_of(link / "size")).value_or(0) * kSectorBytes;
    disk.pci = controller_of(target);
    if (disk.pci.empty()) continue;
    const fs::path controller = root / "sys/bus/pci/devices" / disk.pci;
    disk.node = node_of(controller);
    disk.iommu_group = iommu_group(controller);
  }
}

// Software emulation can be asked for: to compare, or where KVM is there and may not be used.
bool kvm_wanted() {
  const char* wish = std::getenv("VIGIA_ACCELERATOR");
  return wish == nullptr || std::string_view(wish) != "tcg";
}

}  // namespace

Result<Inventory> inventory_from_sysfs(const fs::path& root) {
  Inventory out;
  read_nodes(root, out);
  read_cpus(root, out);
  read_nics(root, out);
  read_host_facts(out, root);
  if (std::none_of(out.cpus.begin(), out.cpus.end(), [](const Cpu& c) { return c.online; })) {
    return work_error(
        fmt::format("{}: no online CPU found there; is sysfs mounted?", (root / "sys/devices/system").string()));
  }
  return out;
}

void read_host_facts(Inventory& inventory, const fs::path& root) {
  const fs::path cpus = root / "sys/devices/system/cpu";
  std::vector<unsigned> isolated = cpus_in(cpus / "isolated");
  const auto tickless = cpus_in(cpus / "nohz_full");
  isolated.insert(isolated.end(), tickless.begin(), tickless.end());
  for (Cpu& cpu : inventory.cpus) cpu.isolated = std::find(isolated.begin(), isolated.end(), cpu.id) != isolated.end();
  for (NumaNode& node : inventory.nodes) {
    const fs::path folder = root / fmt::format("sys/devices/system/node/node{}/hugepages", node.id);
    if (!entries(folder).empty()) node.huge.clear();
    read_huge_pools(folder, node);
  }
  inventory.memory = hw::memory_field(root / "proc/meminfo", "MemTotal:").value_or(0);
  inventory.memory_available = hw::memory_field(root / "proc/meminfo", "MemAvailable:").value_or(0);
  inventory.iommu = !entries(root / "sys/kernel/iommu_groups").empty();
  inventory.kvm = kvm_wanted() && ::access((root / "dev/kvm").c_str(), R_OK | W_OK) == 0;
  read_disks(root, inventory);
}

Result<SoftNic> read_softnic(const fs::path& dir) {
  SoftNic out{dir.string(), {}};
  for (const fs::path& path : entries(dir)) {
    if (path.extension() != ".sock") continue;
    if (const auto index = numbered(path.stem(), "vf")) out.vfs.push_back(*index);
  }
  std::sort(out.vfs.begin(), out.vfs.end());
  if (!out.vfs.empty()) return out;
  return input_error(fmt::format("{}: holds no vf0.sock; start `vigia-softnic --dir {} --vfs 4 --wire null`",
                                 dir.string(), dir.string()));
}

}  // namespace vigia::orch
