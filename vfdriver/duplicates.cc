// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/duplicates.h"

#include <emmintrin.h>
#include <nmmintrin.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace vigia::vf {
namespace {

constexpr std::size_t kLine = 64, kPiece = 16;

constexpr std::size_t round_up(std::size_t n, std::size_t step) { return (n + step - 1) / step * step; }

// The first n bytes of a frame in pieces of 16, the last one ending at n: pieces may overlap, so that none needs a mask
// and none reads beyond. Frames of one length have the same pieces. 15 bytes and fewer are one piece with zeros behind.
class Pieces {
 public:
  Pieces(const std::byte* bytes, std::uint32_t n) noexcept : bytes_(bytes), n_(n) {
    if (n_ >= kPiece) return;
    if (n_ > 0) std::memcpy(short_, bytes, n_);
    bytes_ = short_;
    n_ = kPiece;
  }

  bool equal(const std::byte* kept) const noexcept {
    __m128i differ = _mm_setzero_si128();
    each([&](std::size_t at, __m128i piece) { differ = _mm_or_si128(differ, _mm_xor_si128(piece, load(kept + at))); });
    return _mm_movemask_epi8(_mm_cmpeq_epi8(differ, _mm_setzero_si128())) == 0xffff;
  }
  void keep(std::byte* at) const noexcept {
    // SAFETY: 16 bytes inside the record, whose size was rounded up to whole pieces.
    each([at](std::size_t offset, __m128i piece) { _mm_storeu_si128(reinterpret_cast<__m128i*>(at + offset), piece); });
  }
  // The hash of all of them: CRC-32C in two lanes, the processor's own instruction (SSE 4.2), then mixed so that both
  // halves depend on every bit. Who forges collisions makes the table forget, nothing worse.
  std::uint64_t key() const noexcept {
    std::uint64_t low = n_, high = 0x9e3779b97f4a7c15;
    each([&](std::size_t, __m128i piece) {
      low = _mm_crc32_u64(low, static_cast<std::uint64_t>(_mm_cvtsi128_si64(piece)));
      high = _mm_crc32_u64(high, static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(piece, piece))));
    });
    const std::uint64_t mixed = (low | high << 32) * 0x9e3779b97f4a7c15;
    return mixed ^ mixed >> 32;
  }

 private:
  static __m128i load(const std::byte* at) noexcept {
    // SAFETY: an unaligned load of 16 bytes that are there.
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  }
  template <class Use>
  void each(Use use) const noexcept {
    std::size_t at = 0;
    for (; at + kPiece <= n_; at += kPiece) use(at, load(bytes_ + at));
    if (at < n_) use(at, load(bytes_ + n_ - kPiece));
  }

  const std::byte* bytes_;
  std::size_t n_;
  std::byte short_[kPiece]{};
};

}  // namespace

void Duplicates::Free::operator()(std::byte* memory) const noexcept {
  ::operator delete[](memory, std::align_val_t{kLine});
}

Duplicates::Duplicates(const DuplicateOptions& options, const CurrentMirrors* mirrors)
    : options_(options),
      window_ns_(static_cast<std::uint64_t>(std::chrono::nanoseconds(options.window).count())),
      buckets_(static_cast<std::uint32_t>(round_up(options.records, kWays) / kWays)),
      mirrors_(mirrors),
      arrivals_at_(sizeof(Record) + round_up(options.bytes, kPiece)),
      record_bytes_(round_up(arrivals_at_ + (mirrors != nullptr ? sizeof(Arrivals) : 0), kLine)),
      bucket_bytes_(sizeof(Bucket) + kWays * record_bytes_),
      memory_(new (std::align_val_t{kLine}) std::byte[buckets_ * bucket_bytes_]) {
  check(buckets_ > 0);
  std::memset(memory_.get(), 0, buckets_ * bucket_bytes_);  // all free, and every page present
}

Duplicates::Bucket& Duplicates::bucket_of(std::uint64_t key) const noexcept {
  const std::uint64_t index = (key & 0xffffffff) * buckets_ >> 32;  // no division: below buckets_
  // SAFETY: bucket index of memory_, aligned like memory_; all bits zero are a free bucket.
  return *reinterpret_cast<Bucket*>(memory_.get() + index * bucket_bytes_);
}

Duplicates::Record* Duplicates::record_of(Bucket& bucket, std::uint32_t way) const noexcept {
  // SAFETY: kWays records lie behind each bucket.
  return reinterpret_cast<Record*>(reinterpret_cast<std::byte*>(&bucket) + sizeof(Bucket) + way * record_bytes_);
}

void Duplicates::foresee(std::span<const RxSegment> burst) noexcept {
  const std::size_t n = std::min(burst.size(), kMaxBurst);
  for (std::size_t i = 0; i < n; ++i) {
    keys_[i] = Pieces(burst[i].data, std::min(burst[i].length, options_.bytes)).key();
    __builtin_prefetch(&bucket_of(keys_[i]), 1);
  }
  // The buckets of the first frames are there by now: they say which record is written next.
  for (std::size_t i = 0; i < n; ++i) {
    Bucket& bucket = bucket_of(keys_[i]);
    const auto* record = reinterpret_cast<const std::byte*>(record_of(bucket, bucket.oldest));
    for (std::size_t line = 0; line < record_bytes_; line += kLine) __builtin_prefetch(record + line, 1);
  }
}

bool Duplicates::repeats(std::size_t index, const RxSegment& first, std::uint32_t wire, std::uint64_t ns) noexcept {
  const Pieces pieces(first.data, std::min(first.length, options_.bytes));
  const std::uint32_t compared = std::min(first.length, options_.bytes);
  Bucket& bucket = bucket_of(keys_[index]);
  std::uint32_t tag = static_cast<std::uint32_t>(keys_[index] >> 32);
  tag |= tag == 0;
  // SAFETY: an aligned bucket; its tags are its first 32 bytes.
  const auto* tags = reinterpret_cast<const __m128i*>(bucket.tags.data());
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
  const auto equal = [&](int half) {
    return static_cast<unsigned>(
        _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(_mm_load_si128(tags + half), wanted))));
  };
  for (unsigned ways = equal(0) | equal(1) << 4; ways != 0; ways &= ways - 1) {
    Record* record = record_of(bucket, static_cast<std::uint32_t>(__builtin_ctz(ways)));
    if (record->wire != wire || record->compared != compared ||
        !pieces.equal(reinterpret_cast<const std::byte*>(record + 1))) {
      continue;
    }
    // One record per content, or a frame that comes often would push the others out of its bucket.
    const bool in_window = ns - record->ns <= window_ns_;
    if (mirrors_ != nullptr) [[unlikely]] {
      if (in_window) {
        again(record);
      } else {
        close(record, ns, false);
        first_arrival(record, first);
      }
    }
    record->ns = ns;
    return in_window;
  }
  const std::uint32_t way = bucket.oldest;
  bucket.oldest = (way + 1) % kWays;
  Record* record = record_of(bucket, way);
  if (mirrors_ != nullptr) [[unlikely]] {
    if (bucket.tags[way] != 0) close(record, ns, true);
    first_arrival(record, first);
  }
  bucket.tags[way] = tag;
  *record = {ns, wire, compared};
  pieces.keep(reinterpret_cast<std::byte*>(record + 1));
  return false;
}

// --- Mirrors --------------------------------------------------------------------------------------------------------

Duplicates::Arrivals& Duplicates::arrivals_of(Record* record) const noexcept {
  // SAFETY: with mirrors a record has room for it there, aligned to 16; all bits zero are one that expects nothing.
  return *reinterpret_cast<Arrivals*>(reinterpret_cast<std::byte*>(record) + arrivals_at_);
}

void Duplicates::first_arrival(Record* record, const RxSegment& first) noexcept {
  const auto addresses = addresses_of({first.data, first.length});
  arrivals_of(record) = {1, addresses ? copies_of(mirrors_->now(), *addresses) : Copies{}};
}

void Duplicates::again(Record* record) noexcept {
  Arrivals& arrivals = arrivals_of(record);
  if (arrivals.seen < 0xffff) ++arrivals.seen;
  ++(arrivals.seen <= arrivals.expected.most ? counts_.predicted : counts_.unpredicted);
}

// forgotten: its record is wanted for another, or nothing more can come; within the window its copies may be on their
// way.
void Duplicates::close(Record* record, std::uint64_t ns, bool forgotten) noexcept {
  Arrivals& arrivals = arrivals_of(record);
  const bool over = ns > record->ns && ns - record->ns > window_ns_;
  if (!over && !forgotten) return;
  if (arrivals.seen > 0 && arrivals.seen < arrivals.expected.least) {
    (over ? counts_.missing : counts_.open) += arrivals.expected.least - arrivals.seen;
  }
  arrivals.expected.least = 0;
}

void Duplicates::look_back(std::uint64_t ns, std::size_t buckets) noexcept {
  for (std::size_t i = 0; i < std::min<std::size_t>(buckets, buckets_); ++i) {
    // SAFETY: as bucket_of().
    auto& bucket = *reinterpret_cast<Bucket*>(memory_.get() + next_look_ * bucket_bytes_);
    for (std::uint32_t way = 0; way < kWays; ++way) {
      if (bucket.tags[way] != 0) close(record_of(bucket, way), ns, false);
    }
    if (++next_look_ == buckets_) next_look_ = 0;
  }
}

void Duplicates::settle(std::uint64_t ns) noexcept {
  for (std::uint32_t index = 0; index < buckets_; ++index) {
    auto& bucket = *reinterpret_cast<Bucket*>(memory_.get() + index * bucket_bytes_);
    for (std::uint32_t way = 0; way < kWays; ++way) {
      if (bucket.tags[way] != 0) close(record_of(bucket, way), ns, true);
    }
  }
}

}  // namespace vigia::vf
