// SPDX-License-Identifier: Apache-2.0
#include "softnic/message.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "hw/fd_passing.h"

namespace vigia::softnic {

using hw::vfio_user::Header;

namespace {

// Whether the last call only found nothing to do now.
bool again() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

MessageReader::State MessageReader::advance(int socket) {
  if (received_ < sizeof(Header)) {
    const State state = receive_header(socket);
    if (state != State::complete) return state;
  }
  return receive_payload(socket);
}

void MessageReader::next() noexcept {
  message_.fds.clear();
  message_.fds_lost = false;
  received_ = 0;
}

// complete: the header is whole and makes sense.
MessageReader::State MessageReader::receive_header(int socket) {
  Header& header = message_.header;
  const auto into = std::as_writable_bytes(std::span(&header, 1)).subspan(received_);
  const hw::Received r = hw::receive_with_fds(socket, into, message_.fds, MSG_DONTWAIT);
  if (r.bytes <= 0) return not_now(r.bytes);
  message_.fds_lost |= r.fds_lost;
  received_ += static_cast<std::size_t>(r.bytes);
  if (message_.fds.size() > hw::vfio_user::kMaxFds) return failed("too many descriptors come with one header");
  if (received_ < sizeof header) return State::partial;
  if ((header.flags & hw::vfio_user::kTypeMask) != hw::vfio_user::kRequest) {
    return failed(fmt::format("flags {:#x}: not a request, and nothing was asked of it", header.flags));
  }
  if (header.size < sizeof header || header.size > hw::vfio_user::kMaxMessage) {
    return failed(
        fmt::format("message size {}: must be {} to {}", header.size, sizeof header, hw::vfio_user::kMaxMessage));
  }
  message_.payload.resize(header.size - sizeof header);
  return State::complete;
}

MessageReader::State MessageReader::receive_payload(int socket) {
  const std::size_t done = received_ - sizeof(Header);
  if (done == message_.payload.size()) return State::complete;
  const ssize_t n = ::recv(socket, message_.payload.data() + done, message_.payload.size() - done, MSG_DONTWAIT);
  if (n <= 0) return not_now(n);
  received_ += static_cast<std::size_t>(n);
  return received_ == message_.header.size ? State::complete : State::partial;
}

MessageReader::State MessageReader::not_now(ssize_t received) {
  if (received < 0 && again()) return State::partial;
  if (received < 0 && errno != ECONNRESET) return failed(std::string("receive: ") + std::strerror(errno));
  if (received_ != 0) return failed("the connection ended in the middle of a message");
  return State::closed;
}

MessageReader::State MessageReader::failed(std::string fault) {
  fault_ = std::move(fault);
  return State::broken;
}

bool Outbox::send(int socket, const Header& header, std::span<const std::byte> payload, int fd) {
  const auto head = std::as_bytes(std::span(&header, 1));
  std::size_t sent = 0;
  if (peer_gone_) return true;
  if (waiting_.empty()) {
    const ssize_t n = hw::send_with_fds(socket, head, payload, std::span(&fd, fd >= 0 ? 1 : 0), MSG_DONTWAIT);
    if (n < 0 && !again()) return forget();
    if (n == static_cast<ssize_t>(head.size() + payload.size())) return true;
    if (n > 0) sent = static_cast<std::size_t>(n);
  }
  Item item{{head.begin(), head.end()}, sent, sent == 0 ? fd : -1};
  item.bytes.insert(item.bytes.end(), payload.begin(), payload.end());
  queued_ += item.bytes.size() + sizeof item;
  waiting_.push_back(std::move(item));
  return queued_ <= kLimit;
}

bool Outbox::forget() {
  if (errno != EPIPE && errno != ECONNRESET) return false;
  peer_gone_ = true;
  waiting_.clear();
  return true;
}

bool Outbox::flush(int socket) {
  while (!waiting_.empty()) {
    Item& item = waiting_.front();
    const auto rest = std::span<const std::byte>(item.bytes).subspan(item.sent);
    const ssize_t n = hw::send_with_fds(socket, rest, {}, std::span(&item.fd, item.fd >= 0 ? 1 : 0), MSG_DONTWAIT);
    if (n < 0) return again() || forget();
    item.sent += static_cast<std::size_t>(n);
    item.fd = -1;
    if (item.sent < item.bytes.size()) return true;
    queued_ -= item.bytes.size() + sizeof item;
    waiting_.pop_front();
  }
  return true;
}

}  // namespace vigia::softnic
