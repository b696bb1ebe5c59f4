// SPDX-License-Identifier: Apache-2.0
// A wire with a peer at its other end, as the device drives it.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <deque>

#include "softnic/server.h"
#include "tests/softnic/device_kit.h"

namespace vigia::softnic {
namespace {

using kit::Frame;
using kit::Lab;

struct FakePeer {
  std::deque<Frame> sends;
  std::vector<Frame> got;
  bool takes = true, link = false;
};

class FakeLiveWire final : public LiveWire {
 public:
  explicit FakeLiveWire(FakePeer& peer) : peer_(peer) {}
  const WireFrame* next() noexcept override {
    if (peer_.sends.empty()) return nullptr;
    bytes_ = std::move(peer_.sends.front());
    peer_.sends.pop_front();
    frame_ = {bytes_, 0};
    ++counts_.frames;
    counts_.bytes += bytes_.size();
    return &frame_;
  }
  const WireCounts& counts() const noexcept override { return counts_; }
  const Rate& rate() const noexcept override { return rate_; }
  std::uint64_t total_frames() const noexcept override { return 0; }
  std::string describe() const override { return "fake"; }
  int fd() const noexcept override { return -1; }
  bool readable() noexcept override { return true; }
  bool send(FrameBytes frame) noexcept override {
    if (peer_.takes) peer_.got.emplace_back(frame.begin(), frame.end());
    return peer_.takes;
  }
  void set_link(bool up) noexcept override { peer_.link = up; }

 private:
  FakePeer& peer_;
  Frame bytes_;
  WireFrame frame_{};
  WireCounts counts_;
  Rate rate_;
};

DeviceOptions two_vfs() {
  DeviceOptions options;
  options.vfs = 2;
  return options;
}

struct LiveWireTest : testing::Test {
  FakePeer peer;
  Lab lab{two_vfs(), std::make_unique<FakeLiveWire>(peer)};
  // Longer than the device waits before it looks at doorbells in memory again.
  void run() { lab.run(64); }
};

TEST_F(LiveWireTest, FramesBeforeTheReceiverIsOnAreDrainedAndCounted) {
  peer.sends.push_back(kit::make_frame(kit::mac_of(0), kit::kOutside));
  run();
  EXPECT_TRUE(peer.sends.empty()) << "left there, it would wake the loop for ever";
  EXPECT_FALSE(peer.link);
  EXPECT_EQ(lab.account("wire.filtered_disabled"), 1u);
  EXPECT_EQ(lab.account("wire.sent"), 1u);
}

TEST_F(LiveWireTest, LinkIsOnWhileThePortReceives) {
  lab.bring_up();
  run();
  EXPECT_TRUE(peer.link);
  lab.pf().write(kit::pf::RXCTRL, 0, 0);
  run();
  EXPECT_FALSE(peer.link);
}

TEST_F(LiveWireTest, NoFrameNowIsNotTheEnd) {
  lab.bring_up();
  kit::RxRing rx(lab.vf(0), 0, 64);
  rx.give(32);
  run();
  EXPECT_FALSE(lab.device->wire_done());
  for (unsigned i = 0; i < 3; ++i) {
    peer.sends.push_back(kit::make_frame(kit::mac_of(0), kit::kOutside, 60 + i));
    run();
    const auto got = rx.take();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->bytes.size(), 60u + i);
  }
  EXPECT_EQ(lab.account("vf0.written"), 3u);
  EXPECT_EQ(lab.account("wire.done"), 0u);
}

TEST_F(LiveWireTest, APeerDoesNotWaitForAReceiver) {
  lab.bring_up();
  kit::RxRing rx(lab.vf(0), 0, 64);
  rx.give(2);
  for (unsigned i = 0; i < 10; ++i) peer.sends.push_back(kit::make_frame(kit::mac_of(0), kit::kOutside));
  run();
  EXPECT_TRUE(peer.sends.empty());
  EXPECT_EQ(lab.account("vf0.written"), 2u);
  EXPECT_EQ(lab.account("vf0.no_descriptor"), 8u);
}

TEST_F(LiveWireTest, WhatThePortSendsGoesToThePeerOrIsCountedAsRefused) {
  lab.bring_up();
  kit::TxRing tx(lab.vf(0), 0, 64);
  const Frame frame = kit::make_frame(kit::kOutside, kit::mac_of(0), 200, 7);
  tx.send(frame);
  run();
  ASSERT_EQ(peer.got.size(), 1u);
  EXPECT_EQ(peer.got[0], frame);
  peer.takes = false;
  tx.send(frame);
  tx.send(frame);
  run();
  EXPECT_EQ(lab.account("tx.wire_only"), 3u);
  EXPECT_EQ(lab.account("tx.wire_refused"), 2u);
}

TEST_F(LiveWireTest, MacLoopbackKeepsFramesFromThePeer) {
  lab.bring_up();
  lab.pf().set(kit::pf::HLREG0, 0, hw::ixgbe::Hlreg0::lpbk);
  kit::TxRing tx(lab.vf(0), 0, 64);
  tx.send(kit::make_frame(kit::kOutside, kit::mac_of(0)));
  run();
  EXPECT_TRUE(peer.got.empty());
  EXPECT_EQ(lab.account("tx.wire_only"), 1u);
  EXPECT_EQ(lab.account("tx.wire_refused"), 0u);
}

TEST(ServerWatch, CallsUntilItIsToldToStop) {
  auto server = Server::create();
  ASSERT_TRUE(server);
  const Fd event(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));  // readable for good, as nobody reads it
  unsigned calls = 0;
  ASSERT_TRUE((*server)->watch(event.get(), [&] { return ++calls < 2; }));
  const auto begin = std::chrono::steady_clock::now();
  (*server)->wait(std::chrono::seconds(5));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4)) << "a frame does not wake the loop";
  EXPECT_EQ((*server)->poll(0), 1u);
  EXPECT_EQ((*server)->poll(0), 1u);
  EXPECT_EQ((*server)->poll(0), 0u);
  EXPECT_EQ(calls, 2u);
}

}  // namespace
}  // namespace vigia::softnic
