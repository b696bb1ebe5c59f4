// SPDX-License-Identifier: Apache-2.0
// The stamps of a port that has its own (RxPort::stamps), as a ring takes them: never before an earlier one.
#pragma once

#include <algorithm>
#include <cstdint>

#include "vfdriver/record.h"

namespace vigia::vf {

// One thread, the engine's.
class PortStamps {
 public:
  // Of the next frame, which the port says arrived then. A clock that was set back is waited for: its frames get the
  // last stamp before that.
  Stamp next(std::uint64_t ns) noexcept {
    last_ = std::max(last_, ns);
    const std::uint64_t in_second = last_ - second_start_;
    if (in_second < 1'000'000'000) [[likely]]
      return {second_, static_cast<std::uint32_t>(in_second)};
    const Stamp stamp = Stamp::of_ns(last_);
    second_ = stamp.seconds;
    second_start_ = last_ - stamp.nanoseconds;
    return stamp;
  }

 private:
  std::uint64_t last_ = 1;  // a stamp of 0 would say padding
  std::uint64_t second_start_ = 0;
  std::uint32_t second_ = 0;
};

}  // namespace vigia::vf
