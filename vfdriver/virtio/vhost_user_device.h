// SPDX-License-Identifier: Apache-2.0
// A virtio network device without a virtual machine: this program plays driver and front end for a vhost-user back end
// (DPDK's net_vhost, a virtual switch), which writes frames straight into our memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "vfdriver/vf_device.h"

namespace vigia::vf::virtio {

// rest: "SOCKET[,ring=auto|split|packed]". Not started. The back end shares only the memory made for it here.
Result<std::unique_ptr<VfDevice>> open_vhost_user(const std::string& spec, std::string_view rest,
                                                  const PortOptions& options);

}  // namespace vigia::vf::virtio
