// SPDX-License-Identifier: Apache-2.0
#include "hw/vfio_user_channel.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "hw/fd_passing.h"
#include "hw/unix_socket.h"

namespace vigia::hw {
namespace {

using namespace vfio_user;
using Clock = std::chrono::steady_clock;

constexpr int kReplyLimitMs = 5000;    // what QEMU allows a server
constexpr int kGoodbyeLimitMs = 1000;  // own choice: an orderly server answers in microseconds

constexpr std::string_view kOurCapabilities =
    R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"pgsizes":4096,"write_multiple":false}})";

// What the server said about descriptors in one message; 1 where it says nothing (protocol document).
Result<unsigned> max_fds_in(std::string_view text) {
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return work_error("capabilities that are no JSON object");
  const auto capabilities = json.find("capabilities");
  if (capabilities == json.end() || !capabilities->is_object()) return 1u;
  const auto value = capabilities->find("max_msg_fds");
  if (value == capabilities->end() || !value->is_number_unsigned()) return 1u;
  return static_cast<unsigned>(std::clamp<std::uint64_t>(value->get<std::uint64_t>(), 1, kMaxFds));
}

}  // namespace

Result<std::unique_ptr<VfioUserChannel>> VfioUserChannel::connect(const std::filesystem::path& path) {
  auto socket = connect_unix(path, kReplyLimitMs);
  if (!socket) {
    Error error = socket.error();
    const bool absent =
        error.code == std::errc::no_such_file_or_directory || error.code == std::errc::connection_refused;
    if (absent) error.text += "; no device is served there: is vigia-softnic running with this --dir?";
    return error;
  }
  std::unique_ptr<VfioUserChannel> channel(new VfioUserChannel(std::move(*socket), path.native()));
  if (auto agreed = channel->negotiate(); !agreed) return agreed.error();
  return channel;
}

VfioUserChannel::~VfioUserChannel() {
  // A close with unread input turns into ECONNRESET at the other end, so read to the end first (vfio-user.md 9).
  ::shutdown(socket_.get(), SHUT_WR);
  const auto deadline = Clock::now() + std::chrono::milliseconds(kGoodbyeLimitMs);
  std::array<std::byte, 4096> rest;
  while (!dead_.load(std::memory_order_relaxed) && Clock::now() < deadline) {  // relaxed: our own thread wrote it
    pollfd p{socket_.get(), POLLIN, 0};
    if (::poll(&p, 1, kGoodbyeLimitMs) <= 0) break;
    if (::recv(socket_.get(), rest.data(), rest.size(), MSG_DONTWAIT) <= 0) break;
  }
}

bool VfioUserChannel::alive() const noexcept {
  // relaxed: the flag only ever turns to true and guards no other data
  if (dead_.load(std::memory_order_relaxed)) return false;
  pollfd p{socket_.get(), POLLRDHUP, 0};
  if (::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
    dead_.store(true, std::memory_order_relaxed);
    return false;
  }
  return true;
}

Result<Done> VfioUserChannel::negotiate() {
  std::vector<std::byte> payload(sizeof(Version) + kOurCapabilities.size() + 1);
  const Version ours{0, 0};
  std::memcpy(payload.data(), &ours, sizeof ours);
  std::memcpy(payload.data() + sizeof ours, kOurCapabilities.data(), kOurCapabilities.size());
  auto reply = request("negotiate the protocol version", Command::version, payload);
  if (!reply) {
    Error error = reply.error();
    if (!alive()) error.text += "; a function takes one driver at a time: is another one attached?";
    return error;
  }
  Version theirs{};
  if (reply->payload.size() < sizeof theirs) return lost("negotiate the protocol version", "its reply is too short");
  std::memcpy(&theirs, reply->payload.data(), sizeof theirs);
  if (theirs.major != ours.major || theirs.minor > ours.minor) {
    return lost("negotiate the protocol version",
                fmt::format("it speaks vfio-user {}.{}, we speak 0.0", theirs.major, theirs.minor));
  }
  if (reply->payload.size() == sizeof theirs) return Done{};
  // SAFETY: bytes seen as characters.
  const std::string_view text(reinterpret_cast<const char*>(reply->payload.data()) + sizeof theirs,
                              reply->payload.size() - sizeof theirs);
  const auto fds = max_fds_in(text);
  if (!fds) return lost("negotiate the protocol version", "it sent " + fds.error().text);
  max_fds_ = *fds;
  return Done{};
}

Result<VfioUserChannel::Reply> VfioUserChannel::request(std::string_view what, Command command,
                                                        std::span<const std::byte> payload, std::span<const int> fds) {
  if (auto sent = send(what, command, kRequest, payload, fds); !sent) return sent.error();
  return receive(what, command);
}

Result<Done> VfioUserChannel::post(std::string_view what, Command command, std::span<const std::byte> payload) {
  return send(what, command, kRequest | kNoReply, payload, {});
}

Result<Done> VfioUserChannel::send(std::string_view what, Command command, std::uint32_t flags,
                                   std::span<const std::byte> payload, std::span<const int> fds) {
  // relaxed here and below: only this thread acts on it
  if (dead_.load(std::memory_order_relaxed)) return lost(what, "the device is gone");
  const Header header{++last_id_, static_cast<std::uint16_t>(command),
                      static_cast<std::uint32_t>(sizeof(Header) + payload.size()), flags, 0};
  std::span<const std::byte> head = std::as_bytes(std::span(&header, 1)), body = payload;
  const auto deadline = Clock::now() + std::chrono::milliseconds(kReplyLimitMs);
  while (!head.empty() || !body.empty()) {
    if (head.empty()) std::swap(head, body);
    const ssize_t n = send_with_fds(socket_.get(), head, body, fds, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN) && Clock::now() < deadline) continue;
    if (n < 0 && errno == EAGAIN) return lost(what, "the device takes no request for 5 s");
    if (n < 0) return lost(what, std::string("send: ") + std::strerror(errno));
    const auto sent = static_cast<std::size_t>(n);
    const std::size_t of_head = std::min(sent, head.size());
    head = head.subspan(of_head);
    body = body.subspan(sent - of_head);
    fds = {};
  }
  return Done{};
}

Result<Done> VfioUserChannel::receive_all(std::string_view what, std::span<std::byte> into, std::vector<Fd>& fds) {
  auto deadline = Clock::now() + std::chrono::milliseconds(kReplyLimitMs);
  while (!into.empty()) {
    const Received r = receive_with_fds(socket_.get(), into, fds, 0);
    const bool again = r.bytes < 0 && (errno == EINTR || errno == EAGAIN);
    // Whoever was stopped (SIGSTOP) finds its time over and the reply waiting: the time begins anew.
    if (r.bytes < 0 && errno == EINTR) deadline = Clock::now() + std::chrono::milliseconds(kReplyLimitMs);
    if (r.bytes == 0) return lost(what, "the device closed the connection");
    if (r.bytes < 0 && !again) return lost(what, std::string("receive: ") + std::strerror(errno));
    if (r.fds_lost) return lost(what, "descriptors in the reply were lost; too many open files?");
    if (r.bytes > 0) into = into.subspan(static_cast<std::size_t>(r.bytes));
    if (!into.empty() && Clock::now() >= deadline) return lost(what, "no reply within 5 s");
  }
  return Done{};
}

Result<VfioUserChannel::Reply> VfioUserChannel::receive(std::string_view what, Command command) {
  Header header{};
  Reply reply;
  if (auto got = receive_all(what, std::as_writable_bytes(std::span(&header, 1)), reply.fds); !got) return got.error();
  if ((header.flags & kTypeMask) != kReply || header.id != last_id_ ||
      header.command != static_cast<std::uint16_t>(command) || header.size < sizeof header ||
      header.size > kMaxMessage) {
    return lost(what, fmt::format("a reply that does not fit (id {} command {} size {} flags {:#x}; expected id {})",
                                  header.id, header.command, header.size, header.flags, last_id_));
  }
  reply.payload.resize(header.size - sizeof header);
  if (auto got = receive_all(what, reply.payload, reply.fds); !got) return got.error();
  if ((header.flags & kError) != 0) {
    return os_error(fmt::format("{} on {}: refused by the device", what, path_), static_cast<int>(header.error));
  }
  return reply;
}

Error VfioUserChannel::lost(std::string_view what, std::string_view why) {
  dead_.store(true, std::memory_order_relaxed);
  return {std::errc::not_connected, fmt::format("{} on {}: {}", what, path_, why)};
}

}  // namespace vigia::hw
