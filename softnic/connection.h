// SPDX-License-Identifier: Apache-2.0
// One attached client: its socket, what it sends, what waits for it.
#pragma once

#include <string>

#include "hw/fd.h"
#include "softnic/message.h"
#include "softnic/session.h"

namespace vigia::softnic {

class Connection {
 public:
  // socket is non-blocking. Destroying the connection detaches the client from the model.
  Connection(Fd socket, FunctionModel& model);

  // Serves at most limit messages (and about 256 KiB of payload) that are there and sends what waits; never blocks.
  // Returns the number served.
  unsigned serve(unsigned limit);
  // False: the client is gone or may not go on; the owner destroys the connection.
  bool usable() const noexcept { return usable_; }
  // Whether replies wait for room in the socket.
  bool wants_to_send() const noexcept { return !outbox_.empty(); }
  // Whether a message has begun to arrive and is not whole.
  bool in_message() const noexcept { return usable_ && reader_.in_message(); }
  // Disconnects for a reason that only the owner can see.
  void give_up(std::string_view why);
  int socket() const noexcept { return socket_.get(); }
  // For an orderly end; the connection is of no use then.
  Fd take_socket() noexcept;

 private:
  void answer(Message& message);

  Fd socket_;
  const std::string name_;  // of the function, for logs
  MessageReader reader_;
  Outbox outbox_;
  Session session_;
  Reply reply_;
  unsigned refused_ = 0;
  bool usable_ = true;
};

}  // namespace vigia::softnic
