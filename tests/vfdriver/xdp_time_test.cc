// SPDX-License-Identifier: Apache-2.0
// Notes of 32 bits become moments: across their wrapping, a clock that is set, and looks that were interrupted.
#include <gtest/gtest.h>

#include <cstdint>

#include "vfdriver/xdp/kernel_time.h"

namespace vigia::vf::xdp {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

// What the clocks say; each look moves them by `width`, in the middle of which CLOCK_REALTIME is read.
struct Clocks {
  std::uint64_t monotonic = 1000 * kSecond;
  std::int64_t offset = static_cast<std::int64_t>(1'700'000'000 * kSecond);
  std::uint64_t width = 40;
  std::uint64_t looks = 0;
} clocks;

ClockReadings read() {
  ++clocks.looks;
  const std::uint64_t before = clocks.monotonic;
  clocks.monotonic += clocks.width;
  return {before, static_cast<std::uint64_t>(clocks.offset) + before + clocks.width / 2, clocks.monotonic};
}

class XdpTime : public ::testing::Test {
 protected:
  void SetUp() override { clocks = Clocks{}; }
  static FrameNote note(std::uint64_t monotonic) { return static_cast<FrameNote>(monotonic >> kNoteShift); }
  // How far the stamp of a frame of that moment is from the truth, nanoseconds.
  static std::int64_t error(KernelTime& time, std::uint64_t monotonic) {
    return static_cast<std::int64_t>(time.real_ns(note(monotonic)) - monotonic) - clocks.offset;
  }
};

constexpr std::int64_t kUnit = 1 << kNoteShift;

TEST_F(XdpTime, AStampIsTheMomentUpToANotesUnit) {
  KernelTime time(&read);
  for (std::uint64_t i = 0; i < 100; ++i) {
    const std::int64_t e = error(time, clocks.monotonic + i * 1237);
    EXPECT_GE(e, -kUnit / 2);
    EXPECT_LE(e, kUnit / 2);
  }
  EXPECT_LE(time.error_ns(), 20u + kUnit / 2);
}

TEST_F(XdpTime, NotesWrapAndNobodySees) {
  KernelTime time(&read);
  std::uint64_t at = clocks.monotonic;
  for (int i = 0; i < 20; ++i, at += 60 * kSecond) EXPECT_LE(std::abs(error(time, at)), kUnit / 2) << i;
}

TEST_F(XdpTime, AfterALookAtAnEmptyQueueAnyTimeMayHavePassed) {
  KernelTime time(&read);
  EXPECT_LE(std::abs(error(time, clocks.monotonic)), kUnit / 2);
  clocks.monotonic += 3600 * kSecond;
  time.nothing();
  EXPECT_LE(std::abs(error(time, clocks.monotonic + 30 * kSecond)), kUnit / 2);
  clocks.monotonic += 3600 * kSecond;
  time.nothing();
  EXPECT_LE(std::abs(error(time, clocks.monotonic - kSecond / 2)), kUnit / 2) << "it came while somebody looked";
}

TEST_F(XdpTime, FramesOfSeveralProcessorsMayRunBackwards) {
  KernelTime time(&read);
  const std::uint64_t at = clocks.monotonic + kSecond;
  EXPECT_LE(std::abs(error(time, at)), kUnit / 2);
  EXPECT_LE(std::abs(error(time, at - kSecond / 10)), kUnit / 2);
  EXPECT_LE(std::abs(error(time, at)), kUnit / 2);
}

TEST_F(XdpTime, ATimeThatIsSetIsSeenWithin50Milliseconds) {
  KernelTime time(&read);
  std::uint64_t at = clocks.monotonic;
  EXPECT_LE(std::abs(error(time, at)), kUnit / 2);
  for (const std::int64_t step : std::initializer_list<std::int64_t>{-3'600'000'000'000, 5'000'000'000, 700}) {
    clocks.offset += step;
    at += 51'000'000;
    (void)time.real_ns(note(at));
    EXPECT_LE(std::abs(error(time, at)), kUnit / 2 + 20) << step;
  }
}

TEST_F(XdpTime, ALookThatWasInterruptedChangesNothing) {
  KernelTime time(&read);
  clocks.width = kSecond;
  time.nothing();
  EXPECT_LE(std::abs(error(time, clocks.monotonic)), kUnit / 2);
  EXPECT_LE(time.error_ns(), 20u + kUnit / 2);
}

TEST_F(XdpTime, TheClocksAreNotReadForEachFrame) {
  KernelTime time(&read);
  const std::uint64_t looks = clocks.looks, at = clocks.monotonic;
  for (std::uint64_t i = 0; i < 1000; ++i) (void)time.real_ns(note(at + i * 100'000));  // 100 ms
  EXPECT_LE(clocks.looks - looks, 2u);
  EXPECT_GE(clocks.looks - looks, 1u);
}

}  // namespace
}  // namespace vigia::vf::xdp
