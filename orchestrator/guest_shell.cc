// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/guest_shell.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "hw/unix_socket.h"

namespace vigia::orch {
namespace {

constexpr std::size_t kMostOutput = 16u << 20;
constexpr std::string_view kEnd = "\n##EXIT ";

// The answer, once its last line is there. Before it may stand what an earlier caller did not read.
std::optional<ShellAnswer> finished(std::string_view received, std::string_view mark) {
  const std::size_t begin = received.find(mark);
  if (begin == std::string_view::npos) return std::nullopt;
  received.remove_prefix(begin + mark.size());
  const std::size_t end = received.find(kEnd);
  const std::size_t newline = end == std::string_view::npos ? end : received.find('\n', end + kEnd.size());
  if (newline == std::string_view::npos) return std::nullopt;
  ShellAnswer out{std::string(received.substr(0, end)), 0};
  const std::string_view status = received.substr(end + kEnd.size(), newline - end - kEnd.size());
  std::from_chars(status.data(), status.data() + status.size(), out.exit_status);
  return out;
}

}  // namespace

Result<ShellAnswer> run_in_guest(const std::filesystem::path& socket, std::string_view line,
                                 std::chrono::milliseconds limit, const std::function<bool()>& interrupted) {
  if (line.find('\n') != std::string_view::npos) {
    return input_error("a command in a guest is one line; separate commands by ';'");
  }
  auto fd = hw::connect_unix(socket);
  if (!fd) return Error{fd.error().code, "the guest's shell: " + fd.error().text + "; is the VM up?"};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  // The mark is not in the request as it is in the answer, should the port echo.
  const std::string mark = fmt::format("##BEGIN {}\n", ::getpid());
  std::string to_send = fmt::format("printf '##%s {}\\n' BEGIN; {}\n", ::getpid(), line);
  std::string received;
  for (;;) {
    if (interrupted()) return work_error("interrupted");
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{std::errc::timed_out, fmt::format("{}: no answer within {} s; so far: '{}'", socket.string(),
                                                     limit.count() / 1000, received.substr(0, 400))};
    }
    pollfd ready{fd->get(), static_cast<short>(to_send.empty() ? POLLIN : POLLIN | POLLOUT), 0};
    if (::poll(&ready, 1, 100) < 0 && errno != EINTR) return os_error("wait for the guest's shell");
    if ((ready.revents & POLLOUT) != 0) {
      const ssize_t n = ::send(fd->get(), to_send.data(), to_send.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) to_send.erase(0, static_cast<std::size_t>(n));
    }
    if ((ready.revents & (POLLIN | POLLHUP)) == 0) continue;
    std::array<char, 16384> buffer;
    const ssize_t n = ::recv(fd->get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n == 0) return work_error(fmt::format("{}: the VM is gone", socket.string()));
    if (n < 0) continue;  // EAGAIN, EINTR
    received.append(buffer.data(), static_cast<std::size_t>(n));
    if (received.size() > kMostOutput) return work_error(fmt::format("{}: the output is too long", socket.string()));
    if (auto answer = finished(received, mark)) return std::move(*answer);
  }
}

}  // namespace vigia::orch
