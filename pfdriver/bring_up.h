// SPDX-License-Identifier: Apache-2.0
// From power-on to a port whose VFs can reset: the datasheet's order, one named step per line (82599 reference 3, 4, 5,
// 7.2). What VFs and taps want comes afterwards, by apply().
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "hw/pci_function.h"
#include "pfdriver/capabilities.h"
#include "pfdriver/config.h"

namespace vigia::pf {

// Everything a step needs. Nothing is owned.
struct Port {
  hw::PciFunction& function;
  hw::Bar& bar;
  const Capabilities& nic;
  const PfConfig& config;
  bool msix = false;  // an eventfd is connected to vector 0
};

struct Step {
  std::string_view name;
  Result<Done> (*run)(Port&);
};
// In the order in which they run.
std::span<const Step> bring_up_steps();

// Runs every step. The error of a step names it: "bring up PF, step 'reset': ...". started, if given, is called with
// each name before the step runs.
Result<Done> bring_up(Port& port, const std::function<void(std::string_view)>& started = nullptr);

// Lets the VFs reset (RSTI off, RSTD on) and says that a driver is there. After apply(), so that no VF meets a port
// that is half configured.
void announce(hw::Bar& bar);

// Undoes it: no interrupts, receiver, transmitter and pools off, DRV_LOAD away, bus mastering off. VF Enable stays as
// it is: clearing it would tear VFs from their users. Never fails; a device that is gone needs no undoing.
void tear_down(hw::PciFunction& function, hw::Bar& bar);

// What bring-up put into RSS, as a VF may ask for it.
std::array<std::uint8_t, 128> rss_table(const PoolMode& mode);
std::array<std::uint8_t, 40> rss_key();

}  // namespace vigia::pf
