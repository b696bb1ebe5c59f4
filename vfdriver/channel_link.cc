// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/channel_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "hw/channel_frame.h"
#include "hw/log.h"
#include "hw/unix_socket.h"

namespace vigia::vf {
namespace {

constexpr std::string_view kUnix = "unix:";
// While no host is connected, a port's poll() returns POLLHUP at once and cannot be slept in.
constexpr std::chrono::milliseconds kHangUpNap{50};
// What Linux' virtio_console takes in one write; more is cut, so asking for more gains nothing.
constexpr std::size_t kMostPerWrite = 32 * 1024;

}  // namespace

Result<ChannelLink> ChannelLink::open(const std::string& spec) {
  ChannelLink link;
  link.spec_ = spec;
  if (!spec.starts_with(kUnix)) {
    if (!spec.starts_with('/')) return input_error("channel '" + spec + "': want unix:PATH or the path of a device");
    return link;
  }
  link.socket_ = spec.substr(kUnix.size());
  auto listener = hw::listen_unix(link.socket_, hw::Audience::owner);
  if (!listener) return listener.error();
  link.listener_ = std::move(*listener);
  return link;
}

ChannelLink::~ChannelLink() {
  if (!listener_) return;  // moved from, or a device
  std::error_code ignored;
  std::filesystem::remove(socket_, ignored);
}

void ChannelLink::look_for_client() {
  if (stream_ || listener_) return;
  stream_ = Fd(::open(spec_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!stream_) {
    if (!told_) log::warning("{}; trying again until it is there", os_error("open channel " + spec_).text);
    told_ = true;
    return;
  }
  told_ = false;
  // A terminal (pty, serial line) must pass bytes as they are; a virtio-serial port is none.
  termios tty{};
  if (::tcgetattr(stream_.get(), &tty) == 0) {
    ::cfmakeraw(&tty);
    ::tcsetattr(stream_.get(), TCSANOW, &tty);
  }
}

// The first client is served; others are told so. (On a virtio-serial port QEMU lets only one in.)
void ChannelLink::accept_client() {
  // Who came because the one before has left is not refused: the next wait() sees that, and then lets him in.
  pollfd before{stream_.get(), 0, 0};
  if (stream_ && ::poll(&before, 1, 0) > 0) return;
  Fd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
  if (!client) return;
  if (!stream_) {
    stream_ = std::move(client);
    return;
  }
  std::string busy;
  hw::channel::append_frame(busy, {hw::channel::FrameType::failure, 0,
                                   "{\"status\":1,\"error\":\"the channel is busy with another client\"}"});
  (void)::send(client.get(), busy.data(), busy.size(), MSG_NOSIGNAL);
}

ChannelLink::Event ChannelLink::wait(bool want_write, int other, std::chrono::milliseconds time) {
  look_for_client();
  std::array<pollfd, 3> fds{{{stream_.get(), static_cast<short>(want_write ? POLLIN | POLLOUT : POLLIN), 0},
                             {listener_.get(), POLLIN, 0},
                             {other, POLLIN, 0}}};
  Event event;
  if (::poll(fds.data(), fds.size(), static_cast<int>(time.count())) < 0) return event;
  event.other = fds[2].revents != 0;
  const short stream = fds[0].revents;
  // A device says POLLHUP as long as no host is connected; a socket, once its client has closed and all is read.
  const bool gone = failed_ || (stream & (POLLHUP | POLLERR | POLLNVAL)) != 0;
  failed_ = false;
  if (stream_ && gone) {
    event.lost = connected_;
    connected_ = false;
    // What a device holds stays there: the first bytes of the next host come before the news that it is connected.
    if (listener_ || (stream & (POLLERR | POLLNVAL)) != 0) {
      stream_ = Fd();
    } else if (!event.lost && !event.other) {
      std::this_thread::sleep_for(std::min(kHangUpNap, time));
    }
    return event;
  }
  if (fds[1].revents != 0) accept_client();
  // A device without POLLHUP has a host; a socket has a client as long as it is open.
  connected_ = static_cast<bool>(stream_);
  event.readable = (stream & POLLIN) != 0;
  event.writable = (stream & POLLOUT) != 0;
  return event;
}

std::size_t ChannelLink::read(char* to, std::size_t room) {
  const auto got = ::read(stream_.get(), to, room);
  // 0 is the end of a socket; of a port, that the host has gone.
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) failed_ = true;
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

std::size_t ChannelLink::write(std::string_view bytes) {
  const std::size_t most = std::min(bytes.size(), kMostPerWrite);
  const auto put =
      listener_ ? ::send(stream_.get(), bytes.data(), most, MSG_NOSIGNAL) : ::write(stream_.get(), bytes.data(), most);
  if (put < 0 && errno != EAGAIN && errno != EINTR) failed_ = true;
  return put > 0 ? static_cast<std::size_t>(put) : 0;
}

}  // namespace vigia::vf
