// SPDX-License-Identifier: Apache-2.0
// The stamps that the XDP program writes before frames, as CLOCK_REALTIME, which such programs cannot read. They read
// CLOCK_MONOTONIC, which nobody can set; between the two lies an offset that changes only when the time is set, a leap
// second comes or the machine sleeps.
#pragma once

#include <cstdint>
#include <limits>

namespace vigia::vf::xdp {

// What stands right before each frame: CLOCK_MONOTONIC in units of 2^kNoteShift nanoseconds, modulo 2^32. Four bytes,
// because a shortest frame of 60 then shares its line of the cache with them, and a line from another processor is what
// a frame costs most.
using FrameNote = std::uint32_t;
constexpr unsigned kNoteShift = 4;  // the notes are all different for 68 s

// Readings one after the other, nanoseconds.
struct ClockReadings {
  std::uint64_t before, real, after;  // CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_MONOTONIC
};
ClockReadings read_clocks() noexcept;

// One thread. A frame's stamp is right as long as no frame comes 67 s after the one before it without a look at the
// empty queue between them: only where this thread does not run for so long.
class KernelTime {
 public:
  using Read = ClockReadings (*)();
  explicit KernelTime(Read read = &read_clocks) noexcept;

  // There was no frame to take, just now: later ones are not older. Looks at the clocks.
  void nothing() noexcept;

  // When a frame came: nanoseconds since 1970. Frames in the order of their notes, but for what processors that take
  // them at once run past each other. Looks at the clocks every 50 ms: so long a change of CLOCK_REALTIME is not seen.
  std::uint64_t real_ns(FrameNote note) noexcept {
    const std::uint64_t units = earliest_ + static_cast<FrameNote>(note - static_cast<FrameNote>(earliest_));
    earliest_ = units - kSlack;
    if (units - looked_ >= kLookEvery) [[unlikely]] {
      look();
      looked_ = units;
    }
    return (units << kNoteShift) + offset_;
  }
  // How wrong the offset may be, nanoseconds, with half a note's unit.
  std::uint64_t error_ns() const noexcept {
    return static_cast<std::uint64_t>(most_ - least_ + 1) / 2 + (std::uint64_t{1} << kNoteShift) / 2;
  }

 private:
  static constexpr std::uint64_t kSlack = 1'000'000'000 >> kNoteShift, kLookEvery = 50'000'000 >> kNoteShift;

  ClockReadings look() noexcept;

  const Read read_;
  std::uint64_t earliest_ = 0;                  // the next frame's note, or less; in units, not modulo 2^32
  std::uint64_t looked_ = 0;                    // when the clocks were looked at, in units
  std::uint64_t offset_ = 0;                    // modulo 2^64; half a unit included
  std::int64_t least_ = kLeast, most_ = kMost;  // the offset lies between them, by all looks since it last changed

  static constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min(),
                                kMost = std::numeric_limits<std::int64_t>::max();
};

}  // namespace vigia::vf::xdp
