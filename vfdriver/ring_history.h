// SPDX-License-Identifier: Apache-2.0
// What a capture ring still holds of the past, found by its landmarks.
#pragma once

#include <cstdint>
#include <optional>

#include "vfdriver/ring_memory.h"

namespace vigia::vf {

// Looks without being a listener: everything found may be overwritten the moment it is returned, and whoever reads on
// from there finds out (RingReader::intact). Any thread; the memory outlives it.
class RingHistory {
 public:
  explicit RingHistory(const RingMemory& ring) : ring_(&ring) {}

  // The oldest landmark whose bytes are whole and stay so until the writer has gone `margin` bytes further.
  std::optional<RingPoint> oldest(std::uint64_t margin = 0) const;
  // The latest landmark whose frame is stamped before ns; or the beginning of the stream. Nothing: the ring begins
  // later than that.
  std::optional<RingPoint> before_time(std::uint64_t ns) const;
  // The latest landmark at or before that frame. Nothing: overwritten.
  std::optional<RingPoint> at_frame(std::uint64_t frame) const;
  // The stamp of the first frame at or after a landmark. Nothing: overwritten meanwhile, or no frame follows yet.
  std::optional<std::uint64_t> stamp_ns(const RingPoint& mark) const;
  // The stamp of the newest frame. Nothing: there is none.
  std::optional<std::uint64_t> newest_ns() const;

 private:
  struct Blocks {
    std::uint64_t first, end;  // landmarks [first, end)
  };
  Blocks whole(std::uint64_t margin) const;
  template <class Fits>
  std::optional<RingPoint> latest(Fits fits) const;

  const RingMemory* ring_;
};

}  // namespace vigia::vf
