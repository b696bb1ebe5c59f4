// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/intel/rx_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "hw/igb/bits.h"
#include "hw/ixgbe/descriptor.h"
#include "tests/vfdriver/fake_rx_device.h"
#include "tests/vfdriver/fake_vf.h"

namespace vigia::vf::intel {
namespace {

using test::FakeRxDevice;
using Frame = std::vector<std::uint8_t>;
namespace status = hw::intel::RxStatus;
constexpr std::uint64_t kRxe = hw::ixgbe::RxStatus::rxe;

struct Received {
  Frame bytes;
  std::uint8_t error = 0;
  std::size_t segments = 0;
};

struct Rig {
  explicit Rig(std::uint32_t ring = 8, std::uint32_t buffer = 2048, std::uint64_t bad = kRxe)
      : device(ring, buffer), bad_frame(bad) {
    queue.prepare();
    queue.open();
  }
  FakeRxDevice device;
  std::uint64_t bad_frame;
  test::FakeVf vf;
  test::FakeFunction function{vf};
  Signal signal;
  RxQueue queue{device.memory(), bad_frame, device.doorbell(), signal, function};

  std::vector<Received> receive(std::size_t burst, bool release = true) {
    std::vector<RxSegment> out(burst);
    const std::size_t n = queue.receive(out);
    std::vector<Received> frames;
    bool begin = true;
    for (std::size_t i = 0; i < n; ++i) {
      if (begin) frames.emplace_back();
      const auto* at = reinterpret_cast<const std::uint8_t*>(out[i].data);
      frames.back().bytes.insert(frames.back().bytes.end(), at, at + out[i].length);
      frames.back().error |= out[i].error;
      ++frames.back().segments;
      begin = out[i].end_of_frame;
    }
    EXPECT_TRUE(n == 0 || out[n - 1].end_of_frame) << "a burst never ends inside a frame";
    if (release) queue.release();
    return frames;
  }
};

Frame frame_of(std::size_t size, std::uint8_t fill) { return Frame(size, fill); }

TEST(RxQueue, StartsWithAllDescriptorsButOneAndPoisonedBuffers) {
  Rig rig(8);
  EXPECT_EQ(rig.device.tail(), 7u);
  EXPECT_EQ(rig.device.doorbells(), 1u);
  for (const std::byte b : rig.device.memory().buffers) ASSERT_EQ(b, std::byte{0xff});
  EXPECT_TRUE(rig.receive(8).empty());
  EXPECT_EQ(rig.device.doorbells(), 1u) << "nothing taken, nothing to tell";
}

TEST(RxQueue, BurstEndsExactlyOnTheLastDescriptor) {
  Rig rig(8);
  for (std::uint8_t i = 0; i < 7; ++i) ASSERT_TRUE(rig.device.deliver(frame_of(60, i)));
  EXPECT_EQ(rig.receive(7).size(), 7u);
  EXPECT_EQ(rig.device.tail(), 6u);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 7)));  // descriptor 7, the last one
  EXPECT_EQ(rig.receive(8).size(), 1u);
  EXPECT_EQ(rig.device.tail(), 7u) << "next is 0: the tail is the one before, not the ring's length";
  EXPECT_EQ(rig.device.room(), 7u);
}

TEST(RxQueue, FullRingThenNoRoomUntilRelease) {
  Rig rig(8);
  for (std::uint8_t i = 0; i < 7; ++i) ASSERT_TRUE(rig.device.deliver(frame_of(60, i)));
  EXPECT_FALSE(rig.device.deliver(frame_of(60, 9)));
  EXPECT_EQ(rig.queue.pending_frames(), 7u);
  EXPECT_EQ(rig.receive(4, false).size(), 4u);
  EXPECT_FALSE(rig.device.deliver(frame_of(60, 9))) << "taken is not released";
  EXPECT_EQ(rig.queue.pending_frames(), 3u);
  rig.queue.release();
  EXPECT_EQ(rig.device.room(), 4u);
  const unsigned doorbells = rig.device.doorbells();
  rig.queue.release();
  EXPECT_EQ(rig.device.doorbells(), doorbells) << "nothing to release, no doorbell";
}

TEST(RxQueue, SegmentsStayValidUntilRelease) {
  Rig rig(8);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 1)));
  std::array<RxSegment, 4> first, second;
  ASSERT_EQ(rig.queue.receive(first), 1u);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 2)));
  ASSERT_EQ(rig.queue.receive(second), 1u);
  EXPECT_EQ(first[0].data[0], std::byte{1});
  EXPECT_EQ(second[0].data[0], std::byte{2});
  rig.queue.release();
  EXPECT_EQ(rig.device.room(), 7u) << "one release gives back both bursts";
}

TEST(RxQueue, LongFrameComesWholeOrNotAtAll) {
  Rig rig(8, 1024);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 1)));
  const Frame piece(1024, 2);
  rig.device.piece(piece, false);
  rig.device.piece(piece, false);
  auto frames = rig.receive(16);
  ASSERT_EQ(frames.size(), 1u) << "the long one is not complete";
  EXPECT_EQ(rig.queue.pending_frames(), 0u);
  EXPECT_TRUE(rig.receive(16).empty());
  rig.device.piece(std::span(piece).first(10), true);
  EXPECT_EQ(rig.queue.pending_frames(), 1u);
  frames = rig.receive(16);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes, Frame(2 * 1024 + 10, 2));
  EXPECT_EQ(frames[0].segments, 3u);
  EXPECT_EQ(frames[0].error, 0);
  EXPECT_EQ(rig.device.room(), 7u);
}

TEST(RxQueue, LongFrameThatDoesNotFitTheRestOfTheBurstWaits) {
  Rig rig(16, 1024);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 1)));
  ASSERT_TRUE(rig.device.deliver(frame_of(3000, 2)));
  auto frames = rig.receive(3);
  ASSERT_EQ(frames.size(), 1u);
  frames = rig.receive(3);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes.size(), 3000u);
  EXPECT_EQ(frames[0].error, 0);
}

TEST(RxQueue, FrameLongerThanAnyBurstIsCutOnceAndTheRestSkipped) {
  Rig rig(16, 1024);
  ASSERT_TRUE(rig.device.deliver(frame_of(5000, 3)));
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 4)));
  auto frames = rig.receive(2);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes.size(), 2048u);
  EXPECT_EQ(frames[0].error, RxError::cut);
  EXPECT_EQ(rig.queue.pending_frames(), 1u) << "the cut frame was counted when it was handed out";
  frames = rig.receive(2);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes, frame_of(60, 4));
  EXPECT_EQ(frames[0].error, 0);
  EXPECT_EQ(rig.device.room(), 15u);
}

TEST(RxQueue, NeverEndingFrameNeitherBlocksNorLeaks) {
  Rig rig(64, 1024);
  const Frame piece(1024, 5);
  std::size_t handed_out = 0;
  for (int round = 0; round < 10; ++round) {
    while (rig.device.room() > 0) rig.device.piece(piece, false);
    for (const auto& f : rig.receive(256)) {
      EXPECT_EQ(f.error, RxError::cut);
      ++handed_out;
    }
  }
  EXPECT_EQ(handed_out, 1u);
  rig.device.piece(piece, true);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 6)));
  const auto frames = rig.receive(256);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].bytes, frame_of(60, 6));
}

TEST(RxQueue, SkippingDoesNotGiveBackWhatIsStillLent) {
  Rig rig(16, 1024);
  ASSERT_TRUE(rig.device.deliver(frame_of(5000, 3)));
  std::array<RxSegment, 2> out;
  ASSERT_EQ(rig.queue.receive(out), 2u);
  const auto tail = rig.device.tail();
  EXPECT_EQ(rig.queue.receive(out), 0u);
  EXPECT_EQ(rig.device.tail(), tail);
  rig.queue.release();
  EXPECT_EQ(rig.device.room(), 15u);
}

TEST(RxQueue, BadFramesAreMarked) {
  Rig rig(8);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 1), kRxe));
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 2)));
  rig.device.write_back(2049, status::dd | status::eop);    // one byte more than the buffer
  rig.device.write_back(0xffff, status::dd | status::eop);  // anything
  rig.device.write_back(0, status::dd | status::eop);
  rig.device.write_back(2048, status::dd | status::eop);
  const auto frames = rig.receive(8);
  ASSERT_EQ(frames.size(), 6u);
  const std::array<std::pair<std::size_t, std::uint8_t>, 6> expected{
      {{60, RxError::mac}, {60, 0}, {2048, RxError::length}, {2048, RxError::length}, {0, RxError::length}, {2048, 0}}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(frames[i].bytes.size(), expected[i].first) << i;
    EXPECT_EQ(frames[i].error, expected[i].second) << i;
  }
}

TEST(RxQueue, EachFamilyHasItsOwnErrorBit) {
  constexpr std::uint64_t k82576 = hw::igb::RxError::rxe;
  for (const auto& [bad, seen] : {std::pair{kRxe, kRxe}, std::pair{k82576, k82576}}) {
    Rig rig(8, 2048, bad);
    ASSERT_TRUE(rig.device.deliver(frame_of(60, 1), seen));
    ASSERT_TRUE(rig.device.deliver(frame_of(60, 2), seen == kRxe ? k82576 : kRxe));  // there: a checksum error
    const auto frames = rig.receive(8);
    ASSERT_EQ(frames.size(), 2u);
    EXPECT_EQ(frames[0].error, RxError::mac);
    EXPECT_EQ(frames[1].error, 0);
  }
}

TEST(RxQueue, ADescriptorThatWasReadIsReadyForItsNextUse) {
  Rig rig(8);
  rig.device.ring()[0].word0 = 0xdeadbeef'00000001;  // as the device writes it back: hash and its type
  rig.device.write_back(60, status::dd | status::eop);
  ASSERT_EQ(rig.receive(4).size(), 1u);
  EXPECT_EQ(rig.device.ring()[0].word0, hw::to_integer(rig.device.memory().buffers_iova));
  EXPECT_EQ(rig.device.ring()[0].word1, 0u);
}

TEST(RxQueue, ErrorOfAnyPieceIsOnTheLastSegment) {
  Rig rig(8, 1024);
  rig.device.write_back(4000, status::dd);
  rig.device.piece(Frame(100, 1), true, kRxe);
  std::array<RxSegment, 8> out;
  ASSERT_EQ(rig.queue.receive(out), 2u);
  EXPECT_EQ(out[0].error, 0);
  EXPECT_EQ(out[0].length, 1024u);
  EXPECT_EQ(out[1].error, RxError::length | RxError::mac);
}

TEST(RxQueue, PrepareForgetsEverything) {
  Rig rig(8);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.device.deliver(frame_of(60, 1)));
  EXPECT_EQ(rig.receive(2).size(), 2u);
  rig.queue.prepare();
  EXPECT_EQ(rig.queue.pending_frames(), 0u);
  EXPECT_TRUE(rig.receive(8).empty());
}

TEST(RxQueue, WaitReturnsAtOnceWhenSomethingIsThere) {
  Rig rig(8);
  ASSERT_TRUE(rig.device.deliver(frame_of(60, 1)));
  const auto begin = std::chrono::steady_clock::now();
  rig.queue.wait(std::chrono::seconds(5));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

// A device and a driver against a plain deque, over many laps: sizes, bursts and releases as the random numbers want.
TEST(RxQueue, AgreesWithADequeOverManyLaps) {
  for (const std::uint32_t ring : {8u, 16u, 64u}) {
    std::mt19937 random(ring);
    const auto pick = [&](std::size_t limit) {
      return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
    };
    Rig rig(ring, 1024);
    std::deque<Frame> expected;
    std::uint8_t mark = 0;
    std::size_t taken = 0;
    for (int step = 0; step < 20'000; ++step) {
      if (pick(3) != 0) {
        const Frame f = frame_of(1 + (pick(4) == 0 ? pick(4096) : pick(200)), ++mark);
        if (rig.device.deliver(f)) expected.push_back(f);
      } else {
        EXPECT_EQ(rig.queue.pending_frames(), expected.size());
        for (const Received& got : rig.receive(4 + pick(20), pick(4) != 0)) {
          ASSERT_FALSE(expected.empty());
          ASSERT_EQ(got.bytes, expected.front()) << "step " << step;
          ASSERT_EQ(got.error, 0);
          expected.pop_front();
          ++taken;
        }
      }
    }
    EXPECT_GT(taken, 5000u);
  }
}

}  // namespace
}  // namespace vigia::vf::intel
