// SPDX-License-Identifier: Apache-2.0
// What the switch decided about frames like this one. Traffic repeats few destinations, and the tables change rarely:
// looking a decision up costs a fifth of making it (benchmarks/bench_device).
#pragma once

#include <array>
#include <cstdint>

#include "softnic/pool_select.h"

namespace vigia::softnic {

// Answers as select_from_network() does, for one set of tables. One thread.
class DecisionCache {
 public:
  // The tables are others now.
  void forget() noexcept { entries_.fill({}); }

  // Valid until the next call.
  const Selection& from_network(const FilterTables& tables, const L2Key& frame) noexcept {
    const std::uint64_t to = frame.destination | std::uint64_t{frame.ethertype} << 48;
    const std::uint32_t tag = kTaken | std::uint32_t{frame.tagged} << 16 | frame.tci;
    Entry& entry = entries_[((to ^ std::uint64_t{tag} << 20) * 0x9E3779B97F4A7C15ull) >> 57];
    // A decision holds for every length between the shortest and the longest frame that filters let in.
    if (entry.to == to && entry.tag == tag && frame.length - kMinFrameBytes <= entry.longer) [[likely]]
      return entry.selection;
    return decide(tables, frame, entry, to, tag);
  }

 private:
  static constexpr std::uint32_t kTaken = 1u << 31;
  struct Entry {
    std::uint64_t to = 0;
    std::uint32_t tag = 0;     // 0: free
    std::uint32_t longer = 0;  // so many bytes above the shortest
    Selection selection;
  };

  const Selection& decide(const FilterTables& tables, const L2Key& frame, Entry& entry, std::uint64_t to,
                          std::uint32_t tag) noexcept;

  std::array<Entry, 128> entries_{};
  Selection uncached_;
};

}  // namespace vigia::softnic
