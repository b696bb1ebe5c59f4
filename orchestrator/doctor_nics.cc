// SPDX-License-Identifier: Apache-2.0
// What the doctor reads of NICs and of the kernel: sysfs, procfs, the list of modules.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <fstream>

#include "hw/fd.h"
#include "hw/pci_sysfs.h"
#include "orchestrator/doctor_facts.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;

// Drivers that leave a group to VFIO: its own, and those that do no DMA of their own (Linux: driver_managed_dma).
bool leaves_group(std::string_view driver) {
  constexpr std::array<std::string_view, 4> kLeave{"", "vfio-pci", "pci-stub", "pcieport"};
  return std::find(kLeave.begin(), kLeave.end(), driver) != kLeave.end();
}

NicFacts::Vf look_at_vf(const VirtualFunction& vf, const fs::path& root) {
  NicFacts::Vf out;
  const auto address = hw::PciAddress::parse(vf.pci);
  if (!address) return out;
  const hw::PciFacts facts = hw::look_at(*address, root / "sys");
  for (const std::string& name : hw::names_in(facts.folder / "net")) out.netdev = name;
  for (const auto& [other, driver] : facts.neighbours) {
    if (!leaves_group(driver)) out.company.push_back(fmt::format("{} ({})", other, driver));
  }
  return out;
}

// Maps the first page of the registers, as vigia-pf would, and lets it go; nothing is read.
void try_registers(const NetDevice& nic, const fs::path& root, NicFacts& facts) {
  // Others have no registers that vigia-pf would write beside the driver.
  if (nic.driver != "igb" && nic.driver != "ixgbe") return;
  const fs::path file = root / "sys/bus/pci/devices" / nic.pci / "resource0";
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    const bool forbidden = errno == EACCES || errno == EPERM;
    (forbidden ? facts.registers_unknown : facts.registers_closed) =
        fmt::format("open of {}: {}", file.string(), strerror(errno));
    return;
  }
  constexpr std::size_t kPage = 4096;
  void* const at = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) {
    facts.registers_closed = fmt::format("mmap of {}: {}", file.string(), strerror(errno));
  } else {
    ::munmap(at, kPage);
  }
}

// "none [integrity] confidentiality": the word in brackets; empty when it is none, or there is no such file.
std::string lockdown(const fs::path& root) {
  const std::string text = hw::read_small_file(root / "sys/kernel/security/lockdown");
  const auto from = text.find('['), to = text.find(']');
  if (from == std::string::npos || to == std::string::npos || to < from) return {};
  const std::string word = text.substr(from + 1, to - from - 1);
  return word == "none" ? "" : word;
}

// modules.dep has lines "kernel/drivers/vfio/pci/vfio-pci.ko: ..": a module is there when its file is.
Module look_for_vfio_pci(const fs::path& root, const std::string& release) {
  std::error_code failed;
  if (fs::exists(root / "sys/bus/pci/drivers/vfio-pci", failed)) return Module::loaded;
  const fs::path folder = root / "lib/modules" / release;
  std::ifstream list(folder / "modules.dep");
  for (std::string line; std::getline(list, line);) {
    const fs::path file = line.substr(0, line.find(':'));
    if (file.filename().string().starts_with("vfio-pci.ko") && fs::exists(folder / file, failed))
      return Module::loadable;
  }
  return Module::missing;
}

}  // namespace

std::map<std::string, NicFacts> look_at_nics(const Inventory& inventory, const std::string& asked,
                                             const fs::path& root) {
  constexpr unsigned long kUp = 1;  // IFF_UP
  std::map<std::string, NicFacts> out;
  for (const NetDevice& nic : inventory.nics) {
    if (!nic.pf.empty() || nic.vfs_total == 0) continue;
    NicFacts& facts = out[nic.pci];
    facts.asked = !asked.empty() && (asked == nic.pci || asked == nic.netdev);
    if (!nic.netdev.empty()) {
      const fs::path interface = root / "sys/bus/pci/devices" / nic.pci / "net" / nic.netdev;
      const std::string flags = hw::read_small_file(interface / "flags");
      facts.up = (std::strtoul(flags.c_str(), nullptr, 16) & kUp) != 0;
      facts.carrier = hw::read_small_file(interface / "carrier") == "1";
    }
    try_registers(nic, root, facts);
    for (const VirtualFunction& vf : nic.vfs) facts.vfs[vf.index] = look_at_vf(vf, root);
  }
  return out;
}

KernelFacts look_at_kernel(const fs::path& root) {
  KernelFacts out;
  out.release = hw::read_small_file(root / "proc/sys/kernel/osrelease");
  out.command_line = hw::read_small_file(root / "proc/cmdline");
  out.lockdown = lockdown(root);
  std::error_code failed;
  for (const char* table : {"DMAR", "IVRS"}) {  // Intel's, AMD's
    out.iommu_in_firmware = out.iommu_in_firmware || fs::exists(root / "sys/firmware/acpi/tables" / table, failed);
  }
  out.vfio_pci = look_for_vfio_pci(root, out.release);
  return out;
}

}  // namespace vigia::orch
