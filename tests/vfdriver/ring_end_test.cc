// SPDX-License-Identifier: Apache-2.0
// The published end of a ring: what those who join or were lapped go by.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/vfdriver/ring_fixture.h"

namespace vigia::vf {
namespace {

// A thread may lose its processor between any two stores; who asks meanwhile gets the end before.
TEST(RingEnd, AnEndThatIsHalfPublishedIsNotSeen) {
  RingUnderTest ring;
  for (int published = 0; published < 3; ++published) {
    RingMark& being_written = ring.memory.header().ends[(ring.memory.header().turn + 1) % 2];
    being_written.position = 1'000'000;
    const RingPoint end = ring.memory.published();
    EXPECT_EQ(end.position, 72u * static_cast<unsigned>(published));
    EXPECT_EQ(end.frame, static_cast<unsigned>(published));
    ring.append(60);
    ring.writer.publish();
  }
}

// A listener that joins starts at the published end, so that may not fall far behind in a burst of large frames.
TEST(RingEnd, WhatCrossesALandmarkIsPublishedBeforeTheNextRecord) {
  RingUnderTest ring;
  for (int i = 0; i < 100; ++i) {
    ring.append(1500);
    EXPECT_LE(ring.writer.position() - ring.memory.published().position, kSmall.mark_bytes + 1512);
  }
}

// A thread that joins may lose its processor after it has asked for the end. How far the writer may have come until it
// says who it is: a sixteenth of the ring, here 8 records of 512 bytes.
TEST(RingEnd, WhoeverIsHeldUpWhileJoiningStartsAnew) {
  for (const ListenerKind kind : {ListenerKind::lossless, ListenerKind::overwritable}) {
    for (const unsigned came : {0u, 1u, 8u, 9u, 100u, 1000u}) {
      RingUnderTest ring;
      const RingPoint asked = ring.memory.published();
      for (unsigned i = 0; i < came; ++i) {
        ring.append(500);
        ring.writer.publish();
      }
      EXPECT_EQ(ring.table.start_at(ring.memory, 3, kind, asked), came <= 8) << came;
      EXPECT_EQ(ring.table.kind(3).has_value(), came <= 8) << came << ": who has not joined holds nobody up";
    }
  }
}

// The same just in time, wherever the writer is on its way to its next look at who listens.
TEST(RingEnd, WhoeverIsHeldUpALittleMissesNothing) {
  for (unsigned before = 0; before < 260; ++before) {
    RingUnderTest ring;
    const auto append = [&](unsigned frames) {
      for (unsigned i = 0; i < frames; ++i) {
        ring.append(500);
        ring.writer.publish();
      }
    };
    append(before);
    const RingPoint asked = ring.memory.published();
    append(8);
    ASSERT_TRUE(ring.table.start_at(ring.memory, 3, ListenerKind::lossless, asked));
    auto reader = RingReader::local(ring.memory, ring.table, {3, asked, Fd()});
    append(1000);
    EXPECT_EQ(read_all(reader), ring.next - before) << before;
    EXPECT_EQ(reader.gap().frames, 0u) << before;
  }
}

// Four landmarks and records of a third of their distance: the writer's announcement runs ahead, its publication
// behind, and between the two lies little. A lapped reader finds its way in, and what it lost and read is everything.
TEST(RingEnd, InTheSmallestRingNobodyIsTakenForBroken) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    RingUnderTest ring({.data_bytes = 16 * 1024, .segment_bytes = 64 * 1024, .mark_bytes = 4096, .max_captured = 1514});
    std::mt19937 random(seed);
    auto reader = ring.join(ListenerKind::overwritable);
    for (int i = 0; i < 400; ++i) {
      ring.append(random() % 3 == 0 ? 60 + random() % 1455 : 1514);
      if (random() % 16 == 0) ring.writer.publish();
      if (random() % 8 == 0) {
        read_all(reader);
      } else if (random() % 2 == 0) {
        (void)reader.peek(4096);
      }
      ASSERT_FALSE(reader.broken()) << "seed " << seed << ", frame " << i;
    }
    ring.writer.close();
    read_all(reader);
    EXPECT_EQ(reader.frames_read() + reader.gap().frames, ring.next) << "seed " << seed;
  }
}

// Position and frame of an end belong together at each moment: with equal records one tells the other.
TEST(RingEnd, ThePublishedEndIsOneMoment) {
  RingUnderTest ring({.data_bytes = 1 << 20, .segment_bytes = 1 << 30, .mark_bytes = 64 * 1024, .max_captured = 1514});
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    std::uint64_t before = 0;
    while (!stop) {
      const RingPoint end = ring.memory.published();
      ASSERT_EQ(end.position, end.frame * 72);
      ASSERT_GE(end.frame, before);
      before = end.frame;
    }
  });
  while (ring.next < 200'000) {
    for (int i = 0; i < 3; ++i) ring.append(60);
    ring.writer.publish();
  }
  stop = true;
  watcher.join();
}

}  // namespace
}  // namespace vigia::vf
