// SPDX-License-Identifier: Apache-2.0
// The copy from a receive buffer into the ring: the one thing that costs the engine in proportion to a frame's bytes.
#pragma once

#include <emmintrin.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace vigia::vf {

// A way of copying more than 128 bytes, forwards, a cache line at a time. Source and target do not overlap.
struct LongCopy {
  std::string_view name;
  bool usable;  // this processor has the instructions
  void (*copy)(std::byte* to, const std::byte* from, std::size_t n) noexcept;
};
// Widest last.
const std::array<LongCopy, 3>& long_copies() noexcept;
// The widest that this processor has; chosen before main().
extern void (*const copy_long)(std::byte* to, const std::byte* from, std::size_t n) noexcept;

// Copies a frame. Short ones by overlapping 16-byte pieces that stay inside [0, n): no call, no loop for 60 bytes.
inline void copy_frame(std::byte* to, const std::byte* from, std::size_t n) noexcept {
  // SAFETY: unaligned loads and stores of 16 bytes, each inside the n bytes of source and target.
  const auto move = [to, from](std::size_t at) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
  };
  // The shortest frame of the wire has 60 bytes, and is the one of which most come in a second.
  if (n - 33 < 32) [[likely]] {
    move(0);
    move(16);
    move(n - 32);
    move(n - 16);
    return;
  }
  if (n > 128) {
    copy_long(to, from, n);
    return;
  }
  if (n < 16) {
    if (n > 0) std::memcpy(to, from, n);  // nothing may come with a null pointer
    return;
  }
  move(0);
  if (n > 32) {
    move(16);
    move(n - 32);
    move(32);
    move(48);
    if (n > 96) {
      move(64);
      move(80);
    } else if (n > 80) {
      move(64);
    }
  }
  move(n - 16);
}

}  // namespace vigia::vf
