// SPDX-License-Identifier: Apache-2.0
// Copies of frame bytes. Most frames are small, and a call of memcpy with an unknown small size costs more than the
// copy: two overlapping moves of a fixed size do for each range of sizes.
#pragma once

#include <emmintrin.h>
#include <tmmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
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

constexpr std::size_t kCacheLine = 64;

// Copies past the caches into memory whose lines another core has: an ordinary store waits until the line has come
// over, and all later stores wait behind it, which no prefetch helps (a third of the time of a 60-byte frame, two
// thirds where the two cores share no cache: benchmarks rx_softnic). The last line is filled with zeros. Not ordered
// with other stores: an sfence must follow. At least 16 bytes; `to` begins a line, and its last line is writable to its
// end.
inline void stream_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  // SAFETY: aligned stores inside the lines of `to`, unaligned loads inside `from`.
  const auto load = [from](std::size_t at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)); };
  const auto put = [to](std::size_t at, __m128i piece) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + at), piece);
  };
  std::size_t at = 0;
  for (; at + 16 <= bytes; at += 16) put(at, load(at));
  if (at < bytes) {
    // The 16 bytes that end with the frame, moved down over those that are stored already.
    alignas(16) static constexpr std::array<std::uint8_t, 32> kDown = [] {
      std::array<std::uint8_t, 32> index{};
      for (std::uint8_t i = 0; i < 32; ++i) index[i] = i < 16 ? i : 0x80;  // 0x80: a zero
      return index;
    }();
    const __m128i down = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kDown.data() + (at + 16 - bytes)));
    put(at, _mm_shuffle_epi8(load(bytes - 16), down));
    at += 16;
  }
  for (; at % kCacheLine != 0; at += 16) put(at, _mm_setzero_si128());
}

}  // namespace vigia::softnic
