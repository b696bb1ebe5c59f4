// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "hw/fd.h"

namespace vigia::softnic {
namespace {

using Frame = std::vector<std::byte>;
constexpr const char* kName = "t0";

// Runs body on a thread in a network namespace that nobody else sees. False without the right to.
bool in_private_namespace(const std::function<void()>& body) {
  bool entered = false;
  std::thread([&] {
    entered = ::unshare(CLONE_NEWNET) == 0;
    if (entered) body();
  }).join();
  return entered;
}

// The other side of the cable: the TAP as a machine sees it.
class Peer {
 public:
  Peer() : socket_(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL))) {}

  ifreq request() const {
    ifreq r{};
    std::strcpy(r.ifr_name, kName);
    return r;
  }
  bool up(bool on) {
    ifreq r = request();
    if (::ioctl(socket_.get(), SIOCGIFFLAGS, &r) != 0) return false;
    r.ifr_flags = static_cast<short>(on ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
    return ::ioctl(socket_.get(), SIOCSIFFLAGS, &r) == 0;
  }
  bool set_mtu(int mtu) {
    ifreq r = request();
    r.ifr_mtu = mtu;
    return ::ioctl(socket_.get(), SIOCSIFMTU, &r) == 0;
  }
  std::uint32_t ethtool(std::uint32_t command) {
    ethtool_value value{command, 0};
    ifreq r = request();
    r.ifr_data = reinterpret_cast<char*>(&value);
    EXPECT_EQ(::ioctl(socket_.get(), SIOCETHTOOL, &r), 0) << command;
    return value.data;
  }
  bool attach() {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_ALL);
    to.sll_ifindex = static_cast<int>(::if_nametoindex(kName));
    return ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  bool send(const Frame& frame) {
    return ::send(socket_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
  }
  // The next experimental frame; what the kernel itself says on a new interface is skipped.
  Frame take() {
    for (;;) {
      pollfd p{socket_.get(), POLLIN, 0};
      if (::poll(&p, 1, 1000) <= 0) return {};
      Frame frame(10'000);
      const ssize_t n = ::recv(socket_.get(), frame.data(), frame.size(), 0);
      if (n < 14 || frame[12] != std::byte{0x88} || frame[13] != std::byte{0xB5}) continue;
      frame.resize(static_cast<std::size_t>(n));
      return frame;
    }
  }

 private:
  Fd socket_;
};

Frame make_frame(std::size_t bytes, std::uint8_t mark) {
  Frame f(bytes, static_cast<std::byte>(mark));
  f[0] = std::byte{0x02};
  f[6] = std::byte{0x02};
  f[12] = std::byte{0x88};
  f[13] = std::byte{0xB5};
  return f;
}

// The next frame of ours from the wire within a second.
Frame next_of(Wire& wire) {
  for (;;) {
    const WireFrame* frame = wire.next();
    if (frame == nullptr) {
      pollfd p{wire.live()->fd(), POLLIN, 0};
      if (::poll(&p, 1, 1000) <= 0 || !wire.live()->readable()) return {};
      continue;
    }
    if (frame->bytes[12] == std::byte{0x88}) return {frame->bytes.begin(), frame->bytes.end()};
  }
}

std::unique_ptr<Wire> open_wire_here() {
  auto wire = open_wire(std::string("tap:") + kName);
  EXPECT_TRUE(wire) << wire.error().text;
  return wire ? std::move(*wire) : nullptr;
}

#define SKIP_UNLESS(entered) \
  if (!(entered)) GTEST_SKIP() << "NOT TESTED: no right to make a network namespace (run as root)"

TEST(WireTap, FramesArriveWholePaddedAndCounted) {
  SKIP_UNLESS(in_private_namespace([] {
    auto wire = open_wire_here();
    ASSERT_NE(wire, nullptr);
    Peer peer;
    ASSERT_TRUE(peer.set_mtu(9000) && peer.up(true) && peer.attach());
    wire->live()->set_link(true);
    // The kernel notices a carrier after a while and drops what is sent before that.
    Frame first;
    for (unsigned i = 0; i < 5 && first.empty(); ++i) {
      ASSERT_TRUE(peer.send(make_frame(60, 9)));
      first = next_of(*wire);
    }
    ASSERT_FALSE(first.empty());
    const WireCounts before = wire->counts();
    ASSERT_TRUE(peer.send(make_frame(42, 1)));
    ASSERT_TRUE(peer.send(make_frame(9014, 2)));
    const Frame small = next_of(*wire), large = next_of(*wire);
    ASSERT_EQ(small.size(), 60u);
    EXPECT_EQ(small[41], std::byte{1});
    EXPECT_EQ(small[42], std::byte{0}) << "what a buffer held before leaks out";
    EXPECT_EQ(large, make_frame(9014, 2));
    EXPECT_EQ(wire->counts().padded - before.padded, 1u);
    EXPECT_GE(wire->counts().frames - before.frames, 2u);
    EXPECT_EQ(wire->total_frames(), 0u);
    EXPECT_EQ(peer.ethtool(ETHTOOL_GTXCSUM), 0u) << "frames would come without checksums";
    EXPECT_EQ(peer.ethtool(ETHTOOL_GTSO), 0u);
  }));
}

TEST(WireTap, TakesFramesWhileUpAndWithinItsMtu) {
  SKIP_UNLESS(in_private_namespace([] {
    auto wire = open_wire_here();
    ASSERT_NE(wire, nullptr);
    LiveWire& live = *wire->live();
    Peer peer;
    EXPECT_FALSE(live.send(make_frame(60, 1))) << "the interface is down";
    ASSERT_TRUE(peer.up(true) && peer.attach());
    live.set_link(true);
    EXPECT_TRUE(live.send(make_frame(1518, 2)));
    EXPECT_EQ(peer.take(), make_frame(1518, 2));
    EXPECT_FALSE(live.send(make_frame(1519, 3))) << "over the MTU of 1500";
    ASSERT_TRUE(peer.set_mtu(9000));
    EXPECT_TRUE(live.send(make_frame(9018, 4)));
    EXPECT_EQ(peer.take(), make_frame(9018, 4));
    ASSERT_TRUE(peer.set_mtu(1500));
    EXPECT_FALSE(live.send(make_frame(9018, 5))) << "a smaller MTU is noticed";
  }));
}

TEST(WireTap, CarrierFollowsThePort) {
  SKIP_UNLESS(in_private_namespace([] {
    auto wire = open_wire_here();
    ASSERT_NE(wire, nullptr);
    Peer peer;
    ASSERT_TRUE(peer.up(true));
    EXPECT_EQ(peer.ethtool(ETHTOOL_GLINK), 0u);
    wire->live()->set_link(true);
    EXPECT_EQ(peer.ethtool(ETHTOOL_GLINK), 1u);
    wire->live()->set_link(false);
    EXPECT_EQ(peer.ethtool(ETHTOOL_GLINK), 0u);
  }));
}

TEST(WireTap, AnotherNamespaceAndBackAgain) {
  SKIP_UNLESS(in_private_namespace([] {
    // Ours stays the thread's namespace; the TAP goes to the one that another thread has made.
    std::string path;
    std::unique_ptr<Wire> wire;
    const Fd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    const Fd there(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::setns(home.get(), CLONE_NEWNET), 0);
    auto opened = open_wire("tap:t0,netns=/proc/self/fd/" + std::to_string(there.get()));
    ASSERT_TRUE(opened) << opened.error().text;
    EXPECT_EQ(::if_nametoindex(kName), 0u) << "it was made here";
    ASSERT_EQ(::setns(there.get(), CLONE_NEWNET), 0);
    EXPECT_NE(::if_nametoindex(kName), 0u);
    const auto again = open_wire("tap:t0");
    ASSERT_FALSE(again) << "two programs on one TAP";
    EXPECT_EQ(again.error().exit_status(), 1);
    EXPECT_THAT(again.error().text, testing::HasSubstr("another program has it"));
    const auto loopback = open_wire("tap:lo");
    ASSERT_FALSE(loopback);
    EXPECT_THAT(loopback.error().text, testing::HasSubstr("it exists and is no TAP"));
  }));
}

TEST(WireTap, NamespacesThatAreNone) {
  for (const char* netns : {"surely-not-there", "/dev/null"}) {
    const auto wire = open_wire(std::string("tap:t0,netns=") + netns);
    ASSERT_FALSE(wire);
    EXPECT_EQ(wire.error().exit_status(), 2) << wire.error().text;
    EXPECT_THAT(wire.error().text, testing::HasSubstr(netns));
  }
}

TEST(WireTap, AnInterfaceThatGoesAwayEndsTheWire) {
  SKIP_UNLESS(in_private_namespace([] {
    auto wire = open_wire_here();
    ASSERT_NE(wire, nullptr);
    ASSERT_EQ(std::system("ip link del t0"), 0);
    EXPECT_EQ(wire->next(), nullptr);
    EXPECT_FALSE(wire->live()->readable()) << "a poll loop would spin";
    EXPECT_FALSE(wire->live()->send(make_frame(60, 1)));
    wire->live()->set_link(true);
  }));
}

}  // namespace
}  // namespace vigia::softnic
