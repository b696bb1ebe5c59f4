// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/merged_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <random>
#include <thread>

#include "tests/vfdriver/ring_fixture.h"

namespace vigia::vf {
namespace {

// A queue's ring whose frames carry (queue, index) and any stamp.
struct Queue : RingUnderTest {
  using RingUnderTest::RingUnderTest;

  void put(std::uint64_t ns, std::size_t size = 64, bool publish = true) {
    const auto frame = frame_of(next++, size);
    EXPECT_TRUE(writer.append(Stamp::of_ns(ns), frame.data(), static_cast<std::uint32_t>(size),
                              static_cast<std::uint32_t>(size)));
    if (publish) writer.publish();
  }
  void promise(std::uint64_t ns) { memory.header().promise_ns.store(ns, std::memory_order_release); }
};

struct Rig {
  explicit Rig(std::size_t n, ListenerKind kind = ListenerKind::lossless) {
    for (std::size_t i = 0; i < n; ++i) queues.emplace_back();
    std::vector<RingReader> readers;
    for (Queue& queue : queues) readers.push_back(queue.join(kind));
    merged.emplace(std::move(readers));
  }
  std::vector<std::uint64_t> read(std::size_t max = 1000, bool no_writer = false) {
    std::vector<std::uint64_t> stamps;
    merged->read(
        max, [&](const FrameView& frame) { stamps.push_back(frame.stamp.total_ns()); }, no_writer);
    return stamps;
  }

  std::deque<Queue> queues;
  std::optional<MergedReader> merged;
};

using Stamps = std::vector<std::uint64_t>;

TEST(MergedReader, OneRingIsNeverDelayed) {
  Rig rig(1);
  rig.queues[0].put(5);
  rig.queues[0].put(7);
  EXPECT_EQ(rig.read(), (Stamps{5, 7}));
  EXPECT_EQ(rig.read(), Stamps{});
  EXPECT_EQ(rig.merged->frames_read(), 2u);
}

TEST(MergedReader, WaitsForTheQueueThatMayBeEarlier) {
  Rig rig(2);
  rig.queues[0].put(10);
  rig.queues[0].put(20);
  EXPECT_EQ(rig.read(), Stamps{}) << "the other queue has promised nothing";
  rig.queues[1].promise(10);
  EXPECT_EQ(rig.read(), Stamps{10});
  rig.queues[1].promise(19);
  EXPECT_EQ(rig.read(), Stamps{});
  rig.queues[1].put(19);
  EXPECT_EQ(rig.read(), Stamps{19});
  rig.queues[1].promise(30);
  EXPECT_EQ(rig.read(), Stamps{20});
}

TEST(MergedReader, InterleavesByStamp) {
  Rig rig(3);
  for (const std::uint64_t ns : {1, 4, 9}) rig.queues[0].put(ns);
  for (const std::uint64_t ns : {2, 3, 10}) rig.queues[1].put(ns);
  for (const std::uint64_t ns : {5, 6, 7}) rig.queues[2].put(ns);
  EXPECT_EQ(rig.read(4), (Stamps{1, 2, 3, 4})) << "at most as many as asked for";
  EXPECT_EQ(rig.read(), (Stamps{5, 6, 7}));
  rig.queues[2].promise(100);
  EXPECT_EQ(rig.read(), (Stamps{9})) << "the first queue is empty now and has promised nothing";
}

TEST(MergedReader, AnEndedQueueHoldsNobodyUp) {
  Rig rig(2);
  rig.queues[0].put(10);
  rig.queues[1].put(11);
  rig.queues[1].writer.close();
  EXPECT_EQ(rig.read(), (Stamps{10})) << "what is left of it still counts";
  rig.queues[0].put(12);
  EXPECT_EQ(rig.read(), (Stamps{11, 12}));
  EXPECT_FALSE(rig.merged->finished());
  rig.queues[0].writer.close();
  EXPECT_TRUE(rig.merged->finished());
}

TEST(MergedReader, WithoutWritersEverythingIsGiven) {
  Rig rig(2);
  rig.queues[0].put(10);
  rig.queues[0].put(30);
  rig.queues[1].put(20);
  EXPECT_EQ(rig.read(1000, true), (Stamps{10, 20, 30}));
  EXPECT_EQ(rig.merged->unread().frame, 0u);
}

TEST(MergedReader, ReleasesExactlyWhatItGave) {
  Rig rig(2);
  for (std::uint64_t i = 0; i < 10; ++i) rig.queues[0].put(2 * i + 1), rig.queues[1].put(2 * i + 2);
  EXPECT_EQ(rig.read(5).size(), 5u);
  EXPECT_EQ(rig.merged->frames_read(), 5u);
  EXPECT_EQ(rig.merged->unread().frame, 15u);
  EXPECT_EQ(rig.queues[0].table.page(0).frames_read.load(), 3u);
  EXPECT_EQ(rig.queues[1].table.page(0).frames_read.load(), 2u);
  EXPECT_EQ(rig.read(1000, true).size(), 15u);
  EXPECT_EQ(rig.merged->unread().position, 0u);
}

TEST(MergedReader, ALappedQueueCostsItsOwnFramesOnly) {
  Rig rig(2, ListenerKind::overwritable);
  rig.queues[1].put(1);
  for (std::uint64_t i = 0; i < 2000; ++i) rig.queues[0].put(10 + i);  // two laps and more of 64 KiB
  rig.queues[1].put(5000);
  const Stamps got = rig.read(10'000, true);
  EXPECT_EQ(got.front(), 1u);
  EXPECT_EQ(got.back(), 5000u);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_GT(rig.merged->gap().frames, 0u);
  EXPECT_EQ(got.size() + rig.merged->gap().frames, 2002u);
}

// Real engines' way: publish, then promise; the reader meanwhile. Every frame once, in order.
TEST(MergedReader, OrderHoldsBesideWriters) {
  constexpr std::uint64_t kFrames = 20'000;
  Rig rig(3);
  std::atomic<std::uint64_t> clock{1};
  std::vector<std::thread> writers;
  for (std::size_t q = 0; q < rig.queues.size(); ++q) {
    writers.emplace_back([&, q] {
      Queue& queue = rig.queues[q];
      std::minstd_rand random(static_cast<unsigned>(q + 1));
      const auto frame = frame_of(q, 64);
      for (std::uint64_t i = 0; i < kFrames;) {
        const unsigned burst = random() % 8;
        for (unsigned k = 0; k < burst && i < kFrames; ++k) {
          if (!queue.writer.append(Stamp::of_ns(clock.fetch_add(1)), frame.data(), 64, 64)) break;
          ++i;
        }
        queue.writer.publish();
        if (burst == 0) queue.promise(clock.load());
        if (random() % 64 == 0) std::this_thread::yield();
      }
      queue.writer.close();
    });
  }
  std::uint64_t last = 0, frames = 0;
  while (!rig.merged->finished()) {
    const std::size_t got = rig.merged->read(1000, [&](const FrameView& frame) {
      const std::uint64_t ns = frame.stamp.total_ns();
      if (ns <= last) ADD_FAILURE() << ns << " after " << last;
      last = ns;
      ++frames;
    });
    if (got == 0) std::this_thread::yield();
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(frames, rig.queues.size() * kFrames);
}

}  // namespace
}  // namespace vigia::vf
