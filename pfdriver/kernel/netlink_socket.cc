// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/netlink_socket.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace vigia::pf {
namespace {

constexpr std::size_t kReceiveBytes = 1u << 16;  // the kernel splits longer dumps

// What the kernel adds in words (NLM_F_ACK_TLVS), behind the copy of the request's header.
std::string words_of(const nlmsghdr* message) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  std::size_t skip = sizeof(nlmsgerr);
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) skip += error->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string words;
  const auto take = [](const nlattr* attribute, void* out) {
    if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0) {
      *static_cast<std::string*>(out) = mnl_attr_get_str(attribute);
    }
    return MNL_CB_OK;
  };
  if (mnl_nlmsg_get_payload_len(message) > skip) {
    (void)mnl_attr_parse(message, static_cast<unsigned>(skip), take, &words);
  }
  return words;
}

}  // namespace

Result<std::unique_ptr<NetlinkSocket>> NetlinkSocket::open(unsigned groups) {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return os_error("open an rtnetlink socket");
  std::unique_ptr<NetlinkSocket> out(new NetlinkSocket(socket));
  if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) < 0) return os_error("bind an rtnetlink socket");
  int on = 1;
  // Old kernels lack them; then errors are numbers only, which is no reason to fail.
  (void)mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof on);
  (void)mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, sizeof on);
  return out;
}

NetlinkSocket::~NetlinkSocket() { mnl_socket_close(socket_); }

int NetlinkSocket::fd() const { return mnl_socket_get_fd(socket_); }

Result<Done> NetlinkSocket::ask(NetlinkRequest& request, const std::string& what,
                                const std::function<void(const nlmsghdr*)>& each) {
  nlmsghdr* const header = request.get();
  header->nlmsg_seq = ++sequence_;
  const bool dump = (header->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  if (!dump) header->nlmsg_flags |= NLM_F_ACK;
  if (mnl_socket_sendto(socket_, header, header->nlmsg_len) < 0) return os_error(what);
  std::vector<char> buffer(kReceiveBytes);
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return os_error(what);
    int left = static_cast<int>(got);
    for (const auto* at = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(at, left);
         at = mnl_nlmsg_next(at, &left)) {
      if (at->nlmsg_seq != sequence_) continue;  // the rest of an earlier answer
      if (at->nlmsg_type == NLMSG_DONE) return Done{};
      if (at->nlmsg_type != NLMSG_ERROR) {
        if (each) each(at);
        continue;
      }
      if (mnl_nlmsg_get_payload_len(at) < sizeof(nlmsgerr))
        return work_error(what + ": the kernel's answer is cut off");
      const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(at))->error;
      if (error == 0) return Done{};
      const std::string words = words_of(at);
      Error out = os_error(what, error);
      if (!words.empty()) out.text += fmt::format(" (the kernel says: {})", words);
      return out;
    }
  }
}

bool NetlinkSocket::drain() {
  std::array<char, 8192> buffer;
  bool some = false;
  for (;;) {
    const ssize_t got = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ENOBUFS) return some;
    some = true;  // ENOBUFS: some were dropped, so something has happened
  }
}

}  // namespace vigia::pf
