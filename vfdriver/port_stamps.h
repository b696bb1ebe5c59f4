// SPDX-License-Identifier: Apache-2.0
// The stamps of a port that has its own (RxPort::stamps), as a ring takes them: never before an earlier one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "vfdriver/record.h"

namespace vigia::vf {

// One thread, the engine's. A clock that was set back is waited for: frames get the last stamp before that.
class PortStamps {
 public:
  // Those of one burst's frames, first to last. As BurstStamps, which counts by the frames' bytes.
  class Burst {
   public:
    Burst(const std::uint64_t* ns, std::uint64_t last) noexcept : ns_(ns), last_(last) {}
    Stamp next(std::uint32_t /*bytes*/) noexcept {
      last_ = std::max(last_, *ns_++);
      return Stamp::of_ns(last_);
    }

   private:
    const std::uint64_t* ns_;
    std::uint64_t last_;
  };

  // The port says that the next frames arrived then, nanoseconds since 1970. The numbers outlive the burst.
  Burst found(std::span<const std::uint64_t> ns) noexcept {
    const Burst burst(ns.data(), last_);
    for (const std::uint64_t n : ns) last_ = std::max(last_, n);
    return burst;
  }

 private:
  std::uint64_t last_ = 1;  // a stamp of 0 would say padding
};

}  // namespace vigia::vf
