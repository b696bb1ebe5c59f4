// SPDX-License-Identifier: Apache-2.0
// vfio-user server: one listening socket per function, one client at a time, all served by the caller's thread. Clients
// are hostile until proven otherwise: every length, index and descriptor count is checked, every message is bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"
#include "softnic/function_model.h"

namespace vigia::softnic {

class Server {
 public:
  static Result<std::unique_ptr<Server>> create();
  ~Server();

  // Listens on path (removing a stale socket, refusing a live one). The model must outlive the server.
  Result<Done> listen(const std::filesystem::path& path, FunctionModel& model);
  // Attaches a client that is connected already, such as one end of a socketpair; non-blocking. Busy when the model has
  // a client.
  Result<Done> adopt(Fd socket, FunctionModel& model);
  // Serves what is pending, at most a bounded amount of work per client, and waits up to timeout_ms (0: not at all) if
  // nothing is. Returns the number of messages served. Replies never wait for another client: a client that does not
  // read its replies is disconnected when 4 MiB are queued for it.
  unsigned poll(int timeout_ms);
  // Calls ready from poll() whenever fd can be read (or has failed), until it returns false; fd is open until then or
  // until the server ends. What ready() is called for counts as a message served.
  Result<Done> watch(int fd, std::function<bool()> ready);
  // Sleeps until a socket or a watched descriptor has something for poll(), or the time is up. Serves nothing.
  void wait(std::chrono::nanoseconds limit);
  // Orderly end: shutdown(SHUT_WR), drain, close, remove the sockets (vfio-user.md 9: a plain close with unread input
  // makes QEMU abort).
  void close();

 private:
  Server();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vigia::softnic
