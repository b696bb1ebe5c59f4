// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/virtio/front_end.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "hw/fd_passing.h"
#include "hw/unix_socket.h"

namespace vigia::vf::virtio {

using hw::vhost_user::Request;
namespace flag = hw::vhost_user::Flag;

namespace {

constexpr int kAnswerMs = 5000;

std::string_view text_of(Request request) {
  switch (request) {
    case Request::get_features:
    case Request::set_features:
      return "features";
    case Request::get_protocol_features:
    case Request::set_protocol_features:
      return "protocol features";
    case Request::set_owner:
      return "ownership";
    case Request::set_mem_table:
      return "memory";
    case Request::set_vring_num:
    case Request::set_vring_addr:
    case Request::set_vring_base:
      return "ring layout";
    case Request::set_vring_kick:
    case Request::set_vring_call:
      return "ring signals";
    case Request::get_vring_base:
      return "ring stop";
    case Request::set_vring_enable:
      return "ring start";
  }
  return "request";
}

struct Nothing {};

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  if constexpr (std::is_same_v<T, Nothing>) return {};
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

Result<FrontEnd> FrontEnd::connect(const std::filesystem::path& socket) {
  auto fd = hw::connect_unix(socket, kAnswerMs);
  if (!fd) {
    Error error = fd.error();
    error.text += "; is a vhost-user back end (a server of this socket) running?";
    return error;
  }
  FrontEnd front(std::move(*fd), "vhost-user:" + socket.native());
  if (auto owned = front.send(Request::set_owner, {}, {}, 0); !owned) return owned.error();
  return front;
}

Error FrontEnd::refused(Request request, const std::string& why) const {
  return work_error(fmt::format("{}, {}: {}", name_, text_of(request), why));
}

Result<Done> FrontEnd::send(Request request, Bytes payload, std::span<const int> fds, std::uint32_t flags) {
  const hw::vhost_user::Header header{request, flag::version | flags, static_cast<std::uint32_t>(payload.size())};
  const ssize_t wanted = static_cast<ssize_t>(sizeof header + payload.size());
  // Far smaller than a socket's buffer: it goes at once or not at all.
  if (hw::send_with_fds(socket_.get(), std::as_bytes(std::span(&header, 1)), payload, fds, 0) == wanted) return Done{};
  return refused(request, errno == EPIPE ? "the back end is gone" : os_error("send").text);
}

Result<Done> FrontEnd::receive(Request request, std::span<std::byte> payload) {
  hw::vhost_user::Header header{};
  std::vector<std::byte> message(sizeof header + payload.size());
  std::size_t have = 0;
  while (have < message.size()) {
    std::vector<Fd> unwanted;  // no answer of those we ask for carries any: closed again
    const auto got = hw::receive_with_fds(socket_.get(), std::span(message).subspan(have), unwanted, 0);
    if (got.bytes == 0) return refused(request, "the back end has closed the connection");
    if (got.bytes < 0 && errno == EINTR) continue;
    if (got.bytes < 0) {
      const bool late = errno == EAGAIN || errno == EWOULDBLOCK;
      return refused(request, late ? fmt::format("no answer within {} ms", kAnswerMs) : os_error("receive").text);
    }
    have += static_cast<std::size_t>(got.bytes);
  }
  std::memcpy(&header, message.data(), sizeof header);
  if (header.request != request || (header.flags & flag::reply) == 0 ||
      (header.flags & flag::version_mask) != flag::version || header.bytes != payload.size()) {
    return refused(request, fmt::format("the answer is none: request {}, flags {:#x}, {} bytes",
                                        static_cast<std::uint32_t>(header.request), header.flags, header.bytes));
  }
  if (!payload.empty()) std::memcpy(payload.data(), message.data() + sizeof header, payload.size());
  return Done{};
}

template <class Payload>
Result<Done> FrontEnd::tell(Request request, const Payload& payload, std::span<const int> fds) {
  if (auto sent = send(request, bytes_of(payload), fds, acknowledges_ ? flag::need_reply : 0); !sent) return sent;
  if (!acknowledges_) return Done{};
  std::uint64_t failed = 0;
  if (auto got = receive(request, std::as_writable_bytes(std::span(&failed, 1))); !got) return got;
  if (failed != 0) return refused(request, fmt::format("the back end refused it ({})", failed));
  return Done{};
}

template <class Answer, class Payload>
Result<Answer> FrontEnd::ask(Request request, const Payload& payload) {
  if (auto sent = send(request, bytes_of(payload), {}, 0); !sent) return sent.error();
  Answer answer{};
  if (auto got = receive(request, std::as_writable_bytes(std::span(&answer, 1))); !got) return got.error();
  return answer;
}

Result<std::uint64_t> FrontEnd::features() { return ask<std::uint64_t>(Request::get_features, Nothing{}); }

Result<Done> FrontEnd::set_features(std::uint64_t features) { return tell(Request::set_features, features); }

Result<Done> FrontEnd::negotiate_protocol() {
  const auto offered = ask<std::uint64_t>(Request::get_protocol_features, Nothing{});
  if (!offered) return offered.error();
  const std::uint64_t wanted = *offered & hw::vhost_user::Protocol::reply_ack;
  if (auto told = tell(Request::set_protocol_features, wanted); !told) return told;
  acknowledges_ = wanted != 0;
  return Done{};
}

Result<Done> FrontEnd::share(const hw::DmaMemory& memory, hw::Iova guest_address) {
  hw::vhost_user::MemoryTable table{};
  table.regions = 1;
  table.region = {hw::to_integer(guest_address), memory.size(), reinterpret_cast<std::uintptr_t>(memory.data()), 0};
  const std::array<int, 1> fds{memory.fd()};
  return tell(Request::set_mem_table, table, fds);
}

Result<Done> FrontEnd::start_ring(const RingSetup& ring) {
  const hw::virtio::QueueParts parts = hw::virtio::parts_of(ring.size, ring.packed);
  const auto at = reinterpret_cast<std::uintptr_t>(ring.memory);
  // Packed rings: index 0 in both directions with wrap counters at 1, available in bit 15, used in bit 31.
  const std::uint32_t base = ring.packed ? 0x8000'8000u : 0;
  const hw::vhost_user::VringAddress address{ring.index,        0, at + parts.descriptors, at + parts.device,
                                             at + parts.driver, 0};
  const std::array<int, 1> call{ring.call}, kick{ring.kick};
  const std::uint64_t index = ring.index;
  using State = hw::vhost_user::VringState;
  Result<Done> step = tell(Request::set_vring_num, State{ring.index, ring.size});
  if (step) step = tell(Request::set_vring_base, State{ring.index, base});
  if (step) step = tell(Request::set_vring_addr, address);
  if (step) step = tell(Request::set_vring_call, index, call);
  if (step) step = tell(Request::set_vring_kick, index, kick);
  if (step) step = tell(Request::set_vring_enable, State{ring.index, 1});
  return step;
}

Result<Done> FrontEnd::stop_ring(unsigned index) {
  using State = hw::vhost_user::VringState;
  const auto base = ask<State>(Request::get_vring_base, State{index, 0});
  if (!base) return base.error();
  return Done{};
}

bool FrontEnd::connected() const noexcept {
  std::byte unread{};
  const ssize_t n = ::recv(socket_.get(), &unread, 1, MSG_PEEK | MSG_DONTWAIT);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

}  // namespace vigia::vf::virtio
