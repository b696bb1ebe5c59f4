// SPDX-License-Identifier: Apache-2.0
// The truth about time: when each frame of the wire had arrived whole at the port, for whoever judges a receiver's
// stamps (--arrivals FILE).
//
// The file: one entry of 16 bytes per frame of the wire, in its order, little-endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "hw/result.h"

namespace vigia::softnic {

struct ArrivalEntry {
  std::uint64_t epoch_ns;   // end of the frame's FCS on the cable, nanoseconds since 1970
  std::uint32_t bytes;      // without FCS
  std::uint32_t delivered;  // 1: the switch had a pool for it; 0: filtered, or lost in the port
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
  Result<Done> close();

 private:
  ArrivalLog(std::filesystem::path path, std::uint64_t frames);
  std::filesystem::path path_;
  std::vector<ArrivalEntry> entries_;
  std::size_t used_ = 0;
  std::uint64_t epoch_offset_ns_;
};

}  // namespace vigia::softnic
