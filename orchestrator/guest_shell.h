// SPDX-License-Identifier: Apache-2.0
// Commands in a tenant guest of the lab, over its virtio-serial port org.vigia.shell.0 (vm-images/guest/shell-port).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "hw/result.h"

namespace vigia::orch {

struct ShellAnswer {
  std::string output;  // stdout and stderr
  int exit_status = 0;
};

// Runs one line. A guest that does not answer in time is an error that says what came until then. At most 16 MiB.
// One caller at a time per guest: the port has no sessions. interrupted is asked about every 100 ms.
Result<ShellAnswer> run_in_guest(const std::filesystem::path& socket, std::string_view line,
                                 std::chrono::milliseconds limit, const std::function<bool()>& interrupted);

}  // namespace vigia::orch
