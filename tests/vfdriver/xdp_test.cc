// SPDX-License-Identifier: Apache-2.0
// What only AF_XDP has to get right: the program's stamps, what it counts, and a driver that has no room for them.
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/veth_fixture.h"
#include "vfdriver/vf_device.h"
#include "vfdriver/xdp/program.h"
#include "vfdriver/xdp/socket.h"

namespace vigia::vf {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

struct Taken {
  std::vector<std::byte> bytes;
  std::uint64_t ns;  // 0: the port does not say
};

std::uint64_t real_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

std::vector<Taken> take(RxPort& port, std::size_t wanted, std::chrono::milliseconds patience = 3000ms) {
  std::vector<Taken> taken;
  std::array<RxSegment, 32> out;
  for (const auto until = steady_clock::now() + patience; taken.size() < wanted && steady_clock::now() < until;) {
    const std::size_t n = port.receive(out);
    for (std::size_t i = 0; i < n; ++i) {
      taken.push_back({{out[i].data, out[i].data + out[i].length}, port.stamps() != nullptr ? port.stamps()[i] : 0});
    }
    port.release();
    if (n == 0) port.wait(50'000us);
  }
  return taken;
}

class XdpPort : public test::OnVeth, public ::testing::WithParamInterface<std::string> {
 protected:
  std::string spec(const std::string& more = "") const { return "xdp:va,mode=" + GetParam() + more; }
  void open(const std::string& more = "") {
    device_.reset();  // an interface has one program
    device_ = must(open_port(spec(more), options_));
  }
};

INSTANTIATE_TEST_SUITE_P(Modes, XdpPort, ::testing::Values("native", "generic"),
                         [](const auto& mode) { return mode.param; });

TEST_P(XdpPort, StampsAreOfTheMomentNotOfTheNap) {
  open();
  std::vector<std::uint64_t> before, after;
  for (std::uint64_t i = 0; i < 20; ++i) {
    before.push_back(real_ns());
    ASSERT_TRUE(sender_->send(frame_of(i, 60 + i)));
    after.push_back(real_ns() + 1'000'000);  // where the frame is taken by another processor
    std::this_thread::sleep_for(3ms);
  }
  const auto taken = take(device_->queue(0), 20);
  ASSERT_EQ(taken.size(), 20u);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    EXPECT_EQ(taken[i].bytes, frame_of(i, 60 + i));
    EXPECT_GE(taken[i].ns + 1000, before[i]) << i;
    EXPECT_LE(taken[i].ns, after[i]) << i;
  }
  const PortInfo info = must(device_->info());
  EXPECT_THAT(info.stamps, HasSubstr("CLOCK_REALTIME"));
  EXPECT_EQ(info.engine_stamps, spec(",stamps=engine"));
}

TEST_P(XdpPort, TheEngineStampsOnWish) {
  open(",stamps=engine");
  ASSERT_TRUE(sender_->send(frame_of(1, 60)));
  EXPECT_EQ(take(device_->queue(0), 1).size(), 1u);
  EXPECT_EQ(device_->queue(0).stamps(), nullptr);
  EXPECT_EQ(must(device_->info()).stamps, "");
  EXPECT_EQ(device_->counts().offered, 1u);
  open(",stamps=kernel");
  EXPECT_EQ(must(device_->info()).engine_stamps, spec(",stamps=engine"));
  device_.reset();
  const auto wrong = open_port(spec(",stamps=mine"), options_);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().text, HasSubstr("kernel or engine"));
}

// Rings of several queues are merged by what each engine promises of its own clock.
TEST_P(XdpPort, OfSeveralQueuesTheEnginesStamp) {
  ASSERT_TRUE(
      test::OwnNetns::run("ip link add vc numrxqueues 2 numtxqueues 2 type veth peer name vd && "
                          "ip link set vc up && ip link set vd up"));
  for (const auto& [device, stamped] : {std::pair("xdp:vc", false), std::pair("xdp:vc@1", true)}) {
    const auto port = must(open_port(device + (",mode=" + GetParam()), options_));
    EXPECT_EQ(!must(port->info()).stamps.empty(), stamped) << device;
  }
}

// Nobody reads, and more come than there are buffers.
TEST_P(XdpPort, DropsAreCountedAndTheSumHolds) {
  for (const std::string more : {"", ",stamps=engine"}) {
    open(more);
    constexpr std::uint64_t kSent = 40'000;
    for (std::uint64_t i = 0; i < kSent; ++i) ASSERT_TRUE(sender_->send(frame_of(i, 60)));
    const auto taken = take(device_->queue(0), kSent, 500ms);
    ASSERT_TRUE(device_->stop());
    const PortCounts counts = device_->counts();
    EXPECT_EQ(counts.offered, kSent);
    EXPECT_GT(*counts.dropped, 0u) << "the ring was to be too small";
    EXPECT_EQ(*counts.offered, *counts.dropped + taken.size() + device_->queue(0).pending_frames());
    for (std::size_t i = 1; i < taken.size(); ++i) ASSERT_GE(taken[i].ns, taken[i - 1].ns) << i;
  }
}

TEST_P(XdpPort, AFrameThatIsTooLongIsCounted) {
  open();
  ASSERT_TRUE(test::OwnNetns::run("ip link set vb mtu 3000"));
  ASSERT_TRUE(sender_->send(frame_of(1, 1514)));
  (void)sender_->send(frame_of(2, 2900));  // the kernel may refuse it before the program
  ASSERT_TRUE(sender_->send(frame_of(3, 60)));
  EXPECT_EQ(take(device_->queue(0), 3, 500ms).size(), 2u);
  ASSERT_TRUE(device_->stop());
  EXPECT_EQ(*device_->counts().offered, *device_->counts().dropped + 2);
}

class XdpSocket : public XdpPort {};
INSTANTIATE_TEST_SUITE_P(Modes, XdpSocket, ::testing::Values("native", "generic"),
                         [](const auto& mode) { return mode.param; });

TEST_P(XdpSocket, AFrameWithoutANoteEndsTheTrustInThem) {
  using namespace xdp;
  const bool generic = GetParam() == "generic";
  const auto interface = must(Interface::open("xdp:va", "va"));
  auto program = must(Program::attach("xdp:va", interface, 1, generic ? Mode::generic : Mode::native, Work::count));
  EXPECT_EQ(program.work(), Work::count);
  EXPECT_EQ(program.misses(), nullptr);
  const std::atomic<bool> gone{false};
  std::uint64_t misses = 0;
  auto socket = must(Socket::open("xdp:va", interface, {0, 64, 2048, generic, &misses}, gone));
  ASSERT_TRUE(program.direct(0, socket->fd()));
  ASSERT_TRUE(sender_->send(frame_of(1, 60)));
  EXPECT_EQ(take(*socket, 1).size(), 1u);
  EXPECT_FALSE(socket->gave_up_notes());

  misses = 1;
  const std::uint64_t before = real_ns();
  ASSERT_TRUE(sender_->send(frame_of(2, 60)));
  const auto taken = take(*socket, 1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_GE(taken[0].ns, before);
  EXPECT_LE(taken[0].ns, real_ns());
  EXPECT_TRUE(socket->gave_up_notes());
}

// Where the kernel takes all of the program, none of it is given up.
TEST_P(XdpSocket, TheProgramDoesAllItsWork) {
  using namespace xdp;
  const auto interface = must(Interface::open("xdp:va", "va"));
  const auto program =
      must(Program::attach("xdp:va", interface, 1, GetParam() == "generic" ? Mode::generic : Mode::native, Work::note));
  EXPECT_EQ(program.work(), Work::note) << "Linux 5.12 and later";
  ASSERT_NE(program.misses(), nullptr);
  EXPECT_EQ(*program.misses(), 0u);
}

}  // namespace
}  // namespace vigia::vf
