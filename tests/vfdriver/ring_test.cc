// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <random>
#include <thread>

#include "hw/meminfo.h"
#include "tests/vfdriver/ring_fixture.h"

namespace vigia::vf {
namespace {

TEST(RingGeometry, RefusesEachBrokenRule) {
  struct Case {
    RingGeometry geometry;
    std::string_view says;
  };
  const Case cases[] = {
      {{64 * 1024, 128 * 1024, 0, 1514}, "landmark distance 0"},
      {{64 * 1024, 128 * 1024, 1000, 1514}, "landmark distance 1000"},
      {{64 * 1024, 128 * 1024, 4096, 59}, "longest frame 59"},
      {{64 * 1024, 128 * 1024, 4096, 2037}, "less than two records of 2049"},
      {{12 * 1024, 128 * 1024, 4096, 1514}, "size 12288"},
      {{65 * 1024, 128 * 1024, 4096, 1514}, "size 66560"},
      {{64 * 1024, 4097, 4096, 1514}, "file size 4097"},
      {{64 * 1024, 0, 4096, 1514}, "file size 0"},
  };
  for (const Case& c : cases) {
    const auto result = validate(c.geometry);
    ASSERT_FALSE(result) << c.says;
    EXPECT_EQ(result.error().exit_status(), 2);
    EXPECT_NE(result.error().text.find(c.says), std::string::npos) << result.error().text;
  }
  EXPECT_TRUE(validate({}));
  EXPECT_TRUE(validate(kSmall));
}

TEST(RecordPadding, LeavesNothingOrRoomForAHeader) {
  EXPECT_EQ(padding_before(100, 100), 0u);  // ends exactly on the end
  EXPECT_EQ(padding_before(100, 112), 0u);  // exactly a header stays
  for (std::uint64_t stays = 1; stays < 12; ++stays) EXPECT_EQ(padding_before(100, 100 + stays), 100 + stays);
  EXPECT_EQ(padding_before(100, 99), 99u);
  EXPECT_EQ(padding_before(100, 12), 12u);
}

TEST(RecordPadding, EveryLengthIsCoveredExactly) {
  for (const std::uint32_t max : {24u, 100u, kMaxRecord}) {
    for (std::uint64_t bytes : {0,   12,  13,  23,    24,    25,    35,    36,    99,     100,   101,
                                111, 112, 113, 65546, 65547, 65548, 65558, 65559, 131094, 200000}) {
      std::vector<std::byte> area(bytes + 16, std::byte{0xee});
      write_padding(area.data(), bytes, max);
      RecordCursor cursor({area.data(), bytes});
      FrameView view;
      EXPECT_FALSE(cursor.next(view));
      EXPECT_EQ(cursor.consumed(), bytes) << "max " << max;
      EXPECT_EQ(area[bytes], std::byte{0xee});
    }
  }
}

TEST(CopyFrame, EveryLengthStaysInside) {
  const auto stays_inside = [](const auto& copy, std::size_t n) {
    const auto from = frame_of(n, n);
    std::vector<std::byte> to(n + 2, std::byte{0xaa});
    copy(to.data() + 1, from.data(), n);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin() + 1)) << n;
    EXPECT_EQ(to.front(), std::byte{0xaa});
    EXPECT_EQ(to.back(), std::byte{0xaa});
  };
  for (std::size_t n = 0; n < 600; ++n) stays_inside(copy_frame, n);
  for (const LongCopy& way : long_copies()) {
    if (!way.usable) continue;
    for (std::size_t n = 129; n < 600; ++n) stays_inside(way.copy, n);
  }
}

// Records of a stream whose every third frame is marked; both are whole at whatever distance to a segment's end.
TEST(Ring, MarksStandBeforeTheirFrames) {
  RingUnderTest ring;
  auto reader = ring.join(ListenerKind::lossless);
  std::mt19937 random(3);
  std::uint64_t marked = 0, seen = 0, position = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const auto frame = frame_of(i, random() % 1515);
    const auto size = static_cast<std::uint32_t>(frame.size());
    const Stamp stamp = Stamp::of_ns(1'000'000'000 + i);
    std::byte* at = i % 3 == 0 ? ring.writer.claim_repeated(stamp, size, size) : ring.writer.claim(stamp, size, size);
    ASSERT_NE(at, nullptr);
    copy_frame(at, frame.data(), size);
    marked += i % 3 == 0;
    ring.writer.publish();
    EXPECT_EQ(ring.memory.header().marked.load(), marked);
    const auto bytes = reader.peek(65536);
    RecordCursor cursor(bytes);
    FrameView view;
    ASSERT_TRUE(cursor.next(view));
    EXPECT_EQ(view.repeated, i % 3 == 0);
    EXPECT_EQ(view.stamp, stamp);
    EXPECT_TRUE(is_frame(view, i));
    ASSERT_EQ(cursor.consumed(), bytes.size());
    // In whichever segment the frame ends, its mark begins.
    const std::uint64_t start =
        position + bytes.size() - kRecordHeader - size - (view.repeated ? kRepeatMarkRecord : 0);
    position += bytes.size();
    ASSERT_EQ(start / kSmall.segment_bytes, (position - 1) / kSmall.segment_bytes);
    reader.advance(cursor.consumed(), 1);
    seen += view.repeated;
  }
  EXPECT_EQ(seen, marked);
}

TEST(Ring, ALosslessListenerRefusesMarkAndFrameTogether) {
  RingUnderTest ring;
  auto slow = ring.join(ListenerKind::lossless);
  std::uint64_t kept = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    std::byte* at = ring.writer.claim_repeated(Stamp::of_ns(1'000'000'000 + kept), 484, 484);
    if (at) copy_frame(at, frame_of(kept++, 484).data(), 484);
    ring.writer.publish();
  }
  EXPECT_EQ(kept, 128u) << "records of 512 bytes in a ring of 64 KiB";
  EXPECT_EQ(read_all(slow), 128u);
}

TEST(RecordCursor, PassesAMarkOnlyWithItsFrame) {
  std::vector<std::byte> bytes(kRepeatMarkRecord + kRecordHeader + 60);
  write_repeat_mark(bytes.data());
  const RecordHeader header{Stamp::of_ns(5), 60, 60};
  std::memcpy(bytes.data() + kRepeatMarkRecord, &header, sizeof(header));
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    RecordCursor cursor{std::span(bytes).first(n)};
    FrameView view;
    ASSERT_EQ(cursor.next(view), n == bytes.size()) << n;
    EXPECT_EQ(cursor.consumed(), n == bytes.size() ? n : 0) << "who goes on from here still finds the mark";
  }
}

TEST(Ring, NothingIsSeenBeforePublish) {
  RingUnderTest ring;
  auto reader = ring.join(ListenerKind::lossless);
  ASSERT_TRUE(ring.append(60));
  EXPECT_TRUE(reader.peek(4096).empty());
  ring.writer.publish();
  EXPECT_EQ(reader.peek(4096).size(), 72u);
  EXPECT_EQ(read_all(reader), 1u);
  EXPECT_FALSE(reader.finished());
  ring.writer.close();
  EXPECT_TRUE(reader.finished());
}

TEST(Ring, RecordEndsExactlyOnRingEndAndSegmentEnd) {
  // 64 KiB ring, 128 KiB segments: 128 records of 512 bytes fill the ring to the byte, 256 fill a segment.
  RingUnderTest ring;
  auto reader = ring.join(ListenerKind::lossless);
  for (int i = 0; i < 1024; ++i) {
    ASSERT_TRUE(ring.append(500));
    ring.writer.publish();
    ASSERT_EQ(read_all(reader), 1u);
  }
  EXPECT_EQ(ring.writer.position(), 1024u * 512) << "no byte of padding was needed";
}

TEST(Ring, EveryDistanceToTheSegmentEndIsPaddedRight) {
  // The last record before the segment end leaves each of 0..40 bytes in turn.
  for (std::uint32_t leave = 0; leave <= 40; ++leave) {
    RingUnderTest ring;
    auto reader = ring.join(ListenerKind::lossless);
    const auto put = [&](std::size_t size) {
      ASSERT_TRUE(ring.append(size));
      ring.writer.publish();
      read_all(reader);
    };
    while (kSmall.segment_bytes - ring.writer.position() > 3000) put(988);
    const auto left = kSmall.segment_bytes - ring.writer.position();
    put(left / 2 - 12);
    put(left - left / 2 - leave - 12);
    const bool fits = leave == 0 || leave >= 12;
    if (fits) {
      EXPECT_EQ(ring.writer.position(), kSmall.segment_bytes - leave);
    }
    put(600);
    put(100);
    if (fits) {
      EXPECT_EQ(ring.writer.position(), kSmall.segment_bytes + 612 + 112) << leave;
    } else {
      EXPECT_GT(ring.writer.position(), kSmall.segment_bytes + 612 + 112) << leave;  // the long one went over as well
    }
    EXPECT_EQ(reader.frames_read(), ring.next);
  }
}

TEST(Ring, StreamIsCutIntoSegmentsAtRecordBoundaries) {
  RingUnderTest ring;
  auto reader = ring.join(ListenerKind::lossless);
  std::mt19937 random(1);
  std::uint64_t position = 0;
  for (int i = 0; i < 20000; ++i) {
    ASSERT_TRUE(ring.append(random() % 1515));
    ring.writer.publish();
    // No record or padding may lie across a multiple of the segment size.
    for (auto bytes = reader.peek(65536); !bytes.empty(); bytes = reader.peek(65536)) {
      std::size_t at = 0;
      std::uint64_t frames = 0;
      while (at < bytes.size()) {
        RecordHeader header;
        std::memcpy(&header, bytes.data() + at, sizeof(header));
        const std::uint64_t end = position + kRecordHeader + header.captured;
        ASSERT_EQ(position / kSmall.segment_bytes, (end - 1) / kSmall.segment_bytes);
        frames += !header.padding();
        at += kRecordHeader + header.captured;
        position = end;
      }
      reader.advance(bytes.size(), frames);
    }
  }
  EXPECT_EQ(reader.frames_read(), ring.next);
}

TEST(Ring, LosslessListenerMakesTheWriterDropNotOverwrite) {
  RingUnderTest ring;
  auto slow = ring.join(ListenerKind::lossless);
  std::uint64_t refused = 0;
  for (int i = 0; i < 1000; ++i) {
    if (!ring.append(500)) ++refused;
    ring.writer.publish();
  }
  EXPECT_EQ(ring.next, 128u) << "a full ring of 64 KiB";
  EXPECT_EQ(refused, 872u);
  EXPECT_EQ(read_all(slow), 128u);
  EXPECT_EQ(slow.gap().frames, 0u);
  EXPECT_TRUE(ring.append(500)) << "room again once the listener has read";
}

TEST(Ring, OverwritableListenerIsToldExactlyWhatItLost) {
  RingUnderTest ring;
  auto lapped = ring.join(ListenerKind::overwritable);
  auto keeps_up = ring.join(ListenerKind::overwritable);
  std::mt19937 random(2);
  for (int i = 0; i < 50000; ++i) {
    ASSERT_TRUE(ring.append(60 + random() % 1455)) << "an overwritable listener costs the writer nothing";
    ring.writer.publish();
    if (i % 10 == 0) read_all(keeps_up);
    if (i % 1999 == 0) {
      read_all(lapped);
      EXPECT_EQ(lapped.frames_read() + lapped.gap().frames, ring.next);
      EXPECT_EQ(lapped.point().position, ring.writer.position());
    }
  }
  read_all(keeps_up);
  read_all(lapped);
  EXPECT_EQ(keeps_up.frames_read(), 50000u) << "one slow reader costs nobody else a frame";
  EXPECT_EQ(keeps_up.gap().frames, 0u);
  EXPECT_GT(lapped.gap().frames, 1000u);
  EXPECT_EQ(lapped.frames_read() + lapped.gap().frames, 50000u);
}

TEST(Ring, GapBytesAreBytesOfTheStream) {
  RingUnderTest ring;
  auto reader = ring.join(ListenerKind::overwritable);
  for (int i = 0; i < 1000; ++i) {
    ring.append(500);
    ring.writer.publish();
  }
  const std::uint64_t frames = read_all(reader);
  EXPECT_EQ(reader.gap().frames + frames, 1000u);
  EXPECT_EQ(reader.gap().bytes, reader.gap().frames * 512);
}

TEST(Ring, ListenerJoinsAtARecordBoundaryWithTheRightIndex) {
  RingUnderTest ring;
  for (int i = 0; i < 777; ++i) ring.append(61 + static_cast<std::size_t>(i) % 1000);
  ring.writer.publish();
  ring.append(100);  // appended, not published: belongs to who joins now
  auto reader = ring.join(ListenerKind::lossless);
  EXPECT_EQ(reader.point().frame, 777u);
  ring.writer.publish();
  EXPECT_EQ(read_all(reader), 1u);
}

TEST(Ring, LosslessListenerThatJoinsLateIsSeenInTime) {
  for (int before = 0; before < 260; before += 13) {
    RingUnderTest ring;
    for (int i = 0; i < before; ++i) {
      ring.append(500);
      ring.writer.publish();
    }
    auto late = ring.join(ListenerKind::lossless);
    std::uint64_t accepted = 0;
    for (int i = 0; i < 300; ++i) {
      accepted += ring.append(500);
      ring.writer.publish();
    }
    EXPECT_LE(accepted, 128u);
    EXPECT_GE(accepted, 126u);  // reserve and padding may cost a little
    EXPECT_EQ(read_all(late), accepted);
    EXPECT_EQ(late.gap().frames, 0u);
  }
}

TEST(Ring, LeavingFreesSlotAndWriter) {
  RingUnderTest ring;
  unsigned slot = 99;
  auto stuck = ring.join(ListenerKind::lossless, &slot);
  while (ring.append(500)) ring.writer.publish();
  ring.writer.publish();
  EXPECT_FALSE(ring.append(500));
  ring.table.leave(slot);
  ring.writer.publish();
  EXPECT_TRUE(ring.append(500));
  EXPECT_FALSE(ring.table.kind(slot));
}

TEST(Ring, SlotsRunOutWithASentence) {
  RingUnderTest ring;
  std::vector<ListenerTable::Joined> all;
  for (unsigned i = 0; i < ListenerTable::kSlots; ++i) {
    all.push_back(must(ring.table.join(ring.memory, ListenerKind::overwritable)));
  }
  const auto more = ring.table.join(ring.memory, ListenerKind::overwritable);
  ASSERT_FALSE(more);
  EXPECT_NE(more.error().text.find("all 32 listener slots are taken"), std::string::npos);
  ring.table.leave(7);
  EXPECT_EQ(must(ring.table.join(ring.memory, ListenerKind::lossless)).slot, 7u);
}

TEST(Ring, ListenerThatLiesAboutItsPositionHurtsNobody) {
  RingUnderTest ring;
  auto joined = must(ring.table.join(ring.memory, ListenerKind::lossless));
  auto honest = ring.join(ListenerKind::overwritable);
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, joined.page.get(), 0);
  ASSERT_NE(page, MAP_FAILED);
  static_cast<SlotPage*>(page)->position.store(~0ull);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(ring.append(500));
    ring.writer.publish();
    read_all(honest);
  }
  EXPECT_EQ(honest.frames_read(), 1000u);
  EXPECT_NE(::ftruncate(joined.page.get(), 0), 0) << "the page is sealed against shrinking";
  ::munmap(page, 4096);
}

TEST(Ring, OtherProcessesMapItReadOnly) {
  RingUnderTest ring;
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring.memory.fd(), 0), MAP_FAILED);
  EXPECT_NE(::ftruncate(ring.memory.fd(), 4096), 0);
  auto view = must(RingMemory::open(Fd(::dup(ring.memory.fd()))));
  ring.append(60);
  ring.writer.publish();
  EXPECT_EQ(view.published().position, 72u);
  EXPECT_EQ(view.published().frame, 1u);
}

TEST(RingMemory, MoreThanTheMemoryThereIsIsRefusedBeforeItIsTouched) {
  constexpr RingGeometry kMiB{
      .data_bytes = 1 << 20, .segment_bytes = 1 << 20, .mark_bytes = 4096, .max_captured = 1514};
  constexpr std::uint64_t kTotal = 4096 + 2 * 4096 + (1 << 20);  // header, 258 landmarks of 16 bytes, data
  EXPECT_TRUE(check_memory(kMiB, kTotal));
  EXPECT_TRUE(check_memory(kMiB, std::nullopt)) << "nobody knows";
  for (const std::uint64_t available : {kTotal - 1, std::uint64_t{1} << 20, std::uint64_t{0}}) {
    const auto refused = check_memory(kMiB, available);
    ASSERT_FALSE(refused) << available;
    EXPECT_EQ(refused.error().code, std::errc::not_enough_memory);
  }
  EXPECT_EQ(
      check_memory(kMiB, 1 << 19).error().text,
      "make a capture ring of 1 MiB: only 0 MiB of memory are available; ask for a smaller --ring (each queue has "
      "one) or free memory");
}

TEST(RingMemory, ARingThatNobodyHasMemoryForIsNotTried) {
  constexpr std::uint64_t kTiB = 1ull << 40;
  if (hw::memory_field("/proc/meminfo", "MemAvailable:").value_or(kTiB) >= kTiB) {
    GTEST_SKIP() << "a TiB of memory is available, or nobody knows";
  }
  // If it is tried after all, this test fails by that and takes no machine down.
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit small { 1 << 20, before.rlim_max };
  const auto ignored = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto ring = RingMemory::create({.data_bytes = kTiB}, "test");
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, ignored);
  ASSERT_FALSE(ring);
  EXPECT_EQ(ring.error().code, std::errc::not_enough_memory) << ring.error().text;
}

TEST(RingMemory, RefusesForeignMemory) {
  const Fd plain{::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  ASSERT_EQ(::ftruncate(plain.get(), 1 << 20), 0);
  const auto unsealed = RingMemory::open(Fd(::dup(plain.get())));
  ASSERT_FALSE(unsealed);
  EXPECT_NE(unsealed.error().text.find("not sealed"), std::string::npos);
  ASSERT_EQ(::fcntl(plain.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  const auto blank = RingMemory::open(Fd(::dup(plain.get())));
  ASSERT_FALSE(blank);
  EXPECT_NE(blank.error().text.find("no ring magic"), std::string::npos);
}

// A deque of indices as the model; reads, writes, joins and leaves in random order must never disagree with it.
TEST(Ring, ModelAgreesOverRandomHistories) {
  for (unsigned seed = 0; seed < 15; ++seed) {
    std::mt19937 random(seed);
    RingUnderTest ring;
    struct Listener {
      unsigned slot;
      RingReader reader;
      std::uint64_t joined_at;
    };
    std::deque<Listener> listeners;
    std::uint64_t published = 0;
    for (int step = 0; step < 3000; ++step) {
      switch (random() % 8) {
        case 0:
          if (listeners.size() < 5) {
            unsigned slot = 0;
            const auto kind = random() % 2 ? ListenerKind::lossless : ListenerKind::overwritable;
            auto reader = ring.join(kind, &slot);
            ASSERT_EQ(reader.point().frame, published);
            listeners.push_back({slot, std::move(reader), published});
          }
          break;
        case 1:
          if (!listeners.empty() && random() % 4 == 0) {
            ring.table.leave(listeners.front().slot);
            listeners.pop_front();
          }
          break;
        case 2:
        case 3:
        case 4:
          for (auto n = random() % 40; n > 0; --n) ring.append(random() % 1515);
          ring.writer.publish();
          published = ring.next;
          break;
        default:
          if (listeners.empty()) break;
          Listener& l = listeners[random() % listeners.size()];
          read_all(l.reader, 2000 + random() % 60000);
          ASSERT_EQ(l.reader.point().frame, published);
          ASSERT_EQ(l.reader.frames_read() + l.reader.gap().frames, published - l.joined_at);
          if (l.reader.kind() == ListenerKind::lossless) {
            ASSERT_EQ(l.reader.gap().frames, 0u);
          }
      }
    }
  }
}

// Real concurrency; under ThreadSanitizer this also checks the orderings of the lossless path.
TEST(RingThreads, ListenersSeeEveryFrameOnceOrAnExactGap) {
  RingUnderTest ring({.data_bytes = 1 << 20, .segment_bytes = 4 << 20, .mark_bytes = 64 * 1024, .max_captured = 1514});
  constexpr std::uint64_t kFrames = 50'000;
  auto lossless = ring.join(ListenerKind::lossless);
  auto quick = ring.join(ListenerKind::overwritable);
  auto slow = ring.join(ListenerKind::overwritable);
  const auto listen = [](RingReader& reader, std::chrono::microseconds nap) {
    while (!reader.finished()) {
      if (read_all(reader, 128 * 1024) == 0 || nap.count() > 0) std::this_thread::sleep_for(nap);
    }
  };
  std::thread a(listen, std::ref(lossless), std::chrono::microseconds(0));
  std::thread b(listen, std::ref(quick), std::chrono::microseconds(0));
  std::thread c(listen, std::ref(slow), std::chrono::microseconds(3000));
  std::uint64_t refused = 0;
  while (ring.next < kFrames) {
    for (int i = 0; i < 32 && ring.next < kFrames; ++i) refused += !ring.append(60 + ring.next % 1000);
    ring.writer.publish();
    if (refused > 0) std::this_thread::yield();
  }
  ring.writer.close();
  a.join();
  b.join();
  c.join();
  EXPECT_EQ(lossless.frames_read(), kFrames);
  EXPECT_EQ(lossless.gap().frames, 0u);
  EXPECT_EQ(quick.frames_read() + quick.gap().frames, kFrames);
  EXPECT_EQ(slow.frames_read() + slow.gap().frames, kFrames);
}

}  // namespace
}  // namespace vigia::vf
