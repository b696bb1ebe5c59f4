// SPDX-License-Identifier: Apache-2.0
// How a capture finds duplicates, as people write it: on vigia-capture's command line and in files for vigia.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hw/result.h"

namespace vigia::hw {

struct DuplicateOptions {
  std::uint32_t records = 32 * 1024;      // frames remembered, 8..4 Mi; rounded up to a multiple of 8
  std::chrono::milliseconds window{200};  // 1 ms..60 s: the most that lies between a frame and its repetition
  std::uint32_t bytes = 70;               // compared of each frame, from its first on: 16..256
  bool keep = false;                      // repetitions are left out, or: kept with a mark
  bool operator==(const DuplicateOptions&) const = default;
};

// "off": nothing; "on", or any of "records=32K,window=200ms,bytes=70,keep=drop" in any order; keep is drop or mark. An
// input error names the word and what it may be.
Result<std::optional<DuplicateOptions>> parse_duplicate_options(std::string_view text);
// The same, every word of it.
std::string text_of(const DuplicateOptions& options);

}  // namespace vigia::hw
