// SPDX-License-Identifier: Apache-2.0
// Mirrors by tc on veth and TAP, in a network namespace of the test's own: frames counted.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <cstring>

#include "pfdriver/tc/manager.h"
#include "tests/vfdriver/own_netns.h"

namespace vigia::pf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using vf::test::FrameSender;
using vf::test::OwnNetns;

constexpr std::uint16_t kEtherType = 0x88b5;  // for experiments

std::vector<std::byte> frame(unsigned char number) {
  std::vector<std::byte> out(60);
  const unsigned char head[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, kEtherType >> 8, kEtherType & 0xff, number};
  std::memcpy(out.data(), head, sizeof head);
  return out;
}

void send_on(const std::string& interface, int frames) {
  FrameSender sender(interface);
  for (int i = 0; i < frames; ++i) ASSERT_TRUE(sender.send(frame(static_cast<unsigned char>(i))));
}

// Frames of ours that arrive, on a packet socket or from a TAP.
class Receiver {
 public:
  explicit Receiver(const std::string& interface)
      : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kEtherType))) {
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(kEtherType);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  explicit Receiver(Fd tap) : fd_(std::move(tap)), tap_(true) {}

  int count() {
    int frames = 0;
    pollfd wait{fd_.get(), POLLIN, 0};
    while (::poll(&wait, 1, 200) > 0) {
      char buffer[2048];
      sockaddr_ll from{};
      socklen_t size = sizeof from;
      const ssize_t n =
          tap_ ? ::read(fd_.get(), buffer, sizeof buffer)
               : ::recvfrom(fd_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (n < 14 || (!tap_ && from.sll_pkttype == PACKET_OUTGOING)) continue;
      frames += std::memcmp(buffer + 12, "\x88\xb5", 2) == 0 ? 1 : 0;
    }
    return frames;
  }

 private:
  Fd fd_;
  bool tap_ = false;
};

class TcTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!netns_.made() || !OwnNetns::run("for i in t u a; do ip link add ${i}0 type veth peer name ${i}1 && "
                                         "ip link set ${i}0 up && ip link set ${i}1 up || exit 1; done")) {
      GTEST_SKIP() << "a network namespace with veth cannot be made here (not root?)";
    }
  }
  void start(const std::string& direction, const std::string& agent = "a0") {
    const auto config = parse_config(text(direction, agent), "pf.yaml");
    ASSERT_TRUE(config) << config.error().text;
    auto started = TcManager::start(std::move(*open_traffic_control()), std::move(*open_route_netlink()), *config);
    ASSERT_TRUE(started) << started.error().text;
    manager_ = std::move(*started);
  }
  static std::string text(const std::string& direction, const std::string& agent = "a0") {
    return "pf:\n  generator: tc\n  vfs: 3\n  vf:\n    - {index: 0, interface: t0, name: web, mac: "
           "\"02:00:00:00:00:01\"}\n"
           "    - {index: 1, interface: u0}\n    - {index: 2, interface: " +
           agent + ", name: agent}\n  taps: [{name: t, from: [0], to: 2, direction: " + direction + "}]\n";
  }

  OwnNetns netns_;
  std::unique_ptr<TcManager> manager_;
};

TEST_F(TcTest, EachDirectionOfVethIsCopiedFrameByFrame) {
  for (const auto& [direction, sent, received] :
       std::vector<std::tuple<std::string, int, int>>{{"rx", 0, 50}, {"tx", 70, 0}, {"both", 70, 50}}) {
    start(direction);
    Receiver agent("a1"), guest("t1");
    send_on("t0", 50);  // to the guest
    send_on("t1", 70);  // from the guest
    send_on("u1", 30);  // somebody else
    EXPECT_EQ(agent.count(), sent + received) << direction;
    EXPECT_EQ(guest.count(), 50) << "the guest itself loses nothing";
    const PortView view = manager_->show();
    std::vector<PortMirror> mirrors;
    if (received > 0) mirrors.push_back({0, 2, Direction::rx});
    if (sent > 0) mirrors.push_back({0, 2, Direction::tx});
    EXPECT_EQ(view.mirrors, mirrors) << direction;
    const auto again = parse_show(show_json(view, manager_->config()));
    ASSERT_TRUE(again) << again.error().text;
    EXPECT_EQ(again->mirrors, mirrors) << "printed and read back";
    EXPECT_THAT(view.vfs[0].macs, ElementsAre(hw::Mac{{2, 0, 0, 0, 0, 1}})) << "as pf.yaml says";
    std::string scopes;
    for (const std::string& scope : view.scopes) scopes += scope + "\n";
    if (received > 0) {
      EXPECT_THAT(scopes, HasSubstr("VF 0 (web) receives, by its interface t0; 50 copies sent, 0 could"));
    }
    if (sent > 0) {
      EXPECT_THAT(scopes, HasSubstr("VF 0 (web) sends, by its interface t0; 70 copies sent, 0 could"));
    }
    manager_->stop();
    send_on("t1", 10);
    EXPECT_EQ(agent.count(), 0) << "stopped";
    EXPECT_FALSE(OwnNetns::run("tc qdisc show dev t0 | grep -q clsact")) << "nothing is left";
  }
}

TEST_F(TcTest, CopiesToATap) {
  Fd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  ifreq request{};
  std::strcpy(request.ifr_name, "tap9");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (!tap || ::ioctl(tap.get(), TUNSETIFF, &request) != 0) GTEST_SKIP() << "no TAP here";
  ASSERT_TRUE(OwnNetns::run("ip link set tap9 up"));
  start("both", "tap9");
  Receiver agent(std::move(tap));
  send_on("t0", 40);
  send_on("t1", 60);
  EXPECT_EQ(agent.count(), 100);
}

TEST_F(TcTest, AnAdministratorsFiltersStillHaveTheirTurn) {
  ASSERT_TRUE(
      OwnNetns::run("tc qdisc add dev t0 clsact && "
                    "tc filter add dev t0 ingress u32 match u32 0 0 action mirred egress redirect dev u0"));
  start("tx");
  Receiver agent("a1"), redirected("u1");
  send_on("t1", 25);
  EXPECT_EQ(agent.count(), 25) << "copied before it is taken away";
  EXPECT_EQ(redirected.count(), 25) << "and then it goes where the administrator sends it";
  manager_->stop();
  EXPECT_TRUE(OwnNetns::run("tc filter show dev t0 ingress | grep -q Redirect")) << "what is not ours stays";
  send_on("t1", 25);
  EXPECT_EQ(redirected.count(), 25);
}

TEST_F(TcTest, AnInterfaceThatComesBackIsMirroredAgainAndARemovedMirrorIsNot) {
  start("tx");
  ASSERT_TRUE(OwnNetns::run("ip link del t0"));
  manager_->service();
  EXPECT_THAT(manager_->show().overruled,
              ElementsAre(Overruled{"mirror t0 ingress to a0", "there", "an interface is gone"}));
  ASSERT_TRUE(OwnNetns::run("ip link add t0 type veth peer name t1 && ip link set t0 up && ip link set t1 up"));
  manager_->service();
  EXPECT_EQ(manager_->totals().drifts, 1u);
  EXPECT_THAT(manager_->show().overruled, IsEmpty());
  Receiver agent("a1");
  send_on("t1", 20);
  EXPECT_EQ(agent.count(), 20);

  EXPECT_THAT(manager_->show().mirrors, SizeIs(1));
  ASSERT_TRUE(OwnNetns::run("tc filter del dev t0 ingress"));
  EXPECT_THAT(manager_->show().mirrors, IsEmpty()) << "only what is in force";
  for (int i = 0; i < 3; ++i) manager_->service();
  EXPECT_EQ(manager_->totals().overruled, 2u);
  EXPECT_THAT(manager_->show().overruled, ElementsAre(Overruled{"mirror t0 ingress to a0", "there", "removed"}));
  send_on("t1", 20);
  EXPECT_EQ(agent.count(), 0) << "an administrator is not fought";
  ASSERT_TRUE(manager_->apply(manager_->config()));
  send_on("t1", 20);
  EXPECT_EQ(agent.count(), 20);
}

TEST_F(TcTest, AKilledManagersMirrorsAreFoundByTheirCookie) {
  start("both");
  manager_.reset();  // no stop(): killed
  ASSERT_TRUE(OwnNetns::run("tc filter show dev t0 ingress | grep -q mirred"));
  const auto control = open_traffic_control();
  ASSERT_TRUE(control);
  const auto removed = remove_all_mirrors(**control);
  ASSERT_TRUE(removed) << removed.error().text;
  EXPECT_THAT(*removed, ElementsAre("a mirror of t0 is removed", "a mirror of t0 is removed"));
  EXPECT_FALSE(OwnNetns::run("tc filter show dev t0 ingress | grep -q mirred"));
  EXPECT_THAT(*remove_all_mirrors(**control), IsEmpty());
}

TEST_F(TcTest, RefusalsInWords) {
  start("rx");
  const auto refusals = [&](std::string yaml) {
    auto config = parse_config(yaml, "pf.yaml");
    EXPECT_TRUE(config) << config.error().text;
    std::string out;
    for (const std::string& line : manager_->plan(*config).refusals) out += line + "\n";
    return out;
  };
  EXPECT_THAT(refusals(text("rx", "nothere")),
              HasSubstr("VF 2 (agent): there is no interface nothere; start the guest"));
  std::string port = text("rx");
  port.replace(port.find("from: [0]"), 9, "port: true");
  EXPECT_THAT(refusals(port), HasSubstr("tap t: tc copies what interfaces of guests carry; name them by from: [..]"));
  EXPECT_THAT(refusals("pf:\n  vfs: 1\n"), HasSubstr("pf.generator: native is wanted, and vigia-pf runs as tc"));
  ASSERT_TRUE(OwnNetns::run("tc qdisc add dev u0 ingress"));
  const auto control = open_traffic_control();
  const auto hooks = control.value()->need_hooks("u0");
  ASSERT_FALSE(hooks);
  EXPECT_THAT(hooks.error().text, HasSubstr("u0: it has the qdisc ingress, which vigia-pf does not replace"));
}

TEST_F(TcTest, RouteNetlinkOnRealInterfaces) {
  auto netlink = open_route_netlink();
  ASSERT_TRUE(netlink) << netlink.error().text;
  RouteNetlink& route = **netlink;
  const auto link = route.link("t0");
  ASSERT_TRUE(link) << link.error().text;
  EXPECT_EQ(link->name, "t0");
  EXPECT_TRUE(link->up);
  EXPECT_EQ(link->mtu, 1500u);
  EXPECT_THAT(link->vfs, IsEmpty());
  (void)route.take_events();
  ASSERT_TRUE(route.set_mtu("t0", 1400));
  ASSERT_TRUE(route.set_up("t0", false));
  EXPECT_EQ(route.link("t0")->mtu, 1400u);
  EXPECT_FALSE(route.link("t0")->up);
  pollfd wait{route.event_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 1000), 1);
  EXPECT_TRUE(route.take_events());
  EXPECT_FALSE(route.take_events());
  EXPECT_EQ(route.link("nothere").error().code, std::errc::no_such_device);
  EXPECT_EQ(route.link("a-name-that-is-too-long").error().exit_status(), 2);
  VfChange change;
  change.trust = true;
  const auto refused = route.set_vf("t0", 0, change);
  ASSERT_FALSE(refused) << "veth has no VFs";
  EXPECT_THAT(refused.error().text, HasSubstr("set VF 0 of t0: Operation not supported"));
}

}  // namespace
}  // namespace vigia::pf
