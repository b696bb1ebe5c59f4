// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/listener_server.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "hw/log.h"
#include "hw/unix_socket.h"
#include "vfdriver/listener_protocol.h"

namespace vigia::vf {

namespace wire = listener_protocol;

namespace {

int peer_pid(int socket) {
  ucred who{};
  socklen_t size = sizeof(who);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 ? who.pid : 0;
}

}  // namespace

Result<ListenerServer> ListenerServer::create(const std::filesystem::path& path, std::vector<ServedRing> queues,
                                              Describe describe) {
  auto socket = hw::listen_unix(path, hw::Audience::owner, hw::SocketKind::packets);
  if (!socket && socket.error().code == std::errc::address_in_use) {
    return input_error(
        fmt::format("listen on {}: a capture of that name is running; choose another --name", path.native()));
  }
  if (!socket) return socket.error();
  return ListenerServer(std::move(*socket), path, std::move(queues), std::move(describe));
}

ListenerServer::ListenerServer(Fd socket, std::filesystem::path path, std::vector<ServedRing> queues, Describe describe)
    : socket_(std::move(socket)), path_(std::move(path)), queues_(std::move(queues)), describe_(std::move(describe)) {}

ListenerServer::~ListenerServer() {
  for (Client& client : clients_) drop(client);
  if (!socket_) return;  // moved from
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

void ListenerServer::serve(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    serve_once(static_cast<int>(time.count()));
    time = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  } while (time.count() > 0);
}

void ListenerServer::serve_once(int timeout_ms) {
  std::vector<pollfd> watched{{socket_.get(), POLLIN, 0}};
  for (const Client& client : clients_) watched.push_back({client.connection.get(), POLLIN, 0});
  if (::poll(watched.data(), watched.size(), timeout_ms) <= 0) return;
  for (std::size_t i = clients_.size(); i-- > 0;) {
    if (watched[i + 1].revents == 0) continue;
    if (!answer(clients_[i])) {
      drop(clients_[i]);
      clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  if (watched[0].revents != 0) accept_client();
}

void ListenerServer::accept_client() {
  Fd connection{::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
  if (!connection || clients_.size() >= most_clients()) return;
  const int pid = peer_pid(connection.get());
  clients_.push_back({std::move(connection), pid, -1, 0, {}});
}

// False: the connection has ended, or says what no listener says.
bool ListenerServer::answer(Client& client) {
  wire::Request request;
  const auto got = ::recv(client.connection.get(), &request, sizeof(request), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got != sizeof(request) || request.magic != wire::kMagic) return false;
  if (request.verb == wire::Verb::info) {
    std::string text = describe_();
    if (text.size() > wire::kMaxText) return false;
    const wire::Reply reply;
    return wire::send_packet(client.connection.get(), &reply, sizeof(reply), text, 0, {});
  }
  return request.verb == wire::Verb::attach && client.slot < 0 && admit(client, request.kind, request.queue);
}

bool ListenerServer::admit(Client& client, std::uint32_t kind, std::uint32_t queue) {
  const auto fail = [&client](std::string_view why) {
    wire::Reply reply;
    reply.failed = 1;
    return wire::send_packet(client.connection.get(), &reply, sizeof(reply), why, 0, {});
  };
  if (kind != static_cast<std::uint32_t>(ListenerKind::lossless) &&
      kind != static_cast<std::uint32_t>(ListenerKind::overwritable)) {
    return fail("unknown kind of listener");
  }
  if (queue >= queues_.size()) {
    return fail(fmt::format("there is no queue {}; the capture has {}, counted from 0", queue, queues_.size()));
  }
  const ServedRing& served = queues_[queue];
  auto joined = served.table->join(*served.ring, static_cast<ListenerKind>(kind));
  if (!joined) return fail(joined.error().text);
  client.slot = joined->slot;
  client.queue = queue;
  client.joined = joined->start;
  wire::Reply reply;
  reply.queues = static_cast<std::uint32_t>(queues_.size());
  reply.position = joined->start.position;
  reply.frame = joined->start.frame;
  return wire::send_packet(client.connection.get(), &reply, sizeof(reply), {}, 2,
                           {served.ring->fd(), joined->page.get()});
}

void ListenerServer::drop(Client& client) noexcept {
  if (client.slot >= 0) queues_[client.queue].table->leave(static_cast<unsigned>(client.slot));
  client.slot = -1;
}

std::vector<ListenerState> ListenerServer::listeners() const {
  std::vector<ListenerState> all;
  for (const Client& client : clients_) {
    if (client.slot < 0) continue;
    const auto slot = static_cast<unsigned>(client.slot);
    const ServedRing& served = queues_[client.queue];
    const RingPoint end = served.ring->published();
    const SlotPage& page = served.table->page(slot);
    // Relaxed: numbers for people, from a process that may write anything here.
    const std::uint64_t position = page.position.load(std::memory_order_relaxed);
    all.push_back({client.pid, client.queue, *served.table->kind(slot), client.joined,
                   end.position - std::min(end.position, position), page.frames_read.load(std::memory_order_relaxed),
                   page.frames_lapped.load(std::memory_order_relaxed)});
  }
  return all;
}

}  // namespace vigia::vf
