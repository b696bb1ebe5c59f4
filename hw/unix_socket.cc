// SPDX-License-Identifier: Apache-2.0
#include "hw/unix_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <thread>

namespace vigia::hw {
namespace {

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.empty() || text.size() >= sizeof address.sun_path) {
    return input_error(fmt::format("socket path '{}': {} bytes; the system takes 1 to {}: use a shorter folder", text,
                                   text.size(), sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  // SAFETY: the socket interface takes every address family through this cast.
  return reinterpret_cast<const sockaddr*>(&address);
}

Fd socket_of(SocketKind kind, int flags) {
  return Fd(::socket(AF_UNIX, (kind == SocketKind::stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC | flags, 0));
}

// 0 or the errno. Between its bind() and its listen() a server refuses, and seems dead: while the file is new, it has
// time to come that far.
int connect_to(const Fd& fd, const sockaddr_un& address) {
  constexpr std::chrono::nanoseconds kNew = std::chrono::seconds(1);
  while (::connect(fd.get(), generic(address), sizeof address) != 0) {
    const int error = errno;
    struct stat file {};
    timespec now{};
    if (error != ECONNREFUSED || ::stat(address.sun_path, &file) != 0) return error;
    ::clock_gettime(CLOCK_REALTIME, &now);
    const auto age = std::chrono::seconds(now.tv_sec - file.st_ctim.tv_sec) +
                     std::chrono::nanoseconds(now.tv_nsec - file.st_ctim.tv_nsec);
    if (age < -kNew || age >= kNew) return error;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return 0;
}

Error in_use(const std::filesystem::path& path) {
  return Error{std::errc::address_in_use,
               "socket path " + path.native() + ": another process serves it; stop that one or choose another folder"};
}

// Whether path may be bound: free, or a socket that nobody serves (which is removed).
Result<Done> clear_stale(const std::filesystem::path& path, const sockaddr_un& address, SocketKind kind) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return Done{};
    return os_error("look at socket path " + path.native());
  }
  if (!S_ISSOCK(st.st_mode)) {
    return input_error("socket path " + path.native() +
                       ": a file that is no socket is there; remove it or choose another folder");
  }
  const Fd probe = socket_of(kind, SOCK_NONBLOCK);
  if (!probe) return os_error("create a socket");
  // EAGAIN: somebody listens and has a full backlog; EPROTOTYPE: to another kind of socket.
  if (const int error = connect_to(probe, address); error == 0 || error == EAGAIN || error == EPROTOTYPE) {
    return in_use(path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return os_error("remove stale socket " + path.native());
  return Done{};
}

}  // namespace

Result<Fd> connect_unix(const std::filesystem::path& path, int timeout_ms, SocketKind kind) {
  const auto address = address_of(path);
  if (!address) return address.error();
  Fd fd = socket_of(kind, 0);
  if (!fd) return os_error("create a socket");
  const timeval limit{timeout_ms / 1000, timeout_ms % 1000 * 1000};  // zero: none
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
    return os_error("set a time limit on a socket");
  }
  if (const int error = connect_to(fd, *address); error != 0) return os_error("connect to " + path.native(), error);
  return fd;
}

Result<Fd> listen_unix(const std::filesystem::path& path, Audience audience, SocketKind kind) {
  const auto address = address_of(path);
  if (!address) return address.error();
  if (auto free = clear_stale(path, *address, kind); !free) return free.error();
  Fd fd = socket_of(kind, SOCK_NONBLOCK);
  if (!fd) return os_error("create a socket");
  // On the socket before it has a name: no moment in which others can connect. (A umask is for all threads.)
  if (audience == Audience::owner && ::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) return os_error("restrict a socket");
  if (::bind(fd.get(), generic(*address), sizeof *address) != 0) {
    if (errno == EADDRINUSE) return in_use(path);  // by somebody who was quicker
    return os_error("bind socket " + path.native());
  }
  constexpr int kBacklog = 16;  // who waits there is refused at the next poll
  if (::listen(fd.get(), kBacklog) != 0) return os_error("listen on " + path.native());
  return fd;
}

}  // namespace vigia::hw
