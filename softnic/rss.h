// SPDX-License-Identifier: Apache-2.0
// Receive-side scaling of the 82599 (datasheet 7.1.2.8): Toeplitz hash, redirection table.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "softnic/frame.h"

namespace vigia::softnic {

// The hash for one key, table driven: one look-up per input byte.
class Toeplitz {
 public:
  explicit Toeplitz(std::span<const std::uint8_t, 40> key);
  std::uint32_t hash(std::span<const std::byte> input) const;  // at most 36 bytes

 private:
  std::array<std::array<std::uint32_t, 256>, 36> table_;
};

struct RssResult {
  std::uint32_t type = 0;  // hw::ixgbe::RssType
  std::uint32_t hash = 0;
};

// Picks the hash type that MRQC's field enables allow for this frame (TCP/UDP falls back to the IP-only hash; fragments
// use the IP-only hash) and computes it. Type none and hash 0 when nothing applies.
RssResult rss_hash(const Toeplitz& toeplitz, std::uint32_t mrqc, const L3Key& key);

}  // namespace vigia::softnic
