// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/duplicates.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "tests/vfdriver/all_duplicates.h"
#include "tests/vfdriver/ring_fixture.h"
#include "vfdriver/reader.h"

namespace vigia::vf {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::uint64_t kMs = 1'000'000;

// One frame at a time.
struct Table {
  explicit Table(DuplicateOptions options = {}) : table(options) {}
  bool repeats(const Bytes& frame, std::uint64_t ns, std::uint32_t wire = 0) {
    const RxSegment segment{frame.data(), static_cast<std::uint32_t>(frame.size()), true};
    table.foresee({&segment, 1});
    return table.repeats(0, segment, wire ? wire : segment.length, ns);
  }
  Duplicates table;
};

TEST(Duplicates, SecondAndThirdCopyRepeatTheFirst) {
  Table t;
  const Bytes frame = frame_of(1, 100);
  EXPECT_FALSE(t.repeats(frame, 0));
  EXPECT_TRUE(t.repeats(frame, 1));
  EXPECT_TRUE(t.repeats(frame, 2));
  EXPECT_FALSE(t.repeats(frame_of(2, 100), 3));
}

// Around every size at which pieces of 16 bytes, short frames and the bytes compared meet: a frame repeats itself, and
// no frame that differs in one compared byte, or in length, repeats it.
TEST(Duplicates, ComparesEveryByteItPromisesAndNoOther) {
  for (const std::uint32_t compared : {16u, 17u, 31u, 70u, 256u}) {
    for (const std::size_t size : {0u, 1u, 7u, 8u, 15u, 16u, 17u, 31u, 32u, 33u, 60u, 69u, 70u, 71u, 300u}) {
      const Bytes frame = frame_of(7, size);
      for (std::size_t at = 0; at < size; ++at) {
        Table t({.records = 64, .bytes = compared});
        EXPECT_FALSE(t.repeats(frame, 0));
        Bytes other = frame;
        other[at] ^= std::byte{1};
        EXPECT_EQ(t.repeats(other, 1), at >= compared) << "size " << size << ", byte " << at << " of " << compared;
        EXPECT_TRUE(t.repeats(frame, 2));
      }
      Table t({.records = 64, .bytes = compared});
      EXPECT_FALSE(t.repeats(frame, 0, 400));
      EXPECT_FALSE(t.repeats(frame, 1, 401)) << "another length on the wire";
      EXPECT_TRUE(t.repeats(frame, 2, 400));
    }
  }
}

TEST(Duplicates, ShortFramesAreNotTheirPaddedSelves) {
  Table t({.records = 64, .bytes = 70});
  Bytes frame(8, std::byte{0});
  EXPECT_FALSE(t.repeats(frame, 0, 60));
  frame.resize(12);
  EXPECT_FALSE(t.repeats(frame, 1, 60)) << "four more zeros were received";
}

TEST(Duplicates, TheWindowIncludesItsEnd) {
  const Bytes frame = frame_of(1, 60);
  for (const std::uint64_t gap : {0 * kMs, 199 * kMs, 200 * kMs - 1, 200 * kMs, 200 * kMs + 1, 400 * kMs}) {
    Table t;
    const std::uint64_t start = 1'700'000'000'000'000'000;
    EXPECT_FALSE(t.repeats(frame, start));
    EXPECT_EQ(t.repeats(frame, start + gap), gap <= 200 * kMs) << gap;
  }
}

TEST(Duplicates, EachCopyStartsTheWindowAnew) {
  Table t;
  const Bytes frame = frame_of(1, 60);
  EXPECT_FALSE(t.repeats(frame, 0));
  EXPECT_TRUE(t.repeats(frame, 150 * kMs));
  EXPECT_TRUE(t.repeats(frame, 300 * kMs)) << "of the second";
  EXPECT_FALSE(t.repeats(frame, 501 * kMs));
}

TEST(Duplicates, TheOldestOfABucketIsForgotten) {
  Table t({.records = 8});  // one bucket
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_FALSE(t.repeats(frame_of(i, 60), i));
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_TRUE(t.repeats(frame_of(i, 60), 8 + i)) << "eight are remembered";
  for (std::uint64_t i = 0; i < 99; ++i) EXPECT_TRUE(t.repeats(frame_of(7, 60), 16 + i)) << "costs nobody its place";
  EXPECT_FALSE(t.repeats(frame_of(8, 60), 200)) << "takes the place of 0";
  EXPECT_TRUE(t.repeats(frame_of(1, 60), 201));
  EXPECT_FALSE(t.repeats(frame_of(0, 60), 202)) << "takes that of 1";
  EXPECT_FALSE(t.repeats(frame_of(1, 60), 203));
  EXPECT_TRUE(t.repeats(frame_of(3, 60), 204));
}

TEST(Duplicates, AFrameInPiecesIsKnownByItsFirst) {
  Table t;
  const Bytes frame = frame_of(1, 1024);
  EXPECT_FALSE(t.repeats(frame, 0, 9000));
  EXPECT_FALSE(t.repeats(frame, 1, 1024));
  EXPECT_TRUE(t.repeats(frame, 2, 9000));
}

TEST(Duplicates, CopiesInOneBurst) {
  Duplicates table({.records = 64});
  const Bytes a = frame_of(1, 60), b = frame_of(2, 60);
  std::array<RxSegment, Duplicates::kMaxBurst> burst;
  for (std::size_t i = 0; i < burst.size(); ++i) burst[i] = {(i % 2 == 0 ? a : b).data(), 60, true};
  table.foresee(burst);
  for (std::size_t i = 0; i < burst.size(); ++i) EXPECT_EQ(table.repeats(i, burst[i], 60, i), i > 1) << i;
}

// Random traffic with repetitions at random distances, beside a search that forgets nothing.
struct Mix {
  const char* name;
  std::uint64_t frames, distinct, gap_ns, largest_distance;
  double repeated;
};

class DuplicateMix : public testing::TestWithParam<Mix> {};

TEST_P(DuplicateMix, FindsThemAndNothingElse) {
  const Mix& mix = GetParam();
  std::mt19937_64 random(7);
  Table t;
  test::AllDuplicates all(t.table.options());
  std::vector<std::uint64_t> recent;
  for (std::uint64_t i = 0; i < mix.frames; ++i) {
    std::uint64_t index = random() % mix.distinct;
    if (!recent.empty() && std::uniform_real_distribution<>()(random) < mix.repeated) {
      index = recent[recent.size() - 1 - random() % std::min<std::uint64_t>(recent.size(), mix.largest_distance)];
    }
    recent.push_back(index);
    const Bytes frame = frame_of(index, 60 + index % 100);
    const std::uint64_t ns = i * mix.gap_ns;
    all.judge(frame, static_cast<std::uint32_t>(frame.size()), ns, t.repeats(frame, ns));
  }
  EXPECT_EQ(all.wrong, 0u);
  EXPECT_GT(all.repeated, mix.frames / 100);
  EXPECT_GE(all.rate(), 0.999) << all.found << " of " << all.repeated;
  std::printf("[ mix      ] %s: %.6f of %lu found, %lu wrong\n", mix.name, all.rate(), all.repeated, all.wrong);
}

INSTANTIATE_TEST_SUITE_P(All, DuplicateMix,
                         testing::Values(Mix{"mirrored", 200'000, ~0ull, 67, 600, 0.5},
                                         Mix{"sparse", 50'000, ~0ull, 100'000, 600, 0.1},
                                         Mix{"far", 200'000, ~0ull, 67, 4096, 0.3},
                                         Mix{"few_frames", 50'000, 500, 1'000'000, 1, 0.0},
                                         Mix{"window_edge", 50'000, 20, 10'000'000, 1, 0.0}),
                         [](const auto& mix) { return mix.param.name; });

// Eight records would do for these copies, were they spread; by a hash of the flow all 600 frames between a frame and
// its copy would pass through one bucket of eight.
TEST(Duplicates, OfOneFlow) {
  Table t;
  for (std::uint64_t round = 0; round < 2; ++round) {
    for (std::uint64_t i = 0; i < 600; ++i) {
      Bytes frame(200, std::byte{7});                 // the same addresses and ports
      std::memcpy(frame.data() + 38, &i, sizeof(i));  // a sequence number
      EXPECT_EQ(t.repeats(frame, round * 600 + i), round == 1) << i;
    }
  }
}

std::filesystem::path data_dir() {
  const char* named = std::getenv("VIGIA_DATA");
  return named ? std::filesystem::path(named) : std::filesystem::path(VIGIA_SOURCE) / "../shared/data";
}

// Real captures with duplicates, and a mix of many.
TEST(Duplicates, OfRealTraces) {
  std::vector<std::filesystem::path> files;
  std::error_code absent;
  for (const char* folder : {"dups", "mixed"}) {
    for (const auto& entry : std::filesystem::directory_iterator(data_dir() / folder, absent)) {
      if (entry.path().extension() == ".pcap") files.push_back(entry.path());
    }
  }
  if (files.empty()) GTEST_SKIP() << "NOT TESTED: no captures in " << data_dir() << "; set VIGIA_DATA";
  std::uint64_t repeated = 0, found = 0;
  for (const auto& file : files) {
    auto reader = must(open_capture(file));
    Table t;
    test::AllDuplicates all(t.table.options());
    FrameView view;
    std::uint64_t ns = 0;
    for (auto more = reader->next(view); more && *more; more = reader->next(view)) {
      ns = std::max(ns, view.stamp.total_ns());  // some were put together from several
      const Bytes frame(view.bytes.begin(), view.bytes.end());
      all.judge(frame, view.wire, ns, t.repeats(frame, ns, view.wire));
    }
    EXPECT_EQ(all.wrong, 0u) << file;
    EXPECT_GE(all.rate(), 0.999) << file << ": " << all.found << " of " << all.repeated;
    std::printf("[ trace    ] %-50s %lu of %lu found, %lu wrong\n", file.filename().c_str(), all.found, all.repeated,
                all.wrong);
    repeated += all.repeated;
    found += all.found;
  }
  EXPECT_GT(repeated, 1000u);
  std::printf("[ trace    ] all: %.6f\n", static_cast<double>(found) / static_cast<double>(repeated));
}

}  // namespace
}  // namespace vigia::vf
