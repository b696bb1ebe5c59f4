// SPDX-License-Identifier: Apache-2.0
// The truth about time: when each frame of the wire had arrived whole at the port, for whoever judges a receiver's
// stamps (--arrivals FILE).
//
// The file: one entry of 16 bytes per frame of the wire, in its order, little-endian.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "hw/result.h"

namespace vigia::softnic {

struct ArrivalEntry {
  std::uint64_t epoch_ns;  // end of the frame's FCS on the cable, nanoseconds since 1970
  std::uint32_t bytes;     // without FCS
  // 0: filtered, or lost in the port. Else the switch had a pool for it, and the round of the loop that handed it out
  // was over so many ns, less 1, after it had arrived: what stamps say of a frame that came late is not their fault.
  std::uint32_t delivered;
};
static_assert(sizeof(ArrivalEntry) == 16);

// Kept in memory, which is all touched at creation, and written at the end: keeping the time must not take time.
class ArrivalLog {
 public:
  // frames: of the whole wire. The file is created at once: a path that cannot be written is an input error.
  static Result<ArrivalLog> create(const std::filesystem::path& path, std::uint64_t frames);

  // now: of CLOCK_MONOTONIC. What exceeds the announced frames is not kept.
  void add(std::uint64_t monotonic_ns, std::uint32_t bytes, bool delivered) noexcept {
    if (used_ == entries_.size()) return;
    entries_[used_++] = {monotonic_ns + epoch_offset_ns_, bytes, delivered ? 1u : 0u};
  }
  // The loop begins a round; now as in add().
  void begin_round(std::uint64_t now_ns) noexcept {
    for (; round_ < used_; ++round_) {
      ArrivalEntry& e = entries_[round_];
      const std::uint64_t late = now_ns + epoch_offset_ns_ - std::min(e.epoch_ns, now_ns + epoch_offset_ns_);
      if (e.delivered != 0) e.delivered = static_cast<std::uint32_t>(std::min<std::uint64_t>(1 + late, 0xffff'ffff));
    }
  }
  Result<Done> close();

 private:
  ArrivalLog(std::filesystem::path path, std::uint64_t frames);
  std::filesystem::path path_;
  std::vector<ArrivalEntry> entries_;
  std::size_t used_ = 0, round_ = 0;  // entries; those of the rounds that are over
  std::uint64_t epoch_offset_ns_;
};

}  // namespace vigia::softnic
