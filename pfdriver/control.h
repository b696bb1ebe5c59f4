// SPDX-License-Identifier: Apache-2.0
// How `vigia pf` talks to vigia-pf: a unix stream socket, one JSON object a line.
// Request: {"command": "plan"|"apply"|"show"|"revert"|"status", "config": YAML text, "file": its name}
//       or {"command": "amend", "change": as in amend.h, "dry_run": true to plan only}; data has the change that undoes
//       it or {"command": "config"}: data is what is wanted now, see config_json
// Reply:   {"ok": true, "text": for people, "data": for programs}
//       or {"ok": false, "status": exit status, "error": text}
#pragma once

#include <poll.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::pf {

class Generator;

// The reply to one request line, without the newline. Foreign bytes: whatever comes, there is a reply.
std::string answer_control(Generator& generator, std::string_view line);

// Serves the socket from the caller's poll loop. At most 16 clients; one that sends a line over 2 MiB or does not read
// its replies is disconnected.
class ControlServer {
 public:
  using Handler = std::function<std::string(std::string_view line)>;

  // Listens at path, which others than the owner cannot open. A stale socket is replaced, a live one refused.
  static Result<std::unique_ptr<ControlServer>> listen(const std::filesystem::path& path, Handler handler);
  ~ControlServer();  // removes the socket

  // Appends what to wait for; serve() takes the same entries back.
  void add_to(std::vector<pollfd>& fds) const;
  void serve(const std::vector<pollfd>& fds);

 private:
  struct Client {
    Fd fd;
    std::string in, out;
  };
  ControlServer(Fd listener, std::filesystem::path path, Handler handler);
  void accept_clients();
  bool serve_client(Client& client, short events);  // false: it is gone

  Fd listener_;
  std::filesystem::path path_;
  Handler handler_;
  std::vector<Client> clients_;
};

// Sends one request and waits for the reply. No reply in time: resource_unavailable_try_again.
Result<std::string> ask_control(const std::filesystem::path& socket, std::string_view line,
                                std::chrono::milliseconds limit = std::chrono::seconds(30));

}  // namespace vigia::pf
