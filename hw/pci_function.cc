// SPDX-License-Identifier: Apache-2.0
#include "hw/pci_function.h"

#include "hw/vfio_user_function.h"

namespace vigia::hw {
namespace {

// PCI command register (PCI Local Bus 3.0, 6.2.2).
constexpr std::uint32_t kCommand = 0x04, kMemorySpace = 1u << 1, kBusMaster = 1u << 2;
constexpr std::string_view kVfioUser = "vfio-user:";

}  // namespace

Result<Done> PciFunction::set_bus_master(bool on) {
  const auto command = config_read(kCommand, 2);
  if (!command) return command.error();
  return config_write(kCommand, 2, on ? *command | kMemorySpace | kBusMaster : *command & ~kBusMaster);
}

Result<std::unique_ptr<PciFunction>> open_function(std::string_view spec) {
  if (!spec.starts_with(kVfioUser) || spec.size() == kVfioUser.size()) {
    return input_error("device '" + std::string(spec) +
                       "': want vfio-user:SOCKET, for example vfio-user:/run/lab/vf0.sock");
  }
  auto function = VfioUserFunction::open(std::string(spec.substr(kVfioUser.size())));
  if (!function) return function.error();
  return std::unique_ptr<PciFunction>(std::move(*function));
}

}  // namespace vigia::hw
