// SPDX-License-Identifier: Apache-2.0
// A capture file as a port: its frames arrive again, at their old distances, evenly, or as fast as they are taken. A
// reader that is late gets the overdue frames at once; none is skipped.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "vfdriver/vf_device.h"

namespace vigia::vf::file {

// rest: "PATH[,rate=original|max|Npps|xF][,loop=N]"; loop=0 plays for ever. Not started.
Result<std::unique_ptr<VfDevice>> open(const std::string& spec, std::string_view rest, const PortOptions& options);

}  // namespace vigia::vf::file
