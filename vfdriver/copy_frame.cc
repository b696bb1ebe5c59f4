// SPDX-License-Identifier: Apache-2.0
// Why not memcpy: on frames of 1 KiB and more these loops take a third less time than the C library's (Zen 4, into a
// ring far larger than the caches; benchmarks/bench_copy.cc), whatever their width. Stores are left unaligned: records
// are packed, and aligning the stores made it slower.
#include "vfdriver/copy_frame.h"

#include <immintrin.h>

#include <algorithm>

namespace vigia::vf {
namespace {

// SAFETY, all three: n > 128; each load and store lies inside the n bytes of source and target; the last line ends at n
// and may overlap the one before.

void copy_sse2(std::byte* to, const std::byte* from, std::size_t n) noexcept {
  const auto line = [to, from](std::size_t at) {
    const auto* source = reinterpret_cast<const __m128i*>(from + at);
    auto* target = reinterpret_cast<__m128i*>(to + at);
    const __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1), c = _mm_loadu_si128(source + 2),
                  d = _mm_loadu_si128(source + 3);
    _mm_storeu_si128(target, a);
    _mm_storeu_si128(target + 1, b);
    _mm_storeu_si128(target + 2, c);
    _mm_storeu_si128(target + 3, d);
  };
  for (std::size_t at = 0; at + 64 <= n; at += 64) line(at);
  line(n - 64);
}

[[gnu::target("avx2")]] void copy_avx2(std::byte* to, const std::byte* from, std::size_t n) noexcept {
  for (std::size_t at = 0; at + 64 <= n; at += 64) {
    const auto* source = reinterpret_cast<const __m256i*>(from + at);
    auto* target = reinterpret_cast<__m256i*>(to + at);
    const __m256i a = _mm256_loadu_si256(source), b = _mm256_loadu_si256(source + 1);
    _mm256_storeu_si256(target, a);
    _mm256_storeu_si256(target + 1, b);
  }
  const auto* source = reinterpret_cast<const __m256i*>(from + n - 64);
  auto* target = reinterpret_cast<__m256i*>(to + n - 64);
  const __m256i a = _mm256_loadu_si256(source), b = _mm256_loadu_si256(source + 1);
  _mm256_storeu_si256(target, a);
  _mm256_storeu_si256(target + 1, b);
  _mm256_zeroupper();  // what follows uses SSE
}

[[gnu::target("avx512f")]] void copy_avx512(std::byte* to, const std::byte* from, std::size_t n) noexcept {
  for (std::size_t at = 0; at + 64 <= n; at += 64) _mm512_storeu_si512(to + at, _mm512_loadu_si512(from + at));
  _mm512_storeu_si512(to + n - 64, _mm512_loadu_si512(from + n - 64));
  _mm256_zeroupper();
}

}  // namespace

const std::array<LongCopy, 3>& long_copies() noexcept {
  static const std::array<LongCopy, 3> all{LongCopy{"sse2", true, &copy_sse2},
                                           LongCopy{"avx2", __builtin_cpu_supports("avx2") != 0, &copy_avx2},
                                           LongCopy{"avx512", __builtin_cpu_supports("avx512f") != 0, &copy_avx512}};
  return all;
}

void (*const copy_long)(std::byte*, const std::byte*, std::size_t) noexcept =
    std::find_if(long_copies().rbegin(), long_copies().rend(), [](const LongCopy& c) { return c.usable; })->copy;

}  // namespace vigia::vf
