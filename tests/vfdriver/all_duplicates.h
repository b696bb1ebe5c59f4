// SPDX-License-Identifier: Apache-2.0
// The judge of Duplicates: remembers every frame of the window, byte by byte, and compares its own verdict.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "vfdriver/duplicates.h"

namespace vigia::vf::test {

class AllDuplicates {
 public:
  explicit AllDuplicates(const DuplicateOptions& options)
      : bytes_(options.bytes),
        window_ns_(static_cast<std::uint64_t>(std::chrono::nanoseconds(options.window).count())) {}

  std::uint64_t repeated = 0, found = 0, wrong = 0;  // wrong: called repeated, and are not
  double rate() const { return repeated == 0 ? 1 : static_cast<double>(found) / static_cast<double>(repeated); }

  // In the order of arrival. Returns the truth.
  bool judge(std::span<const std::byte> frame, std::uint32_t wire, std::uint64_t ns, bool verdict) {
    const auto head = frame.first(std::min<std::size_t>(frame.size(), bytes_));
    const auto [at, fresh] = last_.try_emplace({wire, {head.begin(), head.end()}}, ns);
    // The latest of the equal ones decides: it is the nearest.
    const bool truth = !fresh && ns - at->second <= window_ns_;
    at->second = ns;
    repeated += truth;
    found += truth && verdict;
    wrong += !truth && verdict;
    return truth;
  }

 private:
  const std::size_t bytes_;
  const std::uint64_t window_ns_;
  std::map<std::pair<std::uint32_t, std::vector<std::byte>>, std::uint64_t> last_;
};

}  // namespace vigia::vf::test
