// SPDX-License-Identifier: Apache-2.0
#include "softnic/rss.h"

#include <smmintrin.h>
#include <wmmintrin.h>

#include <cstring>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/descriptor.h"

namespace vigia::softnic {

Toeplitz::Way Toeplitz::best_way() noexcept { return __builtin_cpu_supports("pclmul") ? Way::product : Way::table; }

Toeplitz::Toeplitz(std::span<const std::uint8_t, 40> key, Way way) {
  for (std::size_t i = 0; 4 * i < kMostInput; ++i) {
    std::uint64_t bits = 0;
    for (std::size_t k = 0; k < 8; ++k) bits = bits << 8 | key[4 * i + k];
    Words& words = words_[i / 4];
    (i % 2 == 0 ? words.even : words.odd)[i % 4 / 2] = bits;
  }
  if (way == Way::product) return;
  table_.resize(kMostInput);
  for (std::size_t i = 0; i < table_.size(); ++i) {
    // The 40 key bits that the eight windows of input byte i cover: bit j of the byte selects window 8i + j.
    std::uint64_t bits = 0;
    for (std::size_t k = 0; k < 5; ++k) bits = bits << 8 | key[i + k];
    for (unsigned byte = 0; byte < 256; ++byte) {
      std::uint32_t hash = 0;
      for (unsigned j = 0; j < 8; ++j) {
        if ((byte & 0x80u >> j) != 0) hash ^= static_cast<std::uint32_t>(bits >> (8 - j));
      }
      table_[i][byte] = hash;
    }
  }
}

std::uint32_t Toeplitz::look_up(std::span<const std::byte> input) const noexcept {
  std::uint32_t hash = 0;
  for (std::size_t i = 0; i < input.size(); ++i) hash ^= table_[i][std::to_integer<std::size_t>(input[i])];
  return hash;
}

// Bit i of a word of the input, from the left, stands for the window of 32 key bits that begins i bits into the word's
// 64: bits 32 to 63 of (those 64 << i). With the word's bits in reverse their sum without carries is a product.
[[gnu::target("pclmul")]] std::uint32_t Toeplitz::product(std::span<const std::byte> input) const noexcept {
  const __m128i nibble = _mm_set1_epi8(0x0f), low_word = _mm_set1_epi64x(0xffffffff);
  // A nibble in reverse, in either half of a byte.
  const __m128i to_high = _mm_setr_epi8(0x00, -0x80, 0x40, -0x40, 0x20, -0x60, 0x60, -0x20, 0x10, -0x70, 0x50, -0x30,
                                        0x30, -0x50, 0x70, -0x10);
  const __m128i to_low = _mm_setr_epi8(0x0, 0x8, 0x4, 0xc, 0x2, 0xa, 0x6, 0xe, 0x1, 0x9, 0x5, 0xd, 0x3, 0xb, 0x7, 0xf);
  __m128i sum = _mm_setzero_si128();
  const std::byte* at = input.data();
  std::size_t left = input.size();
  for (const Words& words : words_) {
    // In the pieces in which the parser stores them: addresses of 4 bytes together, ports.
    // SAFETY: loads of as many bytes as are left.
    __m128i x;
    if (left >= 16) {
      x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    } else {
      x = left >= 8 ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)) : _mm_setzero_si128();
      if (left % 8 != 0) {
        int last;
        std::memcpy(&last, at + left - 4, 4);
        x = left > 8 ? _mm_insert_epi32(x, last, 2) : _mm_cvtsi32_si128(last);
      }
    }
    x = _mm_or_si128(_mm_shuffle_epi8(to_high, _mm_and_si128(x, nibble)),
                     _mm_shuffle_epi8(to_low, _mm_and_si128(_mm_srli_epi16(x, 4), nibble)));
    const __m128i even = _mm_and_si128(x, low_word), odd = _mm_srli_epi64(x, 32);
    const __m128i key_even = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words.even.data()));
    const __m128i key_odd = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words.odd.data()));
    sum = _mm_xor_si128(
        sum, _mm_xor_si128(_mm_clmulepi64_si128(even, key_even, 0x00), _mm_clmulepi64_si128(odd, key_odd, 0x00)));
    sum = _mm_xor_si128(
        sum, _mm_xor_si128(_mm_clmulepi64_si128(even, key_even, 0x11), _mm_clmulepi64_si128(odd, key_odd, 0x11)));
    if (left <= 16) break;
    at += 16;
    left -= 16;
  }
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(_mm_cvtsi128_si64(sum)) >> 32);
}

RssResult rss_hash(const Toeplitz& toeplitz, std::uint32_t mrqc, const L3Key& key) {
  using namespace hw::ixgbe;
  if (key.address_bytes == 0) return {};
  const bool v4 = key.address_bytes == 4;
  RssResult result;
  std::size_t bytes = std::size_t{2} * key.address_bytes;
  if (key.has_ports) {
    const std::uint32_t enable =
        key.udp ? (v4 ? Mrqc::udp_ipv4 : Mrqc::udp_ipv6) : (v4 ? Mrqc::tcp_ipv4 : Mrqc::tcp_ipv6);
    const std::uint32_t type =
        key.udp ? (v4 ? RssType::udp_ipv4 : RssType::udp_ipv6) : (v4 ? RssType::tcp_ipv4 : RssType::tcp_ipv6);
    if ((mrqc & enable) != 0) {
      result.type = type;
      bytes += 4;
    }
  }
  if (result.type == RssType::none && (mrqc & (v4 ? Mrqc::ipv4 : Mrqc::ipv6)) != 0) {
    result.type = v4 ? RssType::ipv4 : RssType::ipv6;
  }
  if (result.type != RssType::none) result.hash = toeplitz.hash(std::span(key.hash_input).first(bytes));
  return result;
}

}  // namespace vigia::softnic
