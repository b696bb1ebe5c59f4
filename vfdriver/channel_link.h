// SPDX-License-Identifier: Apache-2.0
// The guest's end of the host channel as a byte stream that comes and goes: a virtio-serial port, or a unix socket that
// is listened at (containers, real hosts, tests). One client at a time.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::vf {

class ChannelLink {
 public:
  // "unix:PATH" listens there; anything else is a character device, which may appear later.
  static Result<ChannelLink> open(const std::string& spec);
  ChannelLink(ChannelLink&&) noexcept = default;
  ChannelLink& operator=(ChannelLink&&) = delete;
  ~ChannelLink();  // removes the socket

  struct Event {
    bool readable = false, writable = false;
    bool other = false;  // the other descriptor is ready
    bool lost = false;   // the client that was there has gone: forget what it was told and asked
  };
  // Sleeps at most so long, until the client can be read (and, if wanted, written), or `other` (-1: none) can be read.
  Event wait(bool want_write, int other, std::chrono::milliseconds time);
  bool connected() const noexcept { return connected_; }

  // Non-blocking; 0: nothing at the moment. What fails for good shows in the next wait() as lost.
  std::size_t read(char* to, std::size_t room);
  std::size_t write(std::string_view bytes);

 private:
  ChannelLink() = default;
  void look_for_client();
  void accept_client();

  std::string spec_;
  std::filesystem::path socket_;  // empty: a device
  Fd listener_, stream_;
  bool connected_ = false, failed_ = false, told_ = false;
};

}  // namespace vigia::vf
