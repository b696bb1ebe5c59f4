// SPDX-License-Identifier: Apache-2.0
// Unix sockets by path. A path that is too long is an input error.
#pragma once

#include <filesystem>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::hw {

enum class SocketKind { stream, packets };  // packets: SOCK_SEQPACKET, which keeps what was sent together together

// Blocking. timeout_ms, if not 0, bounds the wait for a place in the server's backlog and stays on the socket for each
// later send and receive. Who waits for a server's path can connect as soon as it is there: a socket that refuses is
// given time until its file is a second old.
Result<Fd> connect_unix(const std::filesystem::path& path, int timeout_ms = 0, SocketKind kind = SocketKind::stream);

// anyone: as the folder and the umask allow.
enum class Audience { owner, anyone };
// Bound and listening, non-blocking. A stale socket (nobody listens) is replaced, a live one (address_in_use) or
// another kind of file refused.
Result<Fd> listen_unix(const std::filesystem::path& path, Audience audience, SocketKind kind = SocketKind::stream);

}  // namespace vigia::hw
