// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

#include "hw/unix_socket.h"
#include "vfdriver/listener_protocol.h"
#include "vfdriver/listener_server.h"

namespace vigia::vf {
namespace listener_protocol {

Result<Fd> connect_to(const std::filesystem::path& path) {
  auto socket = hw::connect_unix(path, kTimeoutSeconds * 1000, hw::SocketKind::packets);
  if (!socket) {
    Error error = socket.error();
    error.text += "; is a vigia-capture of that name running?";
    return error;
  }
  return socket;
}

bool send_packet(int socket, const void* head, std::size_t head_bytes, std::string_view text, int fd_count,
                 const std::array<int, 2>& fds) {
  // sendmsg does not write through its iovecs; the casts are the API's.
  iovec parts[2] = {{const_cast<void*>(head), head_bytes}, {const_cast<char*>(text.data()), text.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(fds))> control{};
  if (fd_count > 0) {
    const std::size_t bytes = static_cast<std::size_t>(fd_count) * sizeof(int);
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(part), fds.data(), bytes);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(head_bytes + text.size());
}

}  // namespace listener_protocol

namespace wire = listener_protocol;

namespace {

struct Answer {
  wire::Reply reply;
  std::string text;
  std::array<Fd, 2> fds;
};

// One packet of the capture process, with its descriptors. Foreign bytes.
Result<Answer> receive_answer(int socket, const std::string& what) {
  Answer answer;
  answer.text.resize(wire::kMaxText);
  iovec parts[2] = {{&answer.reply, sizeof(answer.reply)}, {answer.text.data(), answer.text.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const auto got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got < 0) return os_error(what);
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = std::min((part->cmsg_len - CMSG_LEN(0)) / sizeof(int), answer.fds.size());
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
      answer.fds[i] = Fd(fd);
    }
  }
  if (got < static_cast<ssize_t>(sizeof(answer.reply)) || answer.reply.magic != wire::kMagic) {
    return Error{std::errc::protocol_error,
                 what + ": the answer is not a capture's; is it a vigia-capture of this version?"};
  }
  answer.text.resize(static_cast<std::size_t>(got) - sizeof(answer.reply));
  if (answer.reply.failed) return work_error(what + ": refused: " + answer.text);
  return answer;
}

}  // namespace

Result<Attachment> Attachment::attach(const std::filesystem::path& path, ListenerKind kind,
                                      std::optional<unsigned> queue) {
  Attachment attachment;
  std::vector<RingReader> readers;
  const auto queues = attachment.join(path, kind, queue.value_or(0), readers);
  if (!queues) return queues.error();
  for (unsigned q = 1; !queue && q < *queues; ++q) {
    if (auto more = attachment.join(path, kind, q, readers); !more) return more.error();
  }
  attachment.reader_ = std::make_unique<MergedReader>(std::move(readers));
  return attachment;
}

Result<unsigned> Attachment::join(const std::filesystem::path& path, ListenerKind kind, unsigned queue,
                                  std::vector<RingReader>& readers) {
  auto connection = wire::connect_to(path);
  if (!connection) return connection.error();
  const std::string what = "attach to capture " + path.string();
  const wire::Request request{wire::kMagic, wire::Verb::attach, static_cast<std::uint32_t>(kind), queue};
  if (!wire::send_packet(connection->get(), &request, sizeof(request), {}, 0, {})) return os_error(what);
  auto answer = receive_answer(connection->get(), what);
  if (!answer) return answer.error();
  const wire::Reply& reply = answer->reply;
  if (!answer->fds[0] || !answer->fds[1] || reply.queues <= queue || reply.queues > wire::kMaxQueues) {
    return Error{std::errc::protocol_error, what + ": the answer came without ring and slot"};
  }
  auto memory = RingMemory::open(std::move(answer->fds[0]));
  if (!memory) return memory.error();
  auto ring = std::make_unique<RingMemory>(std::move(*memory));
  auto reader = RingReader::create(*ring, std::move(answer->fds[1]), kind, {reply.position, reply.frame});
  if (!reader) return reader.error();
  connections_.push_back(std::move(*connection));
  rings_.push_back(std::move(ring));
  readers.push_back(std::move(*reader));
  return reply.queues;
}

bool Attachment::connected() const noexcept {
  // The capture process says nothing more: anything readable is the end, and all its connections end together.
  pollfd watched{connections_.front().get(), POLLIN, 0};
  return ::poll(&watched, 1, 0) == 0;
}

Result<std::string> ask_info(const std::filesystem::path& path) {
  auto connection = wire::connect_to(path);
  if (!connection) return connection.error();
  const std::string what = "ask capture " + path.string();
  const wire::Request request{wire::kMagic, wire::Verb::info, 0, 0};
  if (!wire::send_packet(connection->get(), &request, sizeof(request), {}, 0, {})) return os_error(what);
  auto answer = receive_answer(connection->get(), what);
  if (!answer) return answer.error();
  return std::move(answer->text);
}

}  // namespace vigia::vf
