// SPDX-License-Identifier: Apache-2.0
// When the frames of a capture file are due: pure arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "hw/result.h"

namespace vigia::vf::file {

struct Rate {
  enum class Kind { original, maximum, packets };
  Kind kind = Kind::original;
  double value = 1;  // original: times as fast; packets: frames per second
};

// "original", "max", "x2.5", "200000pps", "1.5Mpps". spec: for the input error.
Result<Rate> parse_rate(const std::string& spec, std::string_view text);

// Due times of a sequence of frames. Never decreasing, whatever the file's stamps do.
class Pacing {
 public:
  explicit Pacing(const Rate& rate) noexcept : rate_(rate) {}

  // Nanoseconds after the start at which the next frame is due. stamp_ns: its time in the file.
  std::uint64_t due(std::uint64_t stamp_ns) noexcept;
  // The file begins again: its first frame follows the last one at the mean distance of those before.
  void rewind() noexcept;

 private:
  Rate rate_;
  std::uint64_t frames_ = 0, last_due_ = 0;
  std::uint64_t base_due_ = 0, base_stamp_ = 0;  // of this turn's first frame
  bool first_of_turn_ = true;
};

}  // namespace vigia::vf::file
