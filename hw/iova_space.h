// SPDX-License-Identifier: Apache-2.0
// Which addresses a device gets to see: first fit inside the ranges that its IOMMU can translate.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace vigia::hw {

// Addresses and lengths in bytes. Not thread-safe.
class IovaSpace {
 public:
  struct Range {
    std::uint64_t first, last;  // both included, so that a range may end at 2^64
    friend bool operator==(const Range&, const Range&) = default;
  };
  // Where allocation begins if the ranges allow: above 4 GiB, so that a device that drops the upper half of an address
  // is found out at once.
  static constexpr std::uint64_t kPreferred = 1ull << 32;

  // valid: any order, may overlap; empty: everything. Address 0 is never given out: to many a device it means "none".
  explicit IovaSpace(std::vector<Range> valid = {});

  // Aligned to align (a power of two), not overlapping what is out; empty: no room. Nothing is given out at a length
  // of 0.
  std::optional<std::uint64_t> allocate(std::uint64_t bytes, std::uint64_t align);
  // False, and nothing changes, unless exactly this was allocated.
  bool release(std::uint64_t iova, std::uint64_t bytes);
  bool holds(std::uint64_t iova, std::uint64_t bytes) const;
  // What is out: address -> bytes.
  const std::map<std::uint64_t, std::uint64_t>& allocated() const noexcept { return allocated_; }

 private:
  std::optional<std::uint64_t> fit(Range range, std::uint64_t bytes, std::uint64_t align) const;

  std::vector<Range> valid_;
  std::map<std::uint64_t, std::uint64_t> allocated_;
};

}  // namespace vigia::hw
