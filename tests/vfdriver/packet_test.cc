// SPDX-License-Identifier: Apache-2.0
// What only AF_PACKET has to get right: tags, cuts, drops, direction, and an interface left as it was found.
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "tests/vfdriver/veth_fixture.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using Bytes = std::vector<std::byte>;

struct Taken {
  Bytes bytes;
  std::uint32_t beyond;
};

class PacketPort : public test::OnVeth {
 protected:
  void open(const std::string& spec = "packet:va") { device_ = must(open_port(spec, options_)); }
  std::vector<Taken> take(std::size_t wanted, std::chrono::milliseconds patience = 2000ms) {
    std::vector<Taken> taken;
    std::array<RxSegment, 32> out;
    for (const auto until = steady_clock::now() + patience; taken.size() < wanted && steady_clock::now() < until;) {
      const std::size_t n = device_->queue(0).receive(out);
      for (std::size_t i = 0; i < n; ++i) {
        taken.push_back({Bytes(out[i].data, out[i].data + out[i].length), out[i].beyond});
      }
      device_->queue(0).release();
      if (n == 0) device_->queue(0).wait(1000us);
    }
    return taken;
  }
};

Bytes tagged(std::uint16_t protocol, std::uint16_t control) {
  Bytes frame = frame_of(1, 100);
  const std::array<std::uint16_t, 3> at{protocol, control, 0x0800};
  for (std::size_t i = 0; i < at.size(); ++i) {
    frame[12 + 2 * i] = static_cast<std::byte>(at[i] >> 8);
    frame[13 + 2 * i] = static_cast<std::byte>(at[i] & 0xff);
  }
  return frame;
}

TEST_F(PacketPort, TagsThatTheKernelTookOutAreBack) {
  open();
  const std::vector<Bytes> frames{tagged(0x8100, 7), tagged(0x8100, 0xe00a), tagged(0x88a8, 100), tagged(0x8100, 0)};
  for (const Bytes& frame : frames) ASSERT_TRUE(sender_->send(frame));
  const auto taken = take(frames.size());
  ASSERT_EQ(taken.size(), frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(taken[i].bytes, frames[i]) << i;
}

TEST_F(PacketPort, WhatNobodyWantsOfAFrameIsLeftInTheKernel) {
  options_.snaplen = 80;
  open();
  for (const std::size_t size : {60u, 80u, 81u, 1514u}) ASSERT_TRUE(sender_->send(frame_of(1, size)));
  const auto taken = take(4);
  ASSERT_EQ(taken.size(), 4u);
  const std::array<std::uint32_t, 4> kept{60, 80, 80, 80}, beyond{0, 0, 1, 1434};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(taken[i].bytes.size(), kept[i]);
    EXPECT_EQ(taken[i].beyond, beyond[i]);
  }
}

std::uint64_t real_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

TEST_F(PacketPort, TheKernelsStampsAreOfTheMomentNotOfTheBlock) {
  open();
  std::vector<std::uint64_t> before, after;
  for (std::uint64_t i = 0; i < 3; ++i) {
    before.push_back(real_ns());
    ASSERT_TRUE(sender_->send(frame_of(i, 60 + static_cast<std::size_t>(i))));
    after.push_back(real_ns() + 1'000'000);  // where the frame is taken by another processor
    std::this_thread::sleep_for(3ms);
  }
  std::array<RxSegment, 32> out;
  std::size_t n = 0;
  for (const auto until = steady_clock::now() + 2s; n < 3 && steady_clock::now() < until;) {
    const std::size_t got = device_->queue(0).receive(out);
    const std::uint64_t* stamps = device_->queue(0).stamps();
    ASSERT_NE(stamps, nullptr);
    for (std::size_t i = 0; i < got; ++i, ++n) {
      EXPECT_GE(stamps[i], before[n]) << n;
      EXPECT_LE(stamps[i], after[n]) << n;
    }
    device_->queue(0).release();
    if (got == 0) device_->queue(0).wait(1000us);
  }
  EXPECT_EQ(n, 3u);
  EXPECT_THAT(must(device_->info()).stamps, ::testing::HasSubstr("CLOCK_REALTIME"));
  EXPECT_EQ(must(device_->info()).engine_stamps, "packet:va,stamps=engine");
}

TEST_F(PacketPort, TheEngineStampsOnWish) {
  open("packet:va,stamps=engine");
  EXPECT_EQ(device_->queue(0).stamps(), nullptr);
  EXPECT_EQ(must(device_->info()).stamps, "");
  const auto wrong = open_port("packet:va,stamps=mine", options_);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().text, ::testing::HasSubstr("kernel or engine"));
}

TEST_F(PacketPort, DropsOfTheKernelAreCountedAndTheSumHolds) {
  open();
  constexpr std::uint64_t kSent = 32000;
  for (std::uint64_t i = 0; i < kSent; ++i) ASSERT_TRUE(sender_->send(frame_of(i, 1514)));
  const auto taken = take(kSent, 500ms);
  ASSERT_TRUE(device_->stop());
  const PortCounts counts = device_->counts();
  EXPECT_EQ(counts.offered, kSent);
  EXPECT_GT(*counts.dropped, 0u) << "the ring was to be too small";
  EXPECT_EQ(*counts.offered, *counts.dropped + taken.size() + device_->queue(0).pending_frames());
}

TEST_F(PacketPort, OutgoingFramesAreLeftOutOnWish) {
  test::FrameSender back("va");
  open();
  ASSERT_TRUE(back.send(frame_of(5, 70)));
  ASSERT_TRUE(sender_->send(frame_of(6, 80)));
  EXPECT_EQ(take(2).size(), 2u) << "both directions, as tcpdump";
  open("packet:va,outgoing=no");
  ASSERT_TRUE(back.send(frame_of(5, 70)));
  ASSERT_TRUE(sender_->send(frame_of(6, 80)));
  const auto taken = take(2, 500ms);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].bytes.size(), 80u);
}

TEST_F(PacketPort, TheInterfaceIsPromiscuousOnlyWhileThePortIsOpen) {
  const auto promiscuity = [] {
    const std::string text = output_of("ip -d link show va");
    const std::size_t at = text.find("promiscuity ");
    return at == text.npos ? std::string("?") : text.substr(at + 12, 1);
  };
  EXPECT_EQ(promiscuity(), "0");
  open();
  EXPECT_EQ(promiscuity(), "1");
  device_.reset();
  EXPECT_EQ(promiscuity(), "0");
  open("packet:va,promisc=no");
  EXPECT_EQ(promiscuity(), "0");
}

TEST_F(PacketPort, AnInterfaceThatIsDownForAWhileIsNotGone) {
  open();
  ASSERT_TRUE(test::OwnNetns::run("ip link set va down"));
  device_->queue(0).wait(1000us);
  std::this_thread::sleep_for(150ms);
  EXPECT_EQ(device_->health(), Health::good);
  EXPECT_EQ(must(device_->info()).link_up, false);
  ASSERT_TRUE(test::OwnNetns::run("ip link set va up"));
  for (int i = 0; i < 200 && must(device_->info()).link_up != true; ++i) std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(sender_->send(frame_of(1, 60)));
  EXPECT_EQ(take(1).size(), 1u);
}

}  // namespace
}  // namespace vigia::vf
