// SPDX-License-Identifier: Apache-2.0
#include "softnic/connection.h"

#include "hw/log.h"

namespace vigia::softnic {
namespace {

// Refusals of one client that are logged: the first ones tell what is wrong, a flood tells nothing more.
constexpr unsigned kLoggedRefusals = 8;
// Payload bytes, in and out, before it is another client's turn. A full transfer may go beyond once.
constexpr std::size_t kTurnBytes = 256 * 1024;

}  // namespace

Connection::Connection(Fd socket, FunctionModel& model)
    : socket_(std::move(socket)), name_(model.name()), session_(model) {}

Fd Connection::take_socket() noexcept {
  usable_ = false;
  return std::move(socket_);
}

unsigned Connection::serve(unsigned limit) {
  unsigned served = 0;
  std::size_t bytes = 0;
  if (!outbox_.flush(socket_.get())) give_up("replies cannot be delivered");
  while (usable_ && served < limit && bytes < kTurnBytes) {
    const auto state = reader_.advance(socket_.get());
    if (state == MessageReader::State::partial) break;
    if (state == MessageReader::State::closed) {
      usable_ = false;
    } else if (state == MessageReader::State::broken) {
      give_up(reader_.fault());
    } else {
      answer(reader_.message());
      bytes += reader_.message().payload.size() + reply_.payload.size();
      reader_.next();
      ++served;
    }
  }
  return served;
}

void Connection::answer(Message& message) {
  using namespace hw::vfio_user;
  const auto done = session_.handle(message, reply_);
  Header header{message.header.id, message.header.command, sizeof(Header), kReply, 0};
  if (!done) {
    if (++refused_ <= kLoggedRefusals) {
      log::warning("{}: refused: {}{}", name_, done.error().text,
                   refused_ == kLoggedRefusals ? " (further refusals of this client are not logged)" : "");
    }
    reply_.payload.clear();
    reply_.fd = -1;
    header.flags |= kError;
    header.error = static_cast<std::uint32_t>(done.error().code);
  }
  if ((message.header.flags & kNoReply) != 0) return;
  header.size = static_cast<std::uint32_t>(sizeof header + reply_.payload.size());
  if (!outbox_.send(socket_.get(), header, reply_.payload, reply_.fd))
    give_up("replies cannot be delivered; it does not read them?");
}

void Connection::give_up(std::string_view why) {
  if (usable_) log::warning("{}: client disconnected: {}", name_, why);
  usable_ = false;
}

}  // namespace vigia::softnic
