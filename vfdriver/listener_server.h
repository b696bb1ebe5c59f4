// SPDX-License-Identifier: Apache-2.0
// How other processes become listeners: a unix socket of the capture process hands out the ring, read-only, and one
// writable slot page. The connection is the listener's life: however the process ends, the kernel closes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/listener_table.h"
#include "vfdriver/ring_reader.h"

namespace vigia::vf {

// A listener in another process, for people.
struct ListenerState {
  int pid;
  ListenerKind kind;
  RingPoint joined;
  std::uint64_t behind_bytes, frames_read, frames_lapped;
};

// One control thread uses it; ring and table outlive it.
class ListenerServer {
 public:
  // Answers `info` requests: one JSON object.
  using Describe = std::function<std::string()>;

  // Listens on path (mode 0600). A socket that a dead process left behind is replaced; a live one is refused.
  static Result<ListenerServer> create(const std::filesystem::path& path, const RingMemory& ring, ListenerTable& table,
                                       Describe describe);
  ListenerServer(ListenerServer&&) noexcept = default;
  ListenerServer& operator=(ListenerServer&&) = delete;
  ~ListenerServer();  // removes the socket and frees the slots

  // Sleeps at most so long; takes new listeners, answers, notices the dead. Returns when the time is over.
  void serve(std::chrono::milliseconds time);
  std::vector<ListenerState> listeners() const;

 private:
  struct Client {
    Fd connection;
    int pid = 0;
    std::int64_t slot = -1;  // -1: has not joined
    RingPoint joined;
  };

  ListenerServer(Fd socket, std::filesystem::path path, const RingMemory& ring, ListenerTable& table,
                 Describe describe);
  void serve_once(int timeout_ms);
  void accept_client();
  bool answer(Client& client);
  bool admit(Client& client, std::uint32_t kind);
  void drop(Client& client) noexcept;

  Fd socket_;
  std::filesystem::path path_;
  const RingMemory* ring_;
  ListenerTable* table_;
  Describe describe_;
  std::vector<Client> clients_;
};

// The other side: a ring of another process and a reader of it. Ends being a listener when destroyed.
class Attachment {
 public:
  static Result<Attachment> attach(const std::filesystem::path& socket, ListenerKind kind);

  RingReader& reader() const noexcept { return *reader_; }
  const RingMemory& ring() const noexcept { return *ring_; }
  // False once the capture process is gone. What it has published can still be read.
  bool connected() const noexcept;

 private:
  Attachment(Fd connection, std::unique_ptr<RingMemory> ring, std::unique_ptr<RingReader> reader)
      : connection_(std::move(connection)), ring_(std::move(ring)), reader_(std::move(reader)) {}
  Fd connection_;
  std::unique_ptr<RingMemory> ring_;
  std::unique_ptr<RingReader> reader_;
};

// What a running capture says of itself: one JSON object.
Result<std::string> ask_info(const std::filesystem::path& socket);

}  // namespace vigia::vf
