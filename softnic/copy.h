// SPDX-License-Identifier: Apache-2.0
// Copies of frame bytes. Most frames are small, and a call of memcpy with an unknown small size costs more than the
// copy: two overlapping moves of a fixed size do for each range of sizes.
#pragma once

#include <cstddef>
#include <cstring>

namespace vigia::softnic {

template <std::size_t N>
inline void copy_ends(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  std::byte head[N], tail[N];
  std::memcpy(head, from, N);
  std::memcpy(tail, from + bytes - N, N);
  std::memcpy(to, head, N);
  std::memcpy(to + bytes - N, tail, N);
}

// Source and destination do not overlap.
inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  if (bytes >= 32 && bytes <= 64) [[likely]] {
    copy_ends<32>(to, from, bytes);
  } else if (bytes > 64 && bytes <= 128) {
    copy_ends<64>(to, from, bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

}  // namespace vigia::softnic
