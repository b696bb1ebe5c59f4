// SPDX-License-Identifier: Apache-2.0
// vfio-user framing for the server: one message in at a time, replies out through a bounded queue. Both sides of it are
// non-blocking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "hw/fd.h"
#include "hw/vfio_user.h"

namespace vigia::softnic {

struct Message {
  hw::vfio_user::Header header{};
  std::vector<std::byte> payload;  // what follows the header
  std::vector<Fd> fds;             // closed with the message, unless somebody takes them
  bool fds_lost = false;           // more came than a message may have
};

// Takes a stream apart. Descriptors count only when they come with the header, as QEMU sends them; those that come with
// later bytes are closed by the kernel.
class MessageReader {
 public:
  enum class State {
    partial,   // nothing more to read now
    complete,  // message() is whole
    closed,    // end of stream
    broken     // no framing any more, see fault()
  };
  State advance(int socket);
  Message& message() noexcept { return message_; }
  // Forgets the message, before the next advance().
  void next() noexcept;
  // Whether a message has begun and not come to its end.
  bool in_message() const noexcept { return received_ != 0; }
  const std::string& fault() const noexcept { return fault_; }

 private:
  State receive_header(int socket);
  State receive_payload(int socket);
  State failed(std::string fault);
  State not_now(ssize_t received);

  Message message_;
  std::size_t received_ = 0;  // of header and payload together
  std::string fault_;
};

// Replies that the client has not taken yet.
class Outbox {
 public:
  // Bytes that may wait; who lets more pile up does not read its replies.
  static constexpr std::size_t kLimit = std::size_t{4} << 20;

  // Sends at once if it can and queues what is left. fd (not owned, must stay open; -1: none) goes with the first byte.
  // False: the limit is passed or sending fails for good. A peer that takes no replies any more because it is gone is
  // no reason to stop: what it sent before it died still counts, so replies are dropped until the reader comes to the
  // end of the stream.
  bool send(int socket, const hw::vfio_user::Header& header, std::span<const std::byte> payload, int fd);
  // Sends what is queued, as far as it goes. False as above.
  bool flush(int socket);
  bool empty() const noexcept { return waiting_.empty(); }

 private:
  struct Item {
    std::vector<std::byte> bytes;
    std::size_t sent;
    int fd;
  };
  // After a failed send: true, and quiet from now on, if the peer is gone.
  bool forget();

  std::deque<Item> waiting_;
  std::size_t queued_ = 0;  // bytes, with what an item itself takes
  bool peer_gone_ = false;
};

}  // namespace vigia::softnic
