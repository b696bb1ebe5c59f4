// SPDX-License-Identifier: Apache-2.0
// Giving a PCI function to a driver, and back to the one it had. Source: the kernel's
// Documentation/ABI/testing/sysfs-bus-pci (driver_override, drivers_probe, unbind).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hw/pci_address.h"
#include "hw/result.h"

namespace vigia::orch {

// The system that is changed; tests have their own.
struct DriverHost {
  std::filesystem::path sys = "/sys";
  std::filesystem::path remembered;  // folder of files by address: what had the function before us. Until the next boot
  // Writes text into a file of sysfs.
  std::function<Result<Done>(const std::filesystem::path& file, const std::string& text)> write;
  // Loads a module of the kernel.
  std::function<Result<Done>(const std::string& name)> load;

  // This system; remembered: a folder below run.
  static DriverHost here(const std::filesystem::path& run);
};

struct Binding {
  std::string before, after;  // drivers; empty: none
  std::vector<std::string>
      neighbours;  // "0000:01:00.1 (ixgbe)": devices of the IOMMU group that keep VFIO from using it
};

// Binds the function to driver, which is loaded when it is not there. The first driver before is remembered. Refused,
// an input error: no such function; one whose network interface is up, unless force. When the driver does not take the
// function, the one before gets it back, and that is an error.
Result<Binding> bind_function(const DriverHost& host, const hw::PciAddress& address, const std::string& driver,
                              bool force);
// Back to what was remembered, which is forgotten then. An input error when nothing is.
Result<Binding> restore_function(const DriverHost& host, const hw::PciAddress& address, bool force);

}  // namespace vigia::orch
