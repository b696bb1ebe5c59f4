// SPDX-License-Identifier: Apache-2.0
// The virtio receive queue against devices that break the rules, and the way to a vhost-user back end.
#include <gmock/gmock.h>

#include <cstring>
#include <memory>

#include "tests/vfdriver/fake_vhost.h"
#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/vf_device.h"
#include "vfdriver/virtio/queue_memory.h"
#include "vfdriver/virtio/rx_queue.h"

namespace vigia::vf::virtio {
namespace {

using ::testing::HasSubstr;

constexpr unsigned kSize = 8;
constexpr std::uint32_t kBuffer = 256;

TEST(VirtioRing, NoElementOfASplitRingLiesInTwoPages) {
  for (unsigned size = 2; size <= 32768; size *= 2) {
    const auto parts = hw::virtio::parts_of(size, false);
    EXPECT_EQ((parts.device + hw::virtio::kRingHeader) % sizeof(hw::virtio::UsedElement), 0u) << size;
    EXPECT_GE(parts.device, parts.driver + hw::virtio::kRingHeader + 2 * std::size_t{size} + 2) << size;
  }
}

// A split ring whose device side the test writes by hand.
template <unsigned Size>
struct SplitRigOf {
  explicit SplitRigOf(bool mergeable = true)
      : queue(ring, Size, buffers, Buffers{hw::Iova{0}, kBuffer, kBuffer}, mergeable, false, Signals{}, gone) {
    queue.fill();
  }
  void use(std::uint32_t id, std::uint32_t length, std::uint16_t pieces = 1) {
    const auto parts = hw::virtio::parts_of(Size, false);
    const hw::virtio::UsedElement element{id, length};
    std::memcpy(ring.data() + parts.device + 4 + 8 * (used % Size), &element, 8);
    if (id < Size) std::memcpy(buffers.data() + id * kBuffer + 10, &pieces, 2);
    ++used;
  }
  void publish() { std::memcpy(ring.data() + hw::virtio::parts_of(Size, false).device + 2, &used, 2); }
  // What the driver has said to have given in all.
  std::uint16_t given() const {
    std::uint16_t index = 0;
    std::memcpy(&index, ring.data() + hw::virtio::parts_of(Size, false).driver + 2, 2);
    return index;
  }
  std::size_t receive(std::size_t room = 32) { return queue.receive(std::span(out).first(room)); }

  std::vector<std::byte> ring = std::vector<std::byte>(hw::virtio::parts_of(Size, false).bytes),
                         buffers = std::vector<std::byte>(Size * kBuffer);
  std::atomic<bool> gone{false};
  RxQueue<SplitRing> queue;
  std::array<RxSegment, 32> out{};
  std::uint16_t used = 0;
};
using SplitRig = SplitRigOf<kSize>;

TEST(VirtioRx, BrokenRulesEndTheQueueAndSayWhich) {
  struct Case {
    const char* what;
    void (*act)(SplitRig&);
    const char* why;
    std::size_t frames;  // that were in order before
  };
  const Case cases[] = {
      {"number outside", [](SplitRig& r) { r.use(kSize, 100); }, "outside the ring", 0},
      {"huge number", [](SplitRig& r) { r.use(0xffff'ffff, 100); }, "outside the ring", 0},
      {"twice", [](SplitRig& r) { r.use(3, 100), r.use(3, 100); }, "did not have", 1},
      {"index ahead", [](SplitRig& r) { r.used = kSize + 1; }, "runs ahead", 0},
      {"too many pieces", [](SplitRig& r) { r.use(0, 100, kSize + 1); }, "more buffers than the ring", 0},
  };
  for (const Case& c : cases) {
    SplitRig rig;
    c.act(rig);
    rig.publish();
    EXPECT_EQ(rig.receive(), c.frames) << c.what;
    ASSERT_NE(rig.queue.trouble(), nullptr) << c.what;
    EXPECT_THAT(rig.queue.trouble(), HasSubstr(c.why)) << c.what;
    EXPECT_FALSE(rig.queue.alive()) << c.what;
    rig.queue.release();
    EXPECT_EQ(rig.receive(), 0u) << c.what;
  }
}

TEST(VirtioRx, AFrameBehindItsHeaderBeginsALineAndNoBufferLeavesTheMemory) {
  constexpr unsigned kBuffers = 64, kBytes = 2048;
  const Layout layout = plan(kBuffers, kBytes, false);
  struct alignas(64) Line {
    std::array<std::byte, 64> bytes;
  };
  std::vector<Line> lines((layout.bytes + 63) / 64);
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(lines)).first(layout.bytes);
  constexpr hw::Iova kBase{0x1'0000'0000};
  const std::atomic<bool> gone{false};
  const auto queue = make_rx_queue({memory, kBase, kBuffers, kBytes, 0}, Signals{}, gone);
  for (unsigned i = 0; i < kBuffers; ++i) {
    hw::virtio::SplitDescriptor descriptor{};
    std::memcpy(&descriptor, memory.data() + i * sizeof descriptor, sizeof descriptor);
    EXPECT_EQ((descriptor.address + sizeof(hw::virtio::NetHeader)) % 64, 0u) << i;
    EXPECT_GE(descriptor.address, hw::to_integer(kBase) + layout.buffers) << i;
    EXPECT_LE(descriptor.address + descriptor.length, hw::to_integer(kBase) + layout.bytes) << i;
  }
}

TEST(VirtioRx, BuffersGoBackAnEighthOfTheRingAtATimeAndAllWhenNothingComes) {
  constexpr std::uint16_t kBuffers = 64, kEighth = 8;
  SplitRigOf<kBuffers> rig;
  for (std::uint16_t i = 0; i < kEighth + 3; ++i) rig.use(i, 72);
  rig.publish();
  EXPECT_EQ(rig.receive(kEighth - 1), kEighth - 1u);
  rig.queue.release();
  EXPECT_EQ(rig.given(), kBuffers) << "fewer than an eighth";
  EXPECT_EQ(rig.receive(1), 1u);
  EXPECT_EQ(rig.given(), kBuffers) << "the last one is still read";
  rig.queue.release();
  EXPECT_EQ(rig.given(), kBuffers + kEighth);

  EXPECT_EQ(rig.receive(), 3u);
  const auto look_for_long = [&] {
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(rig.receive(), 0u);
  };
  look_for_long();
  EXPECT_EQ(rig.given(), kBuffers + kEighth) << "they are still read";
  rig.queue.release();
  EXPECT_EQ(rig.given(), kBuffers + kEighth);
  look_for_long();
  EXPECT_EQ(rig.given(), kBuffers + kEighth + 3);
}

TEST(VirtioRx, LengthsThatCannotBeAreMarked) {
  struct Case {
    std::uint32_t used;
    std::uint32_t length;
    std::uint8_t error;
  };
  for (const Case c :
       {Case{0, 0, RxError::length}, Case{12, 0, RxError::length}, Case{13, 1, 0}, Case{kBuffer, kBuffer - 12, 0},
        Case{kBuffer + 1, kBuffer - 12, RxError::length}, Case{0xffff'ffff, kBuffer - 12, RxError::length}}) {
    SplitRig rig;
    rig.use(5, c.used);
    rig.publish();
    ASSERT_EQ(rig.receive(), 1u);
    EXPECT_EQ(rig.out[0].length, c.length) << c.used;
    EXPECT_EQ(rig.out[0].error, c.error) << c.used;
    EXPECT_TRUE(rig.out[0].end_of_frame);
    EXPECT_TRUE(rig.queue.alive());
  }
}

TEST(VirtioRx, AFrameOfSeveralBuffersComesWholeOrNotAtAll) {
  SplitRig rig;
  rig.use(2, kBuffer, 3);
  rig.use(7, kBuffer);
  rig.publish();
  EXPECT_EQ(rig.receive(), 0u) << "its third buffer is not there yet";
  EXPECT_EQ(rig.queue.pending_frames(), 1u);
  rig.use(1, 40);
  rig.use(0, 72);
  rig.publish();
  ASSERT_EQ(rig.receive(), 4u);
  EXPECT_EQ(rig.out[0].data, rig.buffers.data() + 2 * kBuffer + 12);
  EXPECT_EQ(rig.out[1].data, rig.buffers.data() + 7 * kBuffer) << "only the first buffer has a header";
  EXPECT_EQ(rig.out[2].length, 40u);
  EXPECT_FALSE(rig.out[0].end_of_frame || rig.out[1].end_of_frame);
  EXPECT_TRUE(rig.out[2].end_of_frame && rig.out[3].end_of_frame);
  EXPECT_EQ(rig.out[3].length, 60u);
}

TEST(VirtioRx, AFrameThatFitsNoBurstIsCutAndLaterOnesAreNot) {
  SplitRig rig;
  rig.use(0, 72);
  for (const std::uint32_t id : {1u, 2u, 3u, 4u}) rig.use(id, kBuffer, 4);
  rig.use(5, 73);
  rig.publish();
  ASSERT_EQ(rig.receive(3), 1u) << "a burst never ends inside a frame";
  rig.queue.release();
  ASSERT_EQ(rig.receive(3), 3u);
  EXPECT_EQ(rig.out[2].error, RxError::cut);
  EXPECT_TRUE(rig.out[2].end_of_frame);
  rig.queue.release();
  ASSERT_EQ(rig.receive(3), 1u);
  EXPECT_EQ(rig.out[0].length, 61u);
  EXPECT_EQ(rig.out[0].error, 0);
}

TEST(VirtioEvents, WhetherASideMustBeTold) {
  using hw::virtio::passed;
  EXPECT_TRUE(passed(5, 6, 5));
  EXPECT_FALSE(passed(6, 6, 5)) << "index 6 itself is not there yet";
  EXPECT_TRUE(passed(0xffff, 0, 0xffff));
  EXPECT_FALSE(passed(4, 6, 5));
  EXPECT_TRUE(passed(7, 20, 5));
}

PortOptions receive_only() {
  PortOptions options;
  options.tx_ring = 0;
  options.rx_ring = 64;
  return options;
}

TEST(VhostUser, WhatIsWrongWithABackEndIsSaid) {
  TempDir dir;
  const std::string spec = "vhost-user:" + (dir / "s").string();
  const auto nobody = open_port(spec, receive_only());
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().text, HasSubstr("is a vhost-user back end"));
  {
    test::FakeVhost old(dir / "s", 0);
    const auto device = open_port(spec, receive_only());
    ASSERT_FALSE(device);
    EXPECT_THAT(device.error().text, HasSubstr("older than virtio 1.0"));
  }
  namespace feature = hw::virtio::Feature;
  test::FakeVhost split(dir / "s", feature::version_1 | feature::vhost_user_protocol);
  const auto packed = open_port(spec + ",ring=packed", receive_only());
  ASSERT_FALSE(packed);
  EXPECT_THAT(packed.error().text, HasSubstr("ring=split"));
  split.refuse_memory = true;
  const auto refused = open_port(spec, receive_only());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("memory: the back end refused it"));
}

}  // namespace
}  // namespace vigia::vf::virtio
