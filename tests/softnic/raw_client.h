// SPDX-License-Identifier: Apache-2.0
// A client that may say anything, byte by byte. Runs in the server's thread: each wait serves the server.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "hw/fd_passing.h"
#include "hw/unix_socket.h"
#include "hw/vfio_user.h"
#include "softnic/server.h"

namespace vigia::softnic::test {

using namespace hw::vfio_user;
using Bytes = std::vector<std::byte>;

template <class T>
Bytes bytes_of(const T& value) {
  const auto b = std::as_bytes(std::span(&value, 1));
  return {b.begin(), b.end()};
}
inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Bytes text(std::string_view s) {
  const auto b = std::as_bytes(std::span(s.data(), s.size()));
  return Bytes(b.begin(), b.end()) + Bytes{std::byte{0}};
}
inline Fd memfd(std::size_t bytes) {
  Fd fd(::memfd_create("test", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) std::abort();
  return fd;
}
inline Fd event() { return Fd(::eventfd(0, EFD_CLOEXEC)); }

struct Answer {
  bool arrived = false;
  Header header{};
  Bytes payload;
  std::vector<Fd> fds;

  // The errno of a refusal, 0 for success, -1 for no answer.
  int error() const {
    if (!arrived) return -1;
    return (header.flags & kError) != 0 ? static_cast<int>(header.error) : 0;
  }
  template <class T>
  T as(std::size_t at = 0) const {
    T value{};
    if (payload.size() < at + sizeof value) {
      ADD_FAILURE() << "payload of " << payload.size() << " bytes is too short";
      return value;
    }
    std::memcpy(&value, payload.data() + at, sizeof value);
    return value;
  }
};

class RawClient {
 public:
  // Connects by the listening socket and negotiates, unless told not to.
  RawClient(Server& server, const std::filesystem::path& path, bool negotiate = true)
      : server_(&server), socket_(std::move(*hw::connect_unix(path, 1000))) {
    if (negotiate) {
      EXPECT_EQ(version().error(), 0);
    }
  }

  static Header header(Command command, std::size_t payload, std::uint32_t flags = kRequest, std::uint16_t id = 7) {
    return {id, static_cast<std::uint16_t>(command), static_cast<std::uint32_t>(sizeof(Header) + payload), flags, 0};
  }
  // Bytes as they are; fds with the first one.
  bool send(const Bytes& bytes, const std::vector<int>& fds = {}) {
    return hw::send_with_fds(socket_.get(), bytes, {}, fds, MSG_DONTWAIT) == static_cast<ssize_t>(bytes.size());
  }
  Answer request(Command command, const Bytes& payload, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(send(bytes_of(header(command, payload.size())) + payload, fds));
    return receive();
  }
  void post(Command command, const Bytes& payload, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(send(bytes_of(header(command, payload.size(), kRequest | kNoReply)) + payload, fds));
    pump();
  }
  Answer version(const std::string& capabilities = R"({"capabilities":{"max_msg_fds":16}})") {
    return request(Command::version, bytes_of(Version{0, 0}) + text(capabilities));
  }
  Answer map(std::uint64_t iova, std::uint64_t bytes, int fd, std::uint64_t offset = 0,
             std::uint32_t flags = kDmaRead | kDmaWrite) {
    return request(Command::dma_map, bytes_of(DmaMap{sizeof(DmaMap), flags, offset, iova, bytes}),
                   fd >= 0 ? std::vector{fd} : std::vector<int>{});
  }
  Answer unmap(std::uint64_t iova, std::uint64_t bytes, std::uint32_t flags = 0) {
    return request(Command::dma_unmap, bytes_of(DmaUnmap{sizeof(DmaUnmap), flags, iova, bytes}));
  }
  Answer read(std::uint32_t region, std::uint64_t offset, std::uint32_t count) {
    return request(Command::region_read, bytes_of(RegionAccess{offset, region, count}));
  }
  Answer write(std::uint32_t region, std::uint64_t offset, const Bytes& data) {
    return request(Command::region_write,
                   bytes_of(RegionAccess{offset, region, static_cast<std::uint32_t>(data.size())}) + data);
  }
  Answer set_irqs(std::uint32_t flags, std::uint32_t index, std::uint32_t start, std::uint32_t count,
                  const std::vector<int>& fds = {}) {
    return request(Command::device_set_irqs, bytes_of(SetIrqs{sizeof(SetIrqs), flags, index, start, count}), fds);
  }

  // The next answer, or none when the server has nothing more to say.
  Answer receive() {
    pump();
    Answer a;
    hw::Received r =
        hw::receive_with_fds(socket_.get(), std::as_writable_bytes(std::span(&a.header, 1)), a.fds, MSG_DONTWAIT);
    if (r.bytes != sizeof a.header) return a;
    a.payload.resize(a.header.size - sizeof a.header);
    for (std::size_t done = 0; done < a.payload.size();) {
      const ssize_t n = ::recv(socket_.get(), a.payload.data() + done, a.payload.size() - done, MSG_DONTWAIT);
      if (n > 0) done += static_cast<std::size_t>(n);
      if (n == 0 || (n < 0 && server_->poll(0) == 0 && errno != EAGAIN)) return a;
    }
    a.arrived = true;
    return a;
  }
  // Whether the server has closed its end (what it sent before is thrown away).
  bool closed() {
    pump();
    std::array<std::byte, 4096> rest;
    ssize_t n = 1;
    while (n > 0) n = ::recv(socket_.get(), rest.data(), rest.size(), MSG_DONTWAIT);
    return n == 0 || errno == ECONNRESET;
  }
  // Lets the server take what is there.
  void pump() {
    for (int i = 0; i < 4; ++i) {
      while (server_->poll(0) > 0) {
      }
    }
  }
  void hang_up() {
    socket_ = Fd();
    pump();
  }
  int socket() const { return socket_.get(); }

 private:
  Server* server_;
  Fd socket_;
};

}  // namespace vigia::softnic::test
