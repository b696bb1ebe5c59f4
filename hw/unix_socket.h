// SPDX-License-Identifier: Apache-2.0
// Unix stream sockets by path.
#pragma once

#include <filesystem>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::hw {

// Listens at path, which nobody but the owner can connect to; non-blocking. A socket that a dead process left behind is
// replaced, a live one refused.
Result<Fd> listen_unix(const std::filesystem::path& path);
// Blocking.
Result<Fd> connect_unix(const std::filesystem::path& path);

}  // namespace vigia::hw
