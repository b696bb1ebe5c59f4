// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/drivers.h"

#include <array>

namespace vigia::pf {
namespace {

// Sources: ndo_set_vf_* of drivers/net/ethernet/intel/{igb,ixgbe,i40e,ice} and mellanox/mlx5/core.
constexpr std::array kDrivers{
    KernelDriver{"igb", "82576, I350", 7, true, true, false, true, 0, true, false,
                 "transmit limits exist on the 82576 only; the I350 refuses them"},
    KernelDriver{"ixgbe", "82599, X540, X550", 63, true, true, true, true, 0, true, false,
                 "transmit limits want a link of 10 Gb/s; trust does not make a VF of an 82599 promiscuous"},
    KernelDriver{"i40e", "X710, XL710, XXV710", 0, true, true, true, true, 50, false, false,
                 "transmit limits are rounded down to multiples of 50 Mb/s; a VF is promiscuous with trust only"},
    KernelDriver{"ice", "E810, E82x, E830", 0, true, true, true, true, 0, false, false,
                 "in switchdev mode MAC, trust and spoof check of VFs are refused: the representors decide"},
    KernelDriver{"mlx5_core", "ConnectX-4 and later", 0, true, true, true, true, 0, false, true,
                 "in switchdev mode VLAN and spoof check of VFs are refused; a MAC counts once the VF's driver probes "
                 "again"},
};

}  // namespace

std::span<const KernelDriver> kernel_drivers() { return kDrivers; }

const KernelDriver* kernel_driver(std::string_view name) {
  for (const KernelDriver& driver : kDrivers) {
    if (driver.name == name) return &driver;
  }
  return nullptr;
}

}  // namespace vigia::pf
