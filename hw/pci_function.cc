// SPDX-License-Identifier: Apache-2.0
#include "hw/pci_function.h"

#include <array>

#include "hw/uio_function.h"
#include "hw/vfio_function.h"
#include "hw/vfio_user_function.h"

namespace vigia::hw {
namespace {

// PCI command register (PCI Local Bus 3.0, 6.2.2).
constexpr std::uint32_t kCommand = 0x04, kMemorySpace = 1u << 1, kBusMaster = 1u << 2;

using Opened = Result<std::unique_ptr<PciFunction>>;

template <class Function>
Opened as_function(Result<std::unique_ptr<Function>> function) {
  if (!function) return function.error();
  return std::unique_ptr<PciFunction>(std::move(*function));
}

template <class Function>
using OpenAt = Result<std::unique_ptr<Function>> (*)(const std::string& name, const PciAddress& address);

template <class Function, OpenAt<Function> Open>
Opened open_at_address(const std::string& spec, std::string_view rest) {
  const auto address = PciAddress::parse(rest);
  if (!address) {
    return input_error("device '" + spec + "': '" + std::string(rest) +
                       "' is no PCI address; want DOMAIN:BUS:DEVICE.FUNCTION as `lspci -D` shows it, 0000:01:00.0");
  }
  return as_function(Open(spec, *address));
}

Opened open_socket(const std::string&, std::string_view rest) {
  return as_function(VfioUserFunction::open(std::string(rest)));
}

struct Way {
  std::string_view scheme;
  Opened (*open)(const std::string& spec, std::string_view rest);
};
constexpr std::array kWays{
    Way{"vfio:", &open_at_address<VfioFunction, &VfioFunction::open>},
    Way{"vfio-noiommu:", &open_at_address<VfioFunction, &VfioFunction::open_unprotected>},
    Way{"uio:", &open_at_address<UioFunction, &UioFunction::open>},
    Way{"vfio-user:", &open_socket},
};

}  // namespace

Result<Done> PciFunction::set_bus_master(bool on) {
  const auto command = config_read(kCommand, 2);
  if (!command) return command.error();
  return config_write(kCommand, 2, on ? *command | kMemorySpace | kBusMaster : *command & ~kBusMaster);
}

Error PciFunction::no_intx() const { return work_error("use INTx of " + name() + ": this way to a function has none"); }

Result<std::unique_ptr<PciFunction>> open_function(std::string_view spec) {
  for (const Way& way : kWays) {
    if (!spec.starts_with(way.scheme)) continue;
    const std::string_view rest = spec.substr(way.scheme.size());
    if (!rest.empty()) return way.open(std::string(spec), rest);
  }
  return input_error("device '" + std::string(spec) +
                     "': want vfio:ADDRESS or uio:ADDRESS of a PCI function, for example vfio:0000:01:00.0, or "
                     "vfio-user:SOCKET, for example vfio-user:/run/lab/vf0.sock");
}

}  // namespace vigia::hw
