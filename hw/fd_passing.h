// SPDX-License-Identifier: Apache-2.0
// Bytes and file descriptors over a Unix socket: the only place that says cmsghdr.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::hw {

// One sendmsg of head and body together; the descriptors (at most 16) ride on the first byte. Never raises SIGPIPE.
// Returns what sendmsg returned: bytes taken, perhaps fewer than given, or -1 with errno set.
ssize_t send_with_fds(int socket, std::span<const std::byte> head, std::span<const std::byte> body,
                      std::span<const int> fds, int flags) noexcept;

struct Received {
  ssize_t bytes;  // as recvmsg: 0 at the end of the stream, -1 with errno set
  bool fds_lost;  // the kernel had to drop descriptors: more than 16, or our own table is full
};
// One recvmsg; descriptors are appended to fds, close-on-exec.
Received receive_with_fds(int socket, std::span<std::byte> into, std::vector<Fd>& fds, int flags);

}  // namespace vigia::hw
