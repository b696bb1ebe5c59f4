// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/engine.h"

#include <gtest/gtest.h>

#include <thread>

#include "hw/accounts.h"
#include "tests/vfdriver/fake_capture_device.h"

namespace vigia::vf {
namespace {

struct EngineUnderTest {
  explicit EngineUnderTest(EngineOptions options = {}, const RingGeometry& geometry = kSmall)
      : ring(geometry),
        counters(must(hw::CounterFile::create({}, hw::accounts::capture_names()))),
        engine({&port}, ring.writer, clock, ring.memory, counters, options) {}

  RingUnderTest ring;
  Clock clock;
  hw::CounterFile counters;
  FakePort port;
  Engine engine;
};

// Frames in the ring, whose first 8 bytes count; stamps must not decrease.
std::vector<std::uint64_t> read_indices(RingReader& reader, std::vector<std::uint32_t>* wires = nullptr) {
  std::vector<std::uint64_t> indices;
  static std::uint64_t last = 0;
  for (auto bytes = reader.peek(65536); !bytes.empty(); bytes = reader.peek(65536)) {
    RecordCursor cursor(bytes);
    FrameView view;
    std::uint64_t n = 0;
    for (; cursor.next(view); ++n) {
      std::uint64_t index = 0;
      std::memcpy(&index, view.bytes.data(), sizeof(index));
      indices.push_back(index);
      if (wires) wires->push_back(view.wire);
      EXPECT_GE(view.stamp.total_ns(), last);
      last = view.stamp.total_ns();
    }
    reader.advance(cursor.consumed(), n);
  }
  return indices;
}

TEST(Engine, EmptyPortDoesNothing) {
  EngineUnderTest t;
  EXPECT_EQ(t.engine.burst(t.port), 0u);
  EXPECT_EQ(t.engine.totals().taken, 0u);
}

TEST(Engine, TakesStampsAppendsReleases) {
  EngineUnderTest t;
  auto reader = t.ring.join(ListenerKind::lossless);
  t.port.offered = 100;
  while (t.engine.burst(t.port) > 0) EXPECT_EQ(t.port.released, t.port.taken);
  EXPECT_EQ(t.port.bursts, 4u) << "32 + 32 + 32 + 4";
  const auto indices = read_indices(reader);
  ASSERT_EQ(indices.size(), 100u);
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(indices[i], i);
  EXPECT_EQ(t.engine.totals().taken_bytes, 6000u);
  EXPECT_EQ(t.counters.snapshot().at("engine.appended"), 100u);
}

TEST(Engine, GathersFramesOfSeveralSegments) {
  for (const std::uint32_t snaplen : {65535u, 1024u, 1025u, 200u}) {
    EngineUnderTest t({.snaplen = snaplen});
    t.port.frame_bytes = 1500;
    t.port.segment_bytes = 512;
    auto reader = t.ring.join(ListenerKind::lossless);
    t.port.offered = 10;
    EXPECT_EQ(t.engine.burst(t.port), 10u);
    const auto bytes = reader.peek(65536);
    RecordCursor cursor(bytes);
    FrameView view;
    for (std::uint64_t i = 0; i < 10; ++i) {
      ASSERT_TRUE(cursor.next(view));
      EXPECT_EQ(view.wire, 1500u);
      const auto expected = frame_of(i, 1500);
      ASSERT_EQ(view.bytes.size(), std::min(snaplen, 1500u));
      EXPECT_TRUE(std::equal(view.bytes.begin() + 8, view.bytes.end(), expected.begin() + 8));
    }
    EXPECT_FALSE(cursor.next(view));
    EXPECT_EQ(t.engine.totals().taken_bytes, 15000u) << "bytes on the wire, whatever is kept";
  }
}

TEST(Engine, SnaplenKeepsTheWireLength) {
  EngineUnderTest t({.snaplen = 20});
  auto reader = t.ring.join(ListenerKind::lossless);
  t.port.offered = 3;
  t.engine.burst(t.port);
  std::vector<std::uint32_t> wires;
  EXPECT_EQ(read_indices(reader, &wires).size(), 3u);
  EXPECT_EQ(wires, std::vector<std::uint32_t>(3, 60));
}

TEST(Engine, WhatThePortDoesNotHoldCountsAsWireLengthOnly) {
  for (const std::uint32_t segment_bytes : {2048u, 64u}) {
    EngineUnderTest t;
    t.port.frame_bytes = 100;
    t.port.segment_bytes = segment_bytes;
    t.port.beyond = 1400;
    auto reader = t.ring.join(ListenerKind::lossless);
    t.port.offered = 1;
    EXPECT_EQ(t.engine.burst(t.port), 1u);
    RecordCursor cursor(reader.peek(65536));
    FrameView view;
    ASSERT_TRUE(cursor.next(view));
    EXPECT_EQ(view.bytes.size(), 100u);
    EXPECT_EQ(view.wire, 1500u);
    EXPECT_TRUE(is_frame(view, 0));
    EXPECT_EQ(t.engine.totals().taken_bytes, 1500u);
  }
}

TEST(Engine, DamagedFramesAreKeptAndCounted) {
  for (const std::uint32_t segment_bytes : {2048u, 32u}) {
    EngineUnderTest t;
    t.port.segment_bytes = segment_bytes;
    t.port.error = RxError::mac;
    auto reader = t.ring.join(ListenerKind::lossless);
    t.port.offered = 9;
    EXPECT_EQ(t.engine.burst(t.port), 9u);
    EXPECT_EQ(read_indices(reader).size(), 9u);
    EXPECT_EQ(t.engine.totals().damaged, 4u);
    EXPECT_EQ(t.counters.snapshot().at("engine.damaged"), 4u);
  }
}

TEST(Engine, FramesLongerThanTheRingTakesAreCutNotRefused) {
  EngineUnderTest t;
  t.port.frame_bytes = 9000;
  auto reader = t.ring.join(ListenerKind::lossless);
  t.port.offered = 1;
  t.engine.burst(t.port);
  std::vector<std::uint32_t> wires;
  read_indices(reader, &wires);
  EXPECT_EQ(wires, std::vector<std::uint32_t>{9000});
}

// A port with stamps of its own, in pieces of its frames.
class StampingPort final : public RxPort {
 public:
  std::vector<std::uint64_t> told;  // of each frame
  std::size_t pieces = 1;
  std::size_t taken = 0;

  std::size_t receive(std::span<RxSegment> out) noexcept override {
    std::size_t n = 0, frames = 0;
    for (; n + pieces <= out.size() && taken < told.size(); ++taken) {
      now_[frames++] = told[taken];
      for (std::size_t i = 0; i < pieces; ++i) out[n++] = {bytes_.data(), 100, i + 1 == pieces};
    }
    return n;
  }
  const std::uint64_t* stamps() const noexcept override { return now_.data(); }
  void release() noexcept override {}
  void wait(std::chrono::microseconds) noexcept override {}
  bool alive() const noexcept override { return true; }
  std::uint64_t pending_frames() const noexcept override { return told.size() - taken; }

 private:
  std::array<std::byte, 100> bytes_{};
  std::array<std::uint64_t, Engine::kBurst> now_{};
};

TEST(Engine, APortsOwnStampsAreKeptInOrder) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  const std::vector<std::uint64_t> told{
      5 * kSecond, 5 * kSecond + 7, 6 * kSecond - 1, 6 * kSecond, 6 * kSecond - 5, 9 * kSecond + 1, 0, 9 * kSecond + 2};
  for (const std::size_t pieces : {std::size_t{1}, std::size_t{3}}) {
    EngineUnderTest t;
    auto reader = t.ring.join(ListenerKind::lossless);
    StampingPort port;
    for (int lap = 0; lap < 5; ++lap) port.told.insert(port.told.end(), told.begin(), told.end());
    port.pieces = pieces;
    while (t.engine.burst(port) > 0) {
    }
    EXPECT_EQ(t.engine.totals().taken, port.told.size());
    EXPECT_EQ(t.engine.totals().taken_bytes, port.told.size() * pieces * 100);
    RecordCursor cursor(reader.peek(65536));
    FrameView view;
    std::uint64_t last = 0;
    for (const std::uint64_t ns : port.told) {
      last = std::max(last, ns);
      ASSERT_TRUE(cursor.next(view));
      EXPECT_EQ(view.stamp.total_ns(), last);
      EXPECT_EQ(view.wire, pieces * 100);
    }
    EXPECT_FALSE(cursor.next(view));
  }
}

// Every fourth frame of the port is the one before once more.
class RepeatingPort final : public RxPort {
 public:
  std::uint64_t offered = 0, taken = 0;
  std::uint32_t size = 300;
  std::size_t pieces = 1;

  std::size_t receive(std::span<RxSegment> out) noexcept override {
    std::size_t n = 0;
    for (; n + pieces <= out.size() && taken < offered; ++taken) {
      auto& frame = frames_[taken % frames_.size()];
      frame = frame_of(taken % 4 == 3 ? taken - 1 : taken, size);
      const std::uint32_t each = size / static_cast<std::uint32_t>(pieces);
      for (std::size_t i = 0; i < pieces; ++i) out[n++] = {frame.data() + i * each, each, i + 1 == pieces};
    }
    return n;
  }
  void release() noexcept override {}
  void wait(std::chrono::microseconds) noexcept override {}
  bool alive() const noexcept override { return true; }
  std::uint64_t pending_frames() const noexcept override { return offered - taken; }

 private:
  std::array<std::vector<std::byte>, 64> frames_;
};

TEST(Engine, DuplicatesAreLeftOutOrMarkedAndTheAccountsBalance) {
  for (const bool keep : {false, true}) {
    for (const std::size_t pieces : {1u, 3u}) {
      EngineUnderTest t({.snaplen = 100, .duplicates = DuplicateOptions{.keep = keep}});
      RepeatingPort port;
      port.pieces = pieces;
      t.engine.set_ports({&port});
      auto reader = t.ring.join(ListenerKind::lossless);
      port.offered = 400;
      while (t.engine.burst(port) > 0) {
      }
      const EngineTotals totals = t.engine.totals();
      EXPECT_EQ(totals.taken, 400u);
      EXPECT_EQ(totals.taken_bytes, 400u * 300);
      EXPECT_EQ(totals.duplicate, keep ? 0u : 100u);
      EXPECT_EQ(totals.marked, keep ? 100u : 0u);
      EXPECT_EQ(totals.taken, totals.duplicate + totals.ring_full + totals.appended) << "ledger line 5";
      const auto accounts = t.counters.snapshot();
      EXPECT_EQ(accounts.at("engine.duplicate"), totals.duplicate);
      EXPECT_EQ(accounts.at("engine.marked"), totals.marked);
      const auto bytes = reader.peek(65536);
      RecordCursor cursor(bytes);
      FrameView view;
      std::uint64_t n = 0;
      for (; cursor.next(view); ++n) {
        const std::uint64_t index = keep ? (n % 4 == 3 ? n - 1 : n) : n / 3 * 4 + n % 3;
        EXPECT_TRUE(is_frame(view, index)) << n;
        EXPECT_EQ(view.repeated, keep && n % 4 == 3) << n;
        EXPECT_EQ(view.wire, 300u);
      }
      EXPECT_EQ(n, totals.appended);
    }
  }
}

TEST(Engine, ARefusedDuplicateIsInOneAccountOnly) {
  EngineUnderTest t({.duplicates = DuplicateOptions{.keep = true}});
  RepeatingPort port;
  t.engine.set_ports({&port});
  auto stuck = t.ring.join(ListenerKind::lossless);
  port.offered = 2000;
  while (t.engine.burst(port) > 0) {
  }
  const EngineTotals totals = t.engine.totals();
  EXPECT_GT(totals.ring_full, 0u);
  EXPECT_EQ(totals.taken, totals.ring_full + totals.appended);
  EXPECT_EQ(totals.marked, t.ring.memory.header().marked.load());
  EXPECT_LT(totals.marked, totals.appended / 3);
}

TEST(Engine, NeverWaitsForALosslessListener) {
  EngineUnderTest t;
  auto stuck = t.ring.join(ListenerKind::lossless);
  t.port.offered = 5000;
  while (t.engine.burst(t.port) > 0) {
  }
  const auto totals = t.engine.totals();
  EXPECT_EQ(totals.taken, 5000u);
  EXPECT_EQ(totals.taken, totals.ring_full + totals.appended) << "ledger line 5";
  EXPECT_EQ(read_indices(stuck).size(), totals.appended);
  EXPECT_NEAR(static_cast<double>(totals.appended), 65536.0 / 72, 2);
}

TEST(Engine, StopsAtExactlyTheNumberOfFramesAsked) {
  for (const std::uint64_t limit : {1u, 31u, 32u, 33u, 100u}) {
    FrameLimit frames(limit);
    EngineUnderTest t({.limit = &frames});
    t.port.offered = 1000;
    t.engine.run();
    EXPECT_TRUE(t.engine.reached_limit());
    EXPECT_EQ(t.engine.totals().taken, limit);
    t.engine.drain();
    EXPECT_EQ(t.engine.totals().taken, limit) << "draining respects the limit";
    EXPECT_EQ(t.engine.totals().left_in_ring, 1000 - limit) << "ledger line 4";
  }
}

TEST(Engine, AFrameOfSeveralBuffersIsWholeAlsoNextToTheLimit) {
  for (const std::uint64_t limit : {1u, 2u, 3u, 9u, 33u}) {
    FrameLimit frames(limit);
    EngineUnderTest t({.limit = &frames});
    t.port.frame_bytes = 1500;
    t.port.segment_bytes = 200;  // eight buffers each, four frames a burst
    auto reader = t.ring.join(ListenerKind::lossless);
    t.port.offered = 100;
    t.engine.run();
    EXPECT_EQ(t.engine.totals().taken, limit);
    t.engine.drain();
    EXPECT_EQ(t.port.cut, 0u);
    EXPECT_EQ(t.port.released, t.port.taken) << "nothing is kept from the device";
    EXPECT_EQ(t.engine.totals().taken, limit);
    EXPECT_EQ(t.engine.totals().left_in_ring, 100 - limit) << "ledger line 4";
    std::vector<std::uint32_t> wires;
    const auto indices = read_indices(reader, &wires);
    ASSERT_EQ(indices.size(), limit);
    for (std::uint64_t i = 0; i < limit; ++i) EXPECT_EQ(indices[i], i);
    EXPECT_EQ(wires, std::vector<std::uint32_t>(limit, 1500));
  }
}

TEST(Engine, WhatIsAboveTheLimitIsTakenWhenAnotherEngineGivesItsClaimBack) {
  FrameLimit frames(40);
  EngineUnderTest t({.limit = &frames});
  FakePort second;
  auto reader = t.ring.join(ListenerKind::lossless);
  EXPECT_EQ(frames.claim(38), 38u) << "another engine looks at its queue";
  t.port.offered = 5;
  EXPECT_EQ(t.engine.burst(t.port), 2u);
  EXPECT_EQ(t.port.released, 0u) << "the engine still holds three";
  EXPECT_EQ(t.engine.burst(t.port), 0u);
  frames.settle(38, 0);
  t.port.offered = 6;
  EXPECT_EQ(t.engine.burst(second), 3u) << "whichever of its queues is asked";
  EXPECT_EQ(t.port.released, 5u);
  EXPECT_EQ(t.engine.burst(t.port), 1u);
  EXPECT_EQ(read_indices(reader), (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Engine, FramesHeldBackByTheLimitKeepThePortsStamps) {
  FrameLimit frames(40);
  EngineUnderTest t({.limit = &frames});
  StampingPort port;
  port.told = {10, 20, 30, 40, 50};
  auto reader = t.ring.join(ListenerKind::lossless);
  EXPECT_EQ(frames.claim(38), 38u) << "another engine looks at its queue";
  EXPECT_EQ(t.engine.burst(port), 2u);
  frames.settle(38, 0);
  EXPECT_EQ(t.engine.burst(port), 3u);
  RecordCursor cursor(reader.peek(65536));
  FrameView view;
  for (const std::uint64_t ns : port.told) {
    ASSERT_TRUE(cursor.next(view));
    EXPECT_EQ(view.stamp.total_ns(), ns);
  }
}

TEST(Engine, DrainTakesWhatTheDeviceHadFinished) {
  EngineUnderTest t;
  t.engine.request_stop();
  t.engine.run();
  t.port.offered = 77;
  t.engine.drain();
  EXPECT_EQ(t.engine.totals().taken, 77u);
  EXPECT_EQ(t.engine.totals().left_in_ring, 0u);
}

TEST(Engine, EndsWhenTheDeviceIsDead) {
  EngineUnderTest t;
  t.port.dead = true;
  t.engine.run();
  EXPECT_FALSE(t.engine.running());
}

TEST(Engine, RunsAgainAfterARestart) {
  EngineUnderTest t;
  t.engine.request_stop();
  t.engine.run();
  EXPECT_FALSE(t.engine.running());
  t.engine.restart();
  EXPECT_TRUE(t.engine.running());
  t.port.offered = 5;
  std::thread thread([&] { t.engine.run(); });
  while (t.engine.totals().taken < 5) std::this_thread::yield();
  t.engine.request_stop();
  thread.join();
}

// Engine, a lossless and an overwritable listener, calibrations: real threads (TSan runs this).
TEST(EngineThreads, EveryFrameIsInExactlyOneAccount) {
  EngineUnderTest t({},
                    {.data_bytes = 1 << 20, .segment_bytes = 4 << 20, .mark_bytes = 64 * 1024, .max_captured = 1514});
  auto lossless = t.ring.join(ListenerKind::lossless);
  auto quick = t.ring.join(ListenerKind::overwritable);
  constexpr std::uint64_t kFrames = 100'000;
  std::atomic<std::uint64_t> read_lossless{0}, read_quick{0};
  const auto listen = [](RingReader& reader, std::atomic<std::uint64_t>& frames) {
    while (!reader.finished()) {
      const auto bytes = reader.peek(65536 * 2);
      RecordCursor cursor(bytes);
      FrameView view;
      std::uint64_t n = 0;
      while (cursor.next(view)) ++n;
      reader.advance(cursor.consumed(), n);
      frames += n;
      if (n == 0) std::this_thread::yield();
    }
  };
  std::thread a(listen, std::ref(lossless), std::ref(read_lossless));
  std::thread b(listen, std::ref(quick), std::ref(read_quick));
  std::thread engine([&] { t.engine.run(); });
  while (t.port.offered < kFrames) {
    t.port.offered += 100;
    t.clock.calibrate();
    if (t.port.offered % 10'000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  t.engine.request_stop();
  engine.join();
  t.engine.drain();
  t.ring.writer.close();
  a.join();
  b.join();
  const auto totals = t.engine.totals();
  EXPECT_EQ(totals.taken, kFrames);
  EXPECT_EQ(totals.taken, totals.appended + totals.ring_full);
  EXPECT_EQ(read_lossless, totals.appended);
  EXPECT_EQ(read_quick + quick.gap().frames, totals.appended);
}

}  // namespace
}  // namespace vigia::vf
