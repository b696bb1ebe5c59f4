// SPDX-License-Identifier: Apache-2.0
#include "hw/unix_socket.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

namespace vigia::hw {
namespace {

constexpr int kBacklog = 4;

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.empty() || text.size() >= sizeof(address.sun_path)) {
    return input_error(fmt::format("socket '{}': a socket's path has 1 to {} bytes; choose a shorter one", text,
                                   sizeof(address.sun_path) - 1));
  }
  std::copy(text.begin(), text.end(), address.sun_path);
  return address;
}

// SAFETY: the sockets API takes every address family through its common beginning.
const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

}  // namespace

Result<Fd> connect_unix(const std::filesystem::path& path) {
  const auto address = address_of(path);
  if (!address) return address.error();
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), generic(*address), sizeof(*address)) != 0) {
    return os_error("connect to socket " + path.string());
  }
  return fd;
}

Result<Fd> listen_unix(const std::filesystem::path& path) {
  const auto address = address_of(path);
  if (!address) return address.error();
  if (connect_unix(path)) {
    return input_error(
        fmt::format("listen at {}: another process answers there; stop it or choose another path", path.string()));
  }
  struct stat found {};
  if (::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) ::unlink(path.c_str());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // On the socket itself, before it has a name: no moment in which others can connect. (A umask is for all threads.)
  if (!fd || ::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0 || ::bind(fd.get(), generic(*address), sizeof(*address)) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return os_error("listen at " + path.string());
  }
  return fd;
}

}  // namespace vigia::hw
