// SPDX-License-Identifier: Apache-2.0
// An interface of the kernel by AF_PACKET: no driver to bind, no memory to hand over, and the host goes on using it.
// Frames are as on the wire, but for checksums that the sender left to its device, and for segments that the kernel
// merged (ethtool -K IF gro off).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "vfdriver/vf_device.h"

namespace vigia::vf::packet {

// rest: "IF[,promisc=yes|no][,outgoing=yes|no][,stamps=kernel|engine]". Takes CAP_NET_RAW in the interface's network
// namespace. Not started. options.rx_ring * rx_buffer_kib is the ring's memory, at least 32 MiB (1 MiB with
// stamps=engine). The kernel stamps each frame by CLOCK_REALTIME; by the engine's clock all frames of a block, 2 ms,
// have nearly one moment.
Result<std::unique_ptr<VfDevice>> open(const std::string& spec, std::string_view rest, const PortOptions& options);

}  // namespace vigia::vf::packet
