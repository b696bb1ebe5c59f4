// SPDX-License-Identifier: Apache-2.0
#include "softnic/server.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <deque>
#include <optional>

#include "hw/fd_passing.h"
#include "hw/log.h"
#include "hw/unix_socket.h"
#include "softnic/connection.h"

namespace vigia::softnic {
namespace {

using Clock = std::chrono::steady_clock;

// Messages of one client before it is the next one's turn: some 100 us of trapped register accesses.
constexpr unsigned kTurn = 64;
// How long a connection that we end may take to say goodbye, and how many do so at a time.
constexpr std::chrono::milliseconds kLinger{500};
constexpr std::size_t kMaxLeaving = 64;
constexpr int kLeavingPollMs = 20;
// How long a message may be under way. Without an end to it, a client that sends half a message together with its own
// end of the socket would never be seen to leave: we would hold that end open ourselves.
constexpr std::chrono::seconds kMessageLimit{2};
constexpr int kStalledPollMs = 100;

}  // namespace

struct Server::Impl {
  struct Endpoint;
  // What an epoll event points to. Lives as long as its endpoint, so that an event is never stale.
  struct Source {
    Endpoint* endpoint;
    bool listener;
    std::function<bool()> ready{};  // of a watched descriptor, which has no endpoint
    int fd = -1;
  };
  struct Endpoint {
    Endpoint(FunctionModel& m, std::filesystem::path p, Fd l) : model(m), path(std::move(p)), listener(std::move(l)) {}
    FunctionModel& model;
    std::filesystem::path path;  // empty: adopted, no listener
    Fd listener;
    std::unique_ptr<Connection> client;
    bool watching_output = false;
    std::optional<Clock::time_point> message_until;  // while a message is under way
    Source from_listener{this, true}, from_client{this, false};
  };
  // A connection that we ended: input is thrown away until the peer closes or the time is up. A plain close() with
  // unread input would be a reset to the peer, and QEMU aborts on one.
  struct Leaving {
    Fd socket;
    Clock::time_point until;
  };

  Fd epoll;
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  std::vector<std::unique_ptr<Source>> others;  // descriptors that are no sockets of clients
  std::deque<Leaving> leaving;
  unsigned under_way = 0;  // endpoints with message_until
  bool accept_failure_said = false;

  Result<Done> watch(int fd, Source& source);
  Result<Done> attach(Endpoint& e, Fd socket);
  void accept_client(Endpoint& e);
  unsigned serve(Endpoint& e);
  void watch_output(Endpoint& e, bool on);
  void detach(Endpoint& e);
  void dismiss(Fd socket);
  void reap();
  void note_progress(Endpoint& e, bool in_message, bool any_served);
  void end_stalled();
};

Result<Done> Server::Impl::watch(int fd, Source& source) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &source;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) return os_error("watch a socket");
  return Done{};
}

Result<Done> Server::Impl::attach(Endpoint& e, Fd socket) {
  if (auto watched = watch(socket.get(), e.from_client); !watched) return watched;
  e.client = std::make_unique<Connection>(std::move(socket), e.model);
  e.watching_output = false;
  log::debug("{}: a driver is attached", e.model.name());
  return Done{};
}

void Server::Impl::accept_client(Endpoint& e) {
  if (e.client != nullptr) {
    // A driver that was killed and started again at once: the old connection is served to its end first, the new one
    // waits in the backlog until then.
    pollfd p{e.client->socket(), 0, 0};
    if (::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0) return;
  }
  Fd socket(::accept4(e.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED && !std::exchange(accept_failure_said, true)) {
      log::error("{}: {}", e.model.name(), os_error("accept a driver").text);
    }
    return;
  }
  if (e.client != nullptr) {
    log::warning("{}: a second driver was turned away; one at a time", e.model.name());
    dismiss(std::move(socket));
    return;
  }
  if (auto attached = attach(e, std::move(socket)); !attached) {
    log::error("{}: {}", e.model.name(), attached.error().text);
  }
}

unsigned Server::Impl::serve(Endpoint& e) {
  if (e.client == nullptr) return 0;  // ended earlier in this batch of events
  const unsigned served = e.client->serve(kTurn);
  note_progress(e, e.client->in_message(), served > 0);
  if (e.client->usable()) {
    watch_output(e, e.client->wants_to_send());
  } else {
    detach(e);
  }
  return served;
}

// A message that is begun gets a deadline, which goes when it is whole; the next one that is begun gets its own.
void Server::Impl::note_progress(Endpoint& e, bool in_message, bool any_served) {
  if (e.message_until && (!in_message || any_served)) {
    e.message_until.reset();
    --under_way;
  }
  if (in_message && !e.message_until) {
    e.message_until = Clock::now() + kMessageLimit;
    ++under_way;
  }
}

void Server::Impl::end_stalled() {
  const auto now = Clock::now();
  for (auto& e : endpoints) {
    if (!e->message_until || now < *e->message_until) continue;
    e->client->give_up("a message that was begun has not come to its end for 2 s");
    detach(*e);
  }
}

void Server::Impl::watch_output(Endpoint& e, bool on) {
  if (e.watching_output == on) return;
  epoll_event event{};
  event.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &e.from_client;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_MOD, e.client->socket(), &event) == 0) e.watching_output = on;
}

void Server::Impl::detach(Endpoint& e) {
  note_progress(e, false, false);
  ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, e.client->socket(), nullptr);
  Fd socket = e.client->take_socket();
  e.client.reset();
  log::debug("{}: the driver is gone", e.model.name());
  dismiss(std::move(socket));
}

void Server::Impl::dismiss(Fd socket) {
  ::shutdown(socket.get(), SHUT_WR);
  if (leaving.size() >= kMaxLeaving) leaving.pop_front();
  leaving.push_back({std::move(socket), Clock::now() + kLinger});
  reap();
}

void Server::Impl::reap() {
  const auto now = Clock::now();
  std::array<std::byte, 4096> rest;
  std::erase_if(leaving, [&](const Leaving& l) {
    constexpr unsigned kReads = 64;  // per look; a peer that floods us is closed when its time is up
    for (unsigned i = 0; i < kReads; ++i) {
      const ssize_t n = ::recv(l.socket.get(), rest.data(), rest.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return true;
      if (n < 0) break;
    }
    return now >= l.until;
  });
}

Server::Server() : impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<Server>> Server::create() {
  std::unique_ptr<Server> server(new Server());
  server->impl_->epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!server->impl_->epoll) return os_error("create an epoll instance");
  return server;
}

Server::~Server() { close(); }

Result<Done> Server::listen(const std::filesystem::path& path, FunctionModel& model) {
  auto listener = hw::listen_unix(path, hw::Audience::anyone);
  if (!listener) return listener.error();
  auto endpoint = std::make_unique<Impl::Endpoint>(model, path, std::move(*listener));
  if (auto watched = impl_->watch(endpoint->listener.get(), endpoint->from_listener); !watched) return watched;
  impl_->endpoints.push_back(std::move(endpoint));
  return Done{};
}

Result<Done> Server::adopt(Fd socket, FunctionModel& model) {
  auto& all = impl_->endpoints;
  auto found = std::find_if(all.begin(), all.end(), [&](const auto& e) { return &e->model == &model; });
  if (found == all.end()) found = all.insert(all.end(), std::make_unique<Impl::Endpoint>(model, "", Fd()));
  if ((*found)->client != nullptr) {
    return Error{std::errc::device_or_resource_busy, model.name() + ": a driver is attached already"};
  }
  return impl_->attach(**found, std::move(socket));
}

Result<Done> Server::watch(int fd, std::function<bool()> ready) {
  auto source = std::unique_ptr<Impl::Source>(new Impl::Source{nullptr, false, std::move(ready), fd});
  if (auto watched = impl_->watch(fd, *source); !watched) return watched;
  impl_->others.push_back(std::move(source));
  return Done{};
}

void Server::wait(std::chrono::nanoseconds limit) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  pollfd p{impl_->epoll.get(), POLLIN, 0};
  const timespec time{limit.count() / kSecond, limit.count() % kSecond};
  ::ppoll(&p, 1, &time, nullptr);  // a signal ends the wait early, which is as good as a timeout
}

unsigned Server::poll(int timeout_ms) {
  constexpr int kEvents = 64;
  std::array<epoll_event, kEvents> events;
  if (!impl_->leaving.empty()) {
    impl_->reap();
    if (timeout_ms < 0 || timeout_ms > kLeavingPollMs) timeout_ms = kLeavingPollMs;
  }
  if (impl_->under_way != 0) {
    impl_->end_stalled();
    if (timeout_ms < 0 || timeout_ms > kStalledPollMs) timeout_ms = kStalledPollMs;
  }
  const int n = ::epoll_wait(impl_->epoll.get(), events.data(), kEvents, timeout_ms);
  unsigned served = 0;
  for (int i = 0; i < n; ++i) {
    const auto& source = *static_cast<Impl::Source*>(events[static_cast<std::size_t>(i)].data.ptr);
    if (source.endpoint == nullptr) {
      ++served;
      if (!source.ready()) ::epoll_ctl(impl_->epoll.get(), EPOLL_CTL_DEL, source.fd, nullptr);
    } else if (source.listener) {
      impl_->accept_client(*source.endpoint);
    } else {
      served += impl_->serve(*source.endpoint);
    }
  }
  return served;
}

void Server::close() {
  for (auto& e : impl_->endpoints) {
    if (e->client != nullptr) impl_->detach(*e);
    if (!e->path.empty()) ::unlink(e->path.c_str());
  }
  impl_->endpoints.clear();
  const auto deadline = Clock::now() + kLinger;
  while (!impl_->leaving.empty() && Clock::now() < deadline) {
    impl_->reap();
    if (!impl_->leaving.empty()) ::poll(nullptr, 0, 1);
  }
  impl_->leaving.clear();
}

}  // namespace vigia::softnic
