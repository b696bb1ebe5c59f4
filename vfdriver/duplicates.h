// SPDX-License-Identifier: Apache-2.0
// Which frames repeat an earlier one (T, 4.4). A port that mirrors ingress and egress delivers a switched frame twice.
// A frame repeats another of the same length and the same first bytes that arrived at most a window earlier.
//
// A table of fixed size remembers the last frames: it forgets under load, and then a repetition is not found; it never
// takes one frame for another, because it compares lengths and bytes and not hashes. The device's RSS hash is not used
// to find a record: it is the same for all frames of a flow, which would crowd each other out of one bucket (the test
// OfOneFlow), and copies that the switch loops back come without it where L3L4TXSWEN is off (reference 82599, 8.5).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "hw/duplicate_options.h"
#include "vfdriver/current_mirrors.h"
#include "vfdriver/port.h"

namespace vigia::vf {

using hw::DuplicateOptions;

// What the mirrors predict against what came. Frames.
struct CopyCounts {
  std::uint64_t predicted = 0, unpredicted = 0;  // repetitions that the mirrors explain, and the others
  std::uint64_t missing = 0;                     // predicted, and not there when the window was over
  std::uint64_t open = 0;                        // predicted, and the frame was forgotten before

  CopyCounts& operator+=(const CopyCounts& other) noexcept {
    predicted += other.predicted, unpredicted += other.unpredicted;
    missing += other.missing, open += other.open;
    return *this;
  }
};

// One thread, the engine's. Everything is allocated when it is made: about 140 bytes per record with the default bytes.
class Duplicates {
 public:
  // Frames that one foresee() takes at most.
  static constexpr std::size_t kMaxBurst = 64;

  // The options are within their bounds. mirrors: what the repetitions are compared with, as it is when a frame
  // comes for the first time; outlives this, may be null.
  // Throws std::bad_alloc.
  explicit Duplicates(const DuplicateOptions& options, const CurrentMirrors* mirrors = nullptr);

  // Once per burst: asks the memory for what repeats() will look at. At most kMaxBurst segments.
  void foresee(std::span<const RxSegment> burst) noexcept;

  // The frame that begins with segment `index` of the burst, `wire` bytes long, arrived then (nanoseconds; from call to
  // call never earlier). True when it repeats a frame that is remembered. In every case it is remembered now: in the
  // place of its equal, else in that of the oldest of its bucket. (T replaces the oldest in every case; a frame that is
  // repeated again and again then crowds out its neighbours: 1 of 1038 copies missed in a capture of mDNS, now none.)
  bool repeats(std::size_t index, const RxSegment& first, std::uint32_t wire, std::uint64_t ns) noexcept;

  // Only with mirrors. A frame's window is known to be over when its record is wanted for another, or when this looks
  // at it: at the next so many buckets, in turn. ns: now, as repeats() has it.
  void look_back(std::uint64_t ns, std::size_t buckets) noexcept;
  // No more copies can come: looks at all of them.
  void settle(std::uint64_t ns) noexcept;
  bool has_mirrors() const noexcept { return mirrors_ != nullptr; }
  const CopyCounts& copies() const noexcept { return counts_; }

  const DuplicateOptions& options() const noexcept { return options_; }

 private:
  // Eight ways: what a frame needs to know to miss lies in one cache line. Of two frames d frames apart the first is
  // forgotten when eight others fell into its bucket meanwhile: with 4096 buckets and d = 8192 one in a thousand.
  static constexpr std::uint32_t kWays = 8;
  struct alignas(64) Bucket {
    std::array<std::uint32_t, kWays> tags;  // 0: free
    std::uint32_t oldest;                   // records are written in turn, so the next one came first
  };
  struct Record {  // followed by the bytes compared, in whole pieces of 16, and, with mirrors, by Arrivals
    std::uint64_t ns;
    std::uint32_t wire, compared;
  };
  static_assert(sizeof(Bucket) == 64 && sizeof(Record) == 16);
  struct Arrivals {
    std::uint16_t seen;  // 0: nothing is expected of this record any more
    Copies expected;
  };

  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };

  Bucket& bucket_of(std::uint64_t key) const noexcept;
  Record* record_of(Bucket& bucket, std::uint32_t way) const noexcept;
  Arrivals& arrivals_of(Record* record) const noexcept;
  void first_arrival(Record* record, const RxSegment& first) noexcept;
  void again(Record* record) noexcept;
  void close(Record* record, std::uint64_t ns, bool forgotten) noexcept;

  const DuplicateOptions options_;
  const std::uint64_t window_ns_;
  const std::uint32_t buckets_;
  const CurrentMirrors* const mirrors_;
  const std::size_t arrivals_at_, record_bytes_, bucket_bytes_;
  std::unique_ptr<std::byte[], Free> memory_;
  std::array<std::uint64_t, kMaxBurst> keys_{};
  CopyCounts counts_;
  std::uint32_t next_look_ = 0;  // bucket
};

}  // namespace vigia::vf
