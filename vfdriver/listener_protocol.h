// SPDX-License-Identifier: Apache-2.0
// What listeners and capture process say to each other: one packet there, one back, on a SOCK_SEQPACKET socket.
// Both ends run on one machine, so integers are as the machine has them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::vf::listener_protocol {

constexpr std::uint32_t kMagic = 0x32434756;  // "VGC2"; a new meaning of any field is a new magic
enum class Verb : std::uint32_t { attach = 1, info = 2 };

struct Request {
  std::uint32_t magic = kMagic;
  Verb verb{};
  std::uint32_t kind = 0;   // of a listener, for attach
  std::uint32_t queue = 0;  // whose ring, for attach
};

// Followed by text: an error's sentence, or the answer to info. An attached listener gets two descriptors with it:
// the ring, then its slot page. Who wants all queues connects once for each.
struct Reply {
  std::uint32_t magic = kMagic;
  std::uint32_t failed = 0;
  std::uint32_t queues = 1, zero = 0;     // how many rings there are
  std::uint64_t position = 0, frame = 0;  // where the listener begins
};
constexpr std::size_t kMaxText = 60'000;
// Far above what any device has; keeps a foreign answer from costing much.
constexpr std::uint32_t kMaxQueues = 128;

// A bound on how long either side waits for the other.
constexpr int kTimeoutSeconds = 5;

Result<Fd> connect_to(const std::filesystem::path& socket);
// Sends head, text and descriptors in one packet.
bool send_packet(int socket, const void* head, std::size_t head_bytes, std::string_view text, int fd_count,
                 const std::array<int, 2>& fds);

}  // namespace vigia::vf::listener_protocol
