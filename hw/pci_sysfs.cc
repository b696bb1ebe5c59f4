// SPDX-License-Identifier: Apache-2.0
#include "hw/pci_sysfs.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace vigia::hw {

namespace fs = std::filesystem;

std::string link_name(const fs::path& link) {
  std::error_code failure;
  const fs::path target = fs::read_symlink(link, failure);
  return failure ? std::string() : target.filename().string();
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (fs::directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_small_file(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  std::string all = text.str();
  if (all.ends_with('\n')) all.pop_back();
  return all;
}

PciFacts look_at(const PciAddress& address, const fs::path& sys) {
  std::error_code ignored;
  PciFacts facts;
  facts.address = address;
  facts.folder = sys / "bus/pci/devices" / address.text();
  facts.has_vfio_pci = fs::exists(sys / "bus/pci/drivers/vfio-pci", ignored);
  facts.has_uio_generic = fs::exists(sys / "bus/pci/drivers/uio_pci_generic", ignored);
  facts.present = fs::exists(facts.folder, ignored);
  if (!facts.present) return facts;
  facts.driver = link_name(facts.folder / "driver");
  for (const std::string& uio : names_in(facts.folder / "uio")) facts.uio = uio;
  for (const std::string& vfio : names_in(facts.folder / "vfio-dev")) facts.vfio_device = vfio;

  const std::string group = link_name(facts.folder / "iommu_group");
  unsigned number = 0;
  const auto [end, failure] = std::from_chars(group.data(), group.data() + group.size(), number);
  if (group.empty() || failure != std::errc() || end != group.data() + group.size()) return facts;
  facts.group = number;
  const fs::path folder = sys / "kernel/iommu_groups" / group;
  facts.group_type = read_small_file(folder / "type");
  facts.no_iommu = read_small_file(folder / "name") == "vfio-noiommu";
  for (const std::string& name : names_in(folder / "devices")) {
    if (name != address.text()) {
      facts.neighbours.push_back({name, link_name(sys / "bus/pci/devices" / name / "driver")});
    }
  }
  return facts;
}

std::optional<std::array<std::uint64_t, 6>> parse_bar_sizes(const std::string& text) {
  constexpr std::uint64_t kIoPorts = 0x100;  // IORESOURCE_IO in the third column
  std::array<std::uint64_t, 6> sizes{};
  std::istringstream in(text);
  in >> std::hex;
  for (std::uint64_t& size : sizes) {
    std::string words[3];
    std::uint64_t numbers[3];
    for (int i = 0; i < 3; ++i) {
      if (!(in >> words[i]) || !words[i].starts_with("0x")) return std::nullopt;
      const char* const last = words[i].data() + words[i].size();
      const auto [end, failure] = std::from_chars(words[i].data() + 2, last, numbers[i], 16);
      if (failure != std::errc() || end != last) return std::nullopt;
    }
    const auto [first, last, flags] = numbers;
    if (last < first) return std::nullopt;
    size = flags == 0 || (flags & kIoPorts) != 0 ? 0 : last - first + 1;
  }
  return sizes;
}

}  // namespace vigia::hw
