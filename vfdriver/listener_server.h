// SPDX-License-Identifier: Apache-2.0
// How other processes become listeners: a unix socket of the capture process hands out the ring, read-only, and one
// writable slot page. The connection is the listener's life: however the process ends, the kernel closes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/listener_table.h"
#include "vfdriver/merged_reader.h"
#include "vfdriver/ring_reader.h"

namespace vigia::vf {

// A listener in another process, for people.
struct ListenerState {
  int pid;
  unsigned queue;
  ListenerKind kind;
  RingPoint joined;
  std::uint64_t behind_bytes, frames_read, frames_lapped;
};

// A ring and its listeners: of one queue. Both outlive whoever is given this.
struct ServedRing {
  const RingMemory* ring;
  ListenerTable* table;
};

// One control thread uses it.
class ListenerServer {
 public:
  // Answers `info` requests: one JSON object.
  using Describe = std::function<std::string()>;

  // Listens on path (mode 0600). A socket that a dead process left behind is replaced; a live one is refused.
  static Result<ListenerServer> create(const std::filesystem::path& path, std::vector<ServedRing> queues,
                                       Describe describe);
  ListenerServer(ListenerServer&&) noexcept = default;
  ListenerServer& operator=(ListenerServer&&) = delete;
  ~ListenerServer();  // removes the socket and frees the slots

  // Sleeps at most so long; takes new listeners, answers, notices the dead. Returns when the time is over.
  void serve(std::chrono::milliseconds time);
  // One for each queue that a process listens to.
  std::vector<ListenerState> listeners() const;

 private:
  struct Client {
    Fd connection;
    int pid = 0;
    std::int64_t slot = -1;  // -1: has not joined
    unsigned queue = 0;
    RingPoint joined;
  };

  ListenerServer(Fd socket, std::filesystem::path path, std::vector<ServedRing> queues, Describe describe);
  std::size_t most_clients() const { return queues_.size() * ListenerTable::kSlots + 16; }
  void serve_once(int timeout_ms);
  void accept_client();
  bool answer(Client& client);
  bool admit(Client& client, std::uint32_t kind, std::uint32_t queue);
  void drop(Client& client) noexcept;

  Fd socket_;
  std::filesystem::path path_;
  std::vector<ServedRing> queues_;
  Describe describe_;
  std::vector<Client> clients_;
};

// The other side: the rings of another process and a reader of them. Ends being a listener when destroyed.
class Attachment {
 public:
  // To all queues of the capture, merged; or to that one.
  static Result<Attachment> attach(const std::filesystem::path& socket, ListenerKind kind,
                                   std::optional<unsigned> queue = std::nullopt);

  MergedReader& reader() const noexcept { return *reader_; }
  // Of the first of the queues.
  const RingMemory& ring() const noexcept { return *rings_.front(); }
  // False once the capture process is gone. What it has published can still be read.
  bool connected() const noexcept;

 private:
  Attachment() = default;
  // Returns how many queues the capture has.
  Result<unsigned> join(const std::filesystem::path& socket, ListenerKind kind, unsigned queue,
                        std::vector<RingReader>& readers);

  std::vector<Fd> connections_;
  std::vector<std::unique_ptr<RingMemory>> rings_;
  std::unique_ptr<MergedReader> reader_;
};

// What a running capture says of itself: one JSON object.
Result<std::string> ask_info(const std::filesystem::path& socket);

}  // namespace vigia::vf
