// SPDX-License-Identifier: Apache-2.0
// Unix stream sockets by path. A path that is too long is an input error.
#pragma once

#include <filesystem>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::hw {

// Blocking. timeout_ms, if not 0, bounds the wait for a place in the server's backlog and stays on the socket for each
// later send and receive.
Result<Fd> connect_unix(const std::filesystem::path& path, int timeout_ms = 0);

// anyone: as the folder and the umask allow.
enum class Audience { owner, anyone };
// Bound and listening, non-blocking. A stale socket (nobody listens) is replaced, a live one or another kind of file
// refused.
Result<Fd> listen_unix(const std::filesystem::path& path, Audience audience);

}  // namespace vigia::hw
