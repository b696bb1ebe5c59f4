// SPDX-License-Identifier: Apache-2.0
// What Linux says about a PCI function in sysfs. Source: the kernel's Documentation/ABI/testing/sysfs-bus-pci and
// sysfs-kernel-iommu_groups. Reading only; nothing is changed.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hw/pci_address.h"

namespace vigia::hw {

struct PciFacts {
  PciAddress address;
  std::filesystem::path folder;  // SYS/bus/pci/devices/ADDRESS
  bool present = false;
  std::string driver;             // that holds it; empty: none
  bool has_vfio_pci = false;      // that driver is loaded
  bool has_uio_generic = false;   // likewise uio_pci_generic
  std::optional<unsigned> group;  // IOMMU group
  std::string group_type;         // "DMA", "DMA-FQ", "identity", ..; empty: the kernel does not tell
  bool no_iommu = false;          // the group is one that VFIO made up for a device without an IOMMU
  struct Neighbour {
    std::string address, driver;
  };
  std::vector<Neighbour> neighbours;  // the other devices of the group, by address
  std::string uio;                    // "uio0", when uio_pci_generic holds it
  std::string vfio_device;            // "vfio0": the name in /dev/vfio/devices; empty: before Linux 6.6, or none
};

// sys: another root than /sys, for tests. Whatever cannot be read stays empty.
PciFacts look_at(const PciAddress& address, const std::filesystem::path& sys = "/sys");

// The first six lines of a `resource` file, BAR sizes in bytes; 0: no such BAR (or one of I/O ports, which no device of
// ours has). Empty: the text is no resource file.
std::optional<std::array<std::uint64_t, 6>> parse_bar_sizes(const std::string& text);

// The last part of where a symbolic link points; empty: no link.
std::string link_name(const std::filesystem::path& link);

// What lies in a folder, sorted; empty: nothing, or no folder.
std::vector<std::string> names_in(const std::filesystem::path& folder);

// Whole small file; empty when it cannot be read. One trailing newline is cut off.
std::string read_small_file(const std::filesystem::path& file);

}  // namespace vigia::hw
