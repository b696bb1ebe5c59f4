// SPDX-License-Identifier: Apache-2.0
// SR-IOV of one physical function through Linux's sysfs (Documentation/ABI/testing/sysfs-bus-pci, PCI/pci-iov-howto).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/pci_address.h"
#include "hw/pci_function.h"
#include "hw/result.h"

namespace vigia::pf {

struct VfFunction {
  hw::PciAddress address;
  std::string driver;  // that holds it; empty: none
  friend bool operator==(const VfFunction&, const VfFunction&) = default;
};

struct SriovFacts {
  hw::PciId id{};
  std::string driver;     // of the PF; empty: none
  std::string interface;  // of the PF; empty: none
  unsigned total_vfs = 0, vfs = 0;
  std::optional<bool> autoprobe;      // nothing: a kernel before 4.13
  std::vector<VfFunction> functions;  // of the VFs, by index
};

// Any thread. Nothing is kept open.
class Sriov {
 public:
  // spec: "pci:0000:01:00.0", "netdev:eth0" or "eth0". sys: another root than /sys, for tests. A spec that names no
  // device is an input error; what is there is judged by look().
  static Result<Sriov> find(std::string_view spec, std::filesystem::path sys = "/sys");

  const hw::PciAddress& address() const { return address_; }
  std::filesystem::path folder() const;

  // Input error: no such device, or one without SR-IOV, with what to do.
  Result<SriovFacts> look() const;

  // Each writes one file and says what the kernel answered. Making VFs takes the kernel up to some seconds.
  Result<Done> set_vfs(unsigned count) const;
  Result<Done> set_autoprobe(bool on) const;
  // Lets the host's drivers look at the VF.
  Result<Done> probe(const hw::PciAddress& vf) const;

  // The interface that stands for VF index inside the PF's switch, when the PF is in switchdev mode; empty: none.
  std::string representor(unsigned index) const;

 private:
  Sriov(hw::PciAddress address, std::filesystem::path sys) : address_(address), sys_(std::move(sys)) {}
  Result<Done> write(const std::filesystem::path& file, std::string_view text, std::string_view remedy) const;
  hw::PciAddress address_;
  std::filesystem::path sys_;
};

}  // namespace vigia::pf
