// SPDX-License-Identifier: Apache-2.0
// What each Linux PF driver does with the settings of a VF, as data. igb: seen on an emulated 82576. ixgbe: looked up
// in part in its source (Linux 6.1). i40e, ice, mlx5: as known of their sources, checked by nobody yet; what they make
// of a setting shows when it is read back.
#pragma once

#include <span>
#include <string_view>

namespace vigia::pf {

struct KernelDriver {
  std::string_view name;   // as /sys/bus/pci/drivers has it
  std::string_view ports;  // what it drives, for people
  unsigned most_vfs;       // 0: as many as the device says
  bool spoof_check, trust, link;
  bool rate;                 // a transmit limit can be set
  unsigned rate_step;        // Mb/s to which the driver rounds down; 0: it takes any whole number
  bool rate_needs_link;      // it refuses a limit while the port has no link, and forgets it when the speed changes
  bool mac_needs_new_probe;  // the VF's driver learns a new MAC only when it probes again
  std::string_view remark;   // for the plan; empty: nothing worth saying
};

std::span<const KernelDriver> kernel_drivers();
// nullptr: not in the table. Such a driver is told what is wanted and read back like any other.
const KernelDriver* kernel_driver(std::string_view name);

}  // namespace vigia::pf
