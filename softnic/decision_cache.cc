// SPDX-License-Identifier: Apache-2.0
#include "softnic/decision_cache.h"

namespace vigia::softnic {

const Selection& DecisionCache::decide(const FilterTables& tables, const L2Key& frame, Entry& entry, std::uint64_t to,
                                       std::uint32_t tag) noexcept {
  // Lengths that the filters turn away are rare, and depend on more than the entry's key.
  const std::uint32_t longest = tables.max_frame >= kFcsBytes ? tables.max_frame - kFcsBytes : 0;
  if (frame.length < kMinFrameBytes || frame.length > longest) {
    uncached_ = select_from_network(tables, frame);
    return uncached_;
  }
  entry.to = to;
  entry.tag = tag;
  entry.longer = longest - kMinFrameBytes;
  entry.selection = select_from_network(tables, frame);
  return entry.selection;
}

}  // namespace vigia::softnic
