// SPDX-License-Identifier: Apache-2.0
// What a pull reads of the past: from the ring, from RAW files, and across the seam between them, each frame once.
#include "vfdriver/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "hw/accounts.h"
#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/store.h"

namespace vigia::vf {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr RingGeometry kRaw{
    .data_bytes = 4 << 20, .segment_bytes = 3 << 20, .mark_bytes = kBlockBytes, .max_captured = 1514};
constexpr std::uint64_t kBase = 1'000'000'000;  // frame i of RingUnderTest is stamped kBase + i

struct Seen {
  std::vector<std::uint64_t> frames;
  ReplayReport report;

  // [first, end), each once and in order.
  void expect_range(std::uint64_t first, std::uint64_t end) const {
    ASSERT_EQ(frames.size(), end - first);
    for (std::uint64_t i = first; i < end; ++i) ASSERT_EQ(frames[i - first], i);
    EXPECT_EQ(report.gap_frames, 0u);
  }
};

Seen replay(
    const RingMemory* ring, std::optional<StoredFrames> stored, ReplayWindow window,
    const std::function<bool(std::uint64_t)>& more = [](std::uint64_t) { return true; }) {
  Seen seen;
  std::atomic<bool> cancel{false};
  Replay reader(ring, std::move(stored), window);
  reader.run(
      [&](const FrameView& frame) {
        const std::uint64_t index = frame.stamp.total_ns() - kBase;
        EXPECT_TRUE(is_frame(frame, index)) << "frame " << index;
        seen.frames.push_back(index);
        return more(index);
      },
      [] {}, cancel);
  seen.report = reader.report();
  return seen;
}

ReplayWindow window(std::uint64_t first, std::uint64_t end) { return {kBase + first, kBase + end, false, false}; }

TEST(RingHistory, EmptyAndYoungRings) {
  RingUnderTest ring;
  const RingHistory history(ring.memory);
  EXPECT_EQ(history.newest_ns(), std::nullopt);
  EXPECT_EQ(history.oldest()->position, 0u);
  ASSERT_TRUE(ring.append(60));
  EXPECT_EQ(history.newest_ns(), std::nullopt) << "not published yet";
  ring.writer.publish();
  EXPECT_EQ(history.newest_ns(), kBase);
  EXPECT_EQ(history.stamp_ns(*history.oldest()), kBase);
  EXPECT_EQ(history.before_time(0)->frame, 0u) << "the beginning of the stream is before everything";
  EXPECT_EQ(history.at_frame(0)->frame, 0u);
}

TEST(RingHistory, FindsThePlaceOfEveryFrameThatIsHeld) {
  RingUnderTest ring;
  const RingHistory history(ring.memory);
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(ring.append(60 + ring.next * 37 % 1400));
    ring.writer.publish();
    const auto oldest = history.oldest();
    ASSERT_TRUE(oldest);
    ASSERT_EQ(history.newest_ns(), kBase + ring.next - 1);
    if (i % 100 != 99) continue;
    for (std::uint64_t f = 0; f < ring.next; ++f) {
      const auto at = history.at_frame(f), before = history.before_time(kBase + f);
      ASSERT_EQ(at.has_value(), f >= oldest->frame) << "frame " << f << " of " << ring.next;
      if (!at) continue;
      ASSERT_LE(at->frame, f);
      ASSERT_EQ(history.stamp_ns(*at), kBase + at->frame);
      if (!before) continue;
      ASSERT_TRUE(before->frame < f || before->frame == 0);
    }
    ASSERT_EQ(history.before_time(kBase + oldest->frame).has_value(), oldest->frame == 0)
        << "nothing is known to be before the oldest frame, but at the beginning";
  }
  EXPECT_GT(history.oldest()->frame, 100u) << "the ring has gone round";
}

TEST(Replay, TheRingAlone) {
  RingUnderTest ring;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(ring.append(60 + ring.next * 37 % 700));
  ring.writer.publish();
  replay(&ring.memory, {}, {}).expect_range(0, 50);
  replay(&ring.memory, {}, window(10, 20)).expect_range(10, 20);
  replay(&ring.memory, {}, window(49, 1000)).expect_range(49, 50);
  replay(&ring.memory, {}, window(50, 1000)).expect_range(50, 50);
  replay(&ring.memory, {}, window(0, 0)).expect_range(0, 0);
  const Seen some = replay(&ring.memory, {}, {}, [](std::uint64_t i) { return i < 30; });
  EXPECT_EQ(some.frames.size(), 31u) << "take() had enough";
  const Seen all = replay(&ring.memory, {}, {0, ~0ull, false, false});
  EXPECT_EQ(all.report.history_from_ns, kBase) << "the capture began after the window";
  EXPECT_EQ(all.report.frames_before, 0u);
  EXPECT_THAT(all.report.why, HasSubstr("the capture began then"));
  EXPECT_EQ(replay(&ring.memory, {}, window(0, 9)).report.history_from_ns, std::nullopt) << "nothing is missing";
}

TEST(Replay, NothingCapturedYet) {
  RingUnderTest ring;
  replay(&ring.memory, {}, {}).expect_range(0, 0);
  replay(nullptr, {}, {}).expect_range(0, 0);
}

TEST(Replay, AnOverwrittenWindowSaysExactlyWhatIsGone) {
  RingUnderTest ring;
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(ring.append(60 + ring.next * 37 % 700));
  ring.writer.publish();
  const std::uint64_t oldest = RingHistory(ring.memory).oldest()->frame;
  ASSERT_GT(oldest, 1000u);
  const Seen all = replay(&ring.memory, {}, {});
  all.expect_range(oldest, 2000);
  EXPECT_EQ(all.report.frames_before, oldest);
  EXPECT_EQ(all.report.history_from_ns, kBase + oldest);
  EXPECT_THAT(all.report.why, HasSubstr("the ring was overwritten"));
  replay(&ring.memory, {}, window(1999, 3000)).expect_range(1999, 2000);
}

TEST(Replay, LappedInTheMiddleCountsEachFrame) {
  RingUnderTest ring;
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(ring.append(600));
  ring.writer.publish();
  std::uint64_t more = 2;  // rings full of new frames while the pull looks at its 10th frame
  const Seen seen = replay(&ring.memory, {}, {0, ~0ull, true, false}, [&](std::uint64_t index) {
    if (index >= 10 && more > 0) {
      for (int i = 0; i < 200; ++i) EXPECT_TRUE(ring.append(600));
      ring.writer.publish();
      if (--more == 0) ring.writer.close();
    }
    return true;
  });
  ASSERT_FALSE(seen.frames.empty());
  EXPECT_GT(seen.report.gap_frames, 0u);
  EXPECT_EQ(seen.frames.front(), 0u);
  EXPECT_EQ(seen.frames.back(), ring.next - 1);
  EXPECT_EQ(seen.frames.size() + seen.report.gap_frames, ring.next) << "given or counted, each one";
  EXPECT_TRUE(std::is_sorted(seen.frames.begin(), seen.frames.end()));
}

// A RAW store beside the ring, as `serve` has it.
struct Stored {
  explicit Stored(std::uint64_t quota = 0, milliseconds retry = milliseconds(0))
      : counters(must(hw::CounterFile::create({}, hw::accounts::capture_names()))) {
    store = must(create_raw_store(ring.join(ListenerKind::lossless), {dir / "raw", "x", quota, retry}, counters));
    thread = std::thread([this] { store->run(); });
  }
  ~Stored() {
    if (thread.joinable()) end();
  }
  void feed(std::uint64_t frames) {
    for (std::uint64_t i = 0; i < frames; ++i) {
      while (!ring.append(60 + ring.next * 37 % 1400)) {
        ring.writer.publish();
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      if (i % 32 == 31) ring.writer.publish();
    }
    ring.writer.publish();
  }
  void end() {
    ring.writer.close();
    thread.join();
    (void)store->finish({});
  }
  StoredFrames frames(std::uint64_t first_file = 0) const {
    return {dir / "raw", "x", first_file == 0 ? store->first_file() : first_file};
  }

  TempDir dir;
  RingUnderTest ring{kRaw};
  hw::CounterFile counters;
  std::unique_ptr<Store> store;
  std::thread thread;
};

TEST(Replay, AcrossTheSeamEachFrameOnce) {
  Stored t;
  // Three files and a bit; the ring holds about 5000 of the frames.
  for (const std::uint64_t step : {100u, 3000u, 10'000u, 1u, 2500u}) {
    t.feed(step);
    const std::uint64_t n = t.ring.next;
    const Seen all = replay(&t.ring.memory, t.frames(), {});
    all.expect_range(0, n);
    EXPECT_EQ(all.report.ring_frames + all.report.disk_frames, n);
    for (const std::uint64_t from : {std::uint64_t{1}, n / 3, n / 2, n - n / 7, n - 1}) {
      replay(&t.ring.memory, t.frames(), window(from, n - 1)).expect_range(from, std::max(from, n - 1));
      EXPECT_EQ(replay(&t.ring.memory, t.frames(), window(from, n)).report.history_from_ns, std::nullopt);
    }
  }
  const Seen all = replay(&t.ring.memory, t.frames(), {});
  EXPECT_GT(all.report.disk_frames, 5000u);
  EXPECT_GT(all.report.ring_frames, 1000u);
}

TEST(Replay, FollowsWhileItIsWritten) {
  Stored t;
  t.feed(8000);
  std::thread feeder([&] {
    t.feed(20'000);
    t.ring.writer.publish();
  });
  const Seen seen =
      replay(&t.ring.memory, t.frames(), {0, ~0ull, true, false}, [](std::uint64_t index) { return index < 27'999; });
  feeder.join();
  seen.expect_range(0, 28'000);
}

// The reader is slower than the writer: what the ring no longer has comes from the disk, while that is written.
TEST(Replay, ASlowReaderIsServedFromDisk) {
  Stored t;
  t.feed(100);
  std::thread feeder([&] { t.feed(30'000); });
  const Seen seen = replay(&t.ring.memory, t.frames(), {0, ~0ull, true, false}, [](std::uint64_t index) {
    if (index % 5000 == 0) std::this_thread::sleep_for(milliseconds(50));
    return index < 30'099;
  });
  feeder.join();
  seen.expect_range(0, 30'100);
  EXPECT_GT(seen.report.disk_frames, 0u);
}

TEST(Replay, DeletedFilesAreSaid) {
  Stored t(6 << 20);
  t.feed(30'000);
  // From then on no file is begun, and none deleted for it.
  while (t.store->totals().stored < 30'000) std::this_thread::sleep_for(milliseconds(1));
  const Seen all = replay(&t.ring.memory, t.frames(), {});
  ASSERT_FALSE(all.frames.empty());
  const std::uint64_t first = all.frames.front();
  EXPECT_GT(first, 10'000u);
  all.expect_range(first, 30'000);
  EXPECT_EQ(all.report.frames_before, first);
  EXPECT_THAT(all.report.why, HasSubstr("quota"));
}

TEST(Replay, EarlierCapturesComeFirst) {
  Stored t;
  t.feed(9000);
  t.end();
  // The next capture of the same name: another ring, files that go on in number.
  RingUnderTest ring(kRaw);
  ring.next = 9000;  // so that stamps and contents go on
  const auto counters = must(hw::CounterFile::create({}, hw::accounts::capture_names()));
  const auto store =
      must(create_raw_store(ring.join(ListenerKind::lossless), {t.dir / "raw", "x", 0, milliseconds(0)}, counters));
  std::thread thread([&] { store->run(); });
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(ring.append(200));
  ring.writer.publish();
  const StoredFrames stored(t.dir / "raw", "x", store->first_file());
  replay(&ring.memory, stored, {}).expect_range(0, 10'000);
  replay(&ring.memory, stored, window(8000, 9500)).expect_range(8000, 9500);
  replay(&ring.memory, stored, window(9500, 9600)).expect_range(9500, 9600);
  EXPECT_EQ(replay(&ring.memory, stored, window(8000, 9500)).report.disk_frames, 1000u);
  // While no capture runs, all files are of earlier ones.
  ring.writer.close();
  thread.join();
  replay(nullptr, StoredFrames(t.dir / "raw", "x", ~0ull), {}).expect_range(0, 10'000);
}

// The disk refused for a while: those frames are neither in the ring nor on disk, and each is counted.
TEST(Replay, AHoleOnDiskIsCountedExactly) {
  Stored t(0, milliseconds(20));
  t.feed(2000);
  const auto raw = t.dir / "raw", away = t.dir / "away";
  std::filesystem::rename(raw, away);
  spill(raw, {});  // no directory can be made there
  t.feed(12'000);
  EXPECT_THAT(t.store->problem(), HasSubstr("raw"));
  std::filesystem::remove(raw);
  std::filesystem::rename(away, raw);
  while (!t.store->problem().empty()) std::this_thread::sleep_for(milliseconds(5));
  t.feed(12'000);
  const Seen seen = replay(&t.ring.memory, t.frames(), {});
  EXPECT_EQ(seen.frames.front(), 0u);
  EXPECT_EQ(seen.frames.back(), 25'999u);
  EXPECT_GT(seen.report.gap_frames, 1000u);
  EXPECT_EQ(seen.frames.size() + seen.report.gap_frames, 26'000u);
  t.end();
  const StoreTotals totals = t.store->totals();
  EXPECT_EQ(totals.stored + totals.disk_dropped, 26'000u);
  EXPECT_EQ(totals.disk_dropped, seen.report.gap_frames) << "what the store counted is what the pull misses";
}

}  // namespace
}  // namespace vigia::vf
