// SPDX-License-Identifier: Apache-2.0
// Receive-side scaling of the 82599 (datasheet 7.1.2.8): Toeplitz hash, redirection table.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/result.h"
#include "softnic/frame.h"

namespace vigia::softnic {

// The hash for one key: by carry-less multiplication where the processor has it, else by one look-up per input byte
// (the tables fill the first cache, and were a tenth of a frame's time).
class Toeplitz {
 public:
  enum class Way : std::uint8_t { product, table };
  static Way best_way() noexcept;

  explicit Toeplitz(std::span<const std::uint8_t, 40> key, Way way = best_way());
  std::uint32_t hash(std::span<const std::byte> input) const {  // at most 36 bytes, a multiple of 4
    check(input.size() <= kMostInput && input.size() % 4 == 0);
    return table_.empty() ? product(input) : look_up(input);
  }

 private:
  static constexpr std::size_t kMostInput = 36;
  std::uint32_t product(std::span<const std::byte> input) const noexcept;
  std::uint32_t look_up(std::span<const std::byte> input) const noexcept;

  // The 64 key bits from bit 32i on: those that the windows of input word i cover. Even words, then odd ones, of each
  // 16 bytes.
  struct Words {
    std::array<std::uint64_t, 2> even{}, odd{};
  };
  std::array<Words, 3> words_{};
  std::vector<std::array<std::uint32_t, 256>> table_;  // empty: by product
};

struct RssResult {
  std::uint32_t type = 0;  // hw::ixgbe::RssType
  std::uint32_t hash = 0;
};

// Picks the hash type that MRQC's field enables allow for this frame (TCP/UDP falls back to the IP-only hash; fragments
// use the IP-only hash) and computes it. Type none and hash 0 when nothing applies.
RssResult rss_hash(const Toeplitz& toeplitz, std::uint32_t mrqc, const L3Key& key);

}  // namespace vigia::softnic
