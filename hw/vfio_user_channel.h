// SPDX-License-Identifier: Apache-2.0
// The client's end of a vfio-user socket: requests in order, one outstanding, each with a deadline. Knows framing and
// nothing about devices.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"
#include "hw/vfio_user.h"

namespace vigia::hw {

// Not thread-safe but for alive(). After an error of the transport (end of stream, silence beyond the deadline, a reply
// that makes no sense) the stream cannot be trusted any more: the channel is dead for good and every further call
// fails at once.
class VfioUserChannel {
 public:
  struct Reply {
    std::vector<std::byte> payload;  // what follows the header
    std::vector<Fd> fds;
  };

  // Connects and negotiates version 0.0.
  static Result<std::unique_ptr<VfioUserChannel>> connect(const std::filesystem::path& path);
  // Says goodbye (end of stream), waits up to 1 s for the server's, closes.
  ~VfioUserChannel();

  // Sends and waits up to 5 s for the reply. A refusal by the server is an error whose code is the server's errno; the
  // channel lives on. what: the action for error texts.
  Result<Reply> request(std::string_view what, vfio_user::Command command, std::span<const std::byte> payload,
                        std::span<const int> fds = {});
  // Sends without wanting a reply; waits only for room in the socket, up to 5 s.
  Result<Done> post(std::string_view what, vfio_user::Command command, std::span<const std::byte> payload);

  // False once the server is gone, also when nobody has sent anything since: costs a system call. Any thread.
  bool alive() const noexcept;
  // Descriptors that the server takes in one message: 1..16.
  unsigned max_fds() const noexcept { return max_fds_; }

 private:
  VfioUserChannel(Fd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  Result<Done> negotiate();
  Result<Done> send(std::string_view what, vfio_user::Command command, std::uint32_t flags,
                    std::span<const std::byte> payload, std::span<const int> fds);
  Result<Reply> receive(std::string_view what, vfio_user::Command command);
  Result<Done> receive_all(std::string_view what, std::span<std::byte> into, std::vector<Fd>& fds);
  Error lost(std::string_view what, std::string_view why);

  Fd socket_;
  std::string path_;
  std::uint16_t last_id_ = 0;
  unsigned max_fds_ = 1;
  mutable std::atomic<bool> dead_ = false;
};

}  // namespace vigia::hw
