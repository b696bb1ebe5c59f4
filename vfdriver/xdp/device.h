// SPDX-License-Identifier: Apache-2.0
// Queues of an interface by AF_XDP: frames leave the kernel before its network stack, so the host does not see them any
// more while this port is open. VLAN tags that the device has taken out are lost here (ethtool -K IF rxvlan off).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "vfdriver/vf_device.h"

namespace vigia::vf::xdp {

// rest: "IF[@QUEUE][,mode=auto|native|generic][,stamps=kernel|engine]"; without QUEUE all of them. Not started. One
// queue's frames are stamped by the XDP program, and may then wait 50 ms for who reads them; those of several queues,
// or with stamps=engine, by the engine's clock.
Result<std::unique_ptr<VfDevice>> open(const std::string& spec, std::string_view rest, const PortOptions& options);

}  // namespace vigia::vf::xdp
