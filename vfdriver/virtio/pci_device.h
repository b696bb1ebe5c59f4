// SPDX-License-Identifier: Apache-2.0
// A virtio network device on PCI, as guests see one: modern only, one receive queue. It receives everything that the
// device delivers; devices start promiscuous (5.1.6.5.1).
#pragma once

#include <memory>

#include "hw/pci_function.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf::virtio {

// Takes the function over. Options were validated. Not started.
Result<std::unique_ptr<VfDevice>> open_pci(std::unique_ptr<hw::PciFunction> function, const PortOptions& options);

}  // namespace vigia::vf::virtio
