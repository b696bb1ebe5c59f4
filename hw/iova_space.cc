// SPDX-License-Identifier: Apache-2.0
#include "hw/iova_space.h"

#include <algorithm>

#include "hw/result.h"

namespace vigia::hw {

IovaSpace::IovaSpace(std::vector<Range> valid) : valid_(std::move(valid)) {
  if (valid_.empty()) valid_.push_back({0, UINT64_MAX});
  std::erase_if(valid_, [](const Range& r) { return r.last < r.first; });
  std::sort(valid_.begin(), valid_.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
}

std::optional<std::uint64_t> IovaSpace::allocate(std::uint64_t bytes, std::uint64_t align) {
  check(align != 0 && (align & (align - 1)) == 0);
  if (bytes == 0) return std::nullopt;
  for (const std::uint64_t floor : {kPreferred, std::uint64_t{1}}) {
    for (const Range& range : valid_) {
      if (range.last < floor) continue;
      if (const auto at = fit({std::max(range.first, floor), range.last}, bytes, align)) {
        allocated_.emplace(*at, bytes);
        return at;
      }
    }
  }
  return std::nullopt;
}

// Every sum is checked: ranges may end at the very end of the address space.
std::optional<std::uint64_t> IovaSpace::fit(Range range, std::uint64_t bytes, std::uint64_t align) const {
  const auto align_up = [align](std::uint64_t at) -> std::optional<std::uint64_t> {
    if (at > UINT64_MAX - (align - 1)) return std::nullopt;
    return (at + (align - 1)) & ~(align - 1);
  };
  auto at = align_up(range.first);
  for (const auto& [start, length] : allocated_) {
    if (!at) return std::nullopt;
    const std::uint64_t last = start + (length - 1);
    if (last < *at) continue;
    if (*at < start && start - *at >= bytes) break;
    if (last == UINT64_MAX) return std::nullopt;
    at = align_up(last + 1);
  }
  if (!at || *at > range.last || range.last - *at < bytes - 1) return std::nullopt;
  return at;
}

bool IovaSpace::holds(std::uint64_t iova, std::uint64_t bytes) const {
  const auto found = allocated_.find(iova);
  return found != allocated_.end() && found->second == bytes;
}

bool IovaSpace::release(std::uint64_t iova, std::uint64_t bytes) {
  if (!holds(iova, bytes)) return false;
  allocated_.erase(iova);
  return true;
}

}  // namespace vigia::hw
