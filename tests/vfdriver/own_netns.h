// SPDX-License-Identifier: Apache-2.0
// A network namespace of a test's own, with a pair of virtual Ethernet interfaces "va" and "vb" in it.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "hw/fd.h"

namespace vigia::vf::test {

// The calling thread is inside while the object lives; threads it starts meanwhile are too. Nothing is left outside.
class OwnNetns {
 public:
  OwnNetns() : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    if (!home_ || ::unshare(CLONE_NEWNET) != 0) return;
    inside_ = true;
    // Nothing but our frames: no IPv6 of the kernel's own.
    made_ = run("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6") &&
            run("ip link add va type veth peer name vb && ip link set va up && ip link set vb up");
    for (int i = 0; made_ && i < 100 && !run("ip link show va | grep -q LOWER_UP"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  ~OwnNetns() {
    if (inside_ && ::setns(home_.get(), CLONE_NEWNET) != 0) std::abort();
  }
  OwnNetns(const OwnNetns&) = delete;
  OwnNetns& operator=(const OwnNetns&) = delete;

  bool made() const { return made_; }
  static bool run(const std::string& command) { return std::system(("(" + command + ") 2>/dev/null").c_str()) == 0; }

 private:
  Fd home_;
  bool inside_ = false, made_ = false;
};

// Puts frames on an interface.
class FrameSender {
 public:
  explicit FrameSender(const std::string& interface) : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) socket_ = Fd();
  }
  bool send(std::span<const std::byte> frame) {
    return ::send(socket_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }

 private:
  Fd socket_;
};

}  // namespace vigia::vf::test
