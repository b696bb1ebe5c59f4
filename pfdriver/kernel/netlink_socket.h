// SPDX-License-Identifier: Apache-2.0
// A socket to the kernel's rtnetlink: one request, its answers, its acknowledgement. Messages are libmnl's.
#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "hw/result.h"

namespace vigia::pf {

// One message in the making; fixed size, large enough for all that we send.
class NetlinkRequest {
 public:
  NetlinkRequest(std::uint16_t type, std::uint16_t flags) : header_(mnl_nlmsg_put_header(bytes_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  }
  NetlinkRequest(const NetlinkRequest&) = delete;
  NetlinkRequest& operator=(const NetlinkRequest&) = delete;

  nlmsghdr* get() { return header_; }
  // The fixed part behind the header, zeroed.
  template <class T>
  T* put() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }

 private:
  alignas(nlmsghdr) std::array<char, 8192> bytes_{};
  nlmsghdr* header_;
};

// Calls f with each whole attribute of a range; what is cut off is not looked at.
template <class F>
void each_attribute(const void* data, std::size_t bytes, F f) {
  const char* at = static_cast<const char*>(data);
  const char* const end = at + bytes;
  while (mnl_attr_ok(reinterpret_cast<const nlattr*>(at), static_cast<int>(end - at))) {
    const auto* attribute = reinterpret_cast<const nlattr*>(at);
    f(attribute);
    at = reinterpret_cast<const char*>(mnl_attr_next(attribute));
  }
}
template <class F>
void each_nested(const nlattr* attribute, F f) {
  each_attribute(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute), f);
}
// Of a message with a fixed part of that many bytes.
template <class F>
void each_in_message(const nlmsghdr* message, std::size_t fixed, F f) {
  const std::size_t skip = MNL_ALIGN(fixed);
  if (mnl_nlmsg_get_payload_len(message) <= skip) return;
  each_attribute(static_cast<const char*>(mnl_nlmsg_get_payload(message)) + skip,
                 mnl_nlmsg_get_payload_len(message) - skip, f);
}

// One thread.
class NetlinkSocket {
 public:
  // groups: a bit per multicast group (RTMGRP_LINK), 0 for none.
  static Result<std::unique_ptr<NetlinkSocket>> open(unsigned groups = 0);
  ~NetlinkSocket();
  NetlinkSocket(const NetlinkSocket&) = delete;
  NetlinkSocket& operator=(const NetlinkSocket&) = delete;

  // Sends it and gives each answer to `each`, until the kernel says that it is done. what: for the error, "set MAC of
  // VF 0 of eth0". The error's code is the kernel's.
  Result<Done> ask(NetlinkRequest& request, const std::string& what,
                   const std::function<void(const nlmsghdr*)>& each = {});

  int fd() const;
  // Takes what has come on the groups; true when there was something or the kernel had to drop some.
  bool drain();

 private:
  explicit NetlinkSocket(mnl_socket* socket) : socket_(socket) {}
  mnl_socket* socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace vigia::pf
