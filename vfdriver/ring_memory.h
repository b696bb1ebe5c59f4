// SPDX-License-Identifier: Apache-2.0
// The shared memory of a capture ring (architecture 5.4): a header page, the landmarks, the data area. One memfd; the
// data area is mapped twice in a row, so that a record that crosses its end is contiguous to everybody.
//
// Positions are 64-bit byte counts of the stream since its start; position p lives at data[p % data_bytes]. They never
// wrap in practice: 2^64 bytes at 100 Gb/s are 46 years.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/record.h"

namespace vigia::vf {

// Sizes in bytes. The defaults are those of vigia-capture; tests use small ones.
struct RingGeometry {
  std::uint64_t data_bytes = 256u << 20;        // a multiple of mark_bytes, at least 4 of them
  std::uint64_t segment_bytes = kSegmentBytes;  // the stream is padded at its multiples; a multiple of mark_bytes
  std::uint64_t mark_bytes = kBlockBytes;       // one landmark per so many bytes of stream; a multiple of 4096
  std::uint32_t max_captured = kMaxCaptured;    // no record holds more; two records fit between landmarks
};

// How long a reader that found nothing may sleep: while an eighth of the ring fills at 10 Gb/s, 0.5 to 50 ms. Waking up
// is most of what a reader costs below a million frames a second (some 20 us each on a virtual machine).
constexpr std::chrono::microseconds nap_beside(const RingGeometry& geometry) {
  constexpr std::uint64_t kBytesPerUs = 1250;
  return std::clamp(std::chrono::microseconds(geometry.data_bytes / 8 / kBytesPerUs), std::chrono::microseconds(500),
                    std::chrono::microseconds(50'000));
}

// Every broken rule of a geometry, in one sentence each; an input error.
Result<Done> validate(const RingGeometry& geometry);

// Whether its pages fit into what is available, in bytes (empty: nobody knows, and they do); an error of the work.
Result<Done> check_memory(const RingGeometry& geometry, std::optional<std::uint64_t> available);

// Landmark of block b (stream bytes [b * mark_bytes, (b + 1) * mark_bytes)), stored at marks[b % mark_count]: where the
// first record of the block begins, and the index of the first frame at or after it. Overwritten only after `reserve`
// has passed (b + mark_count) * mark_bytes, which is how readers see that what they read is whole.
struct RingMark {
  std::atomic<std::uint64_t> position, frame;
};
static_assert(sizeof(RingMark) == 16);

// First page of the memory. Written by the capture process only; listeners map it read-only.
struct RingHeader {
  static constexpr char kMagic[8] = {'V', 'I', 'G', 'I', 'A', 'R', 'N', 'G'};
  static constexpr std::uint32_t kVersion = 3;
  enum State : std::uint64_t { running = 1, closed = 2 };

  char magic[8];
  std::uint32_t version;
  std::uint32_t writer_pid;
  std::uint64_t mark_offset, data_offset;  // in the memfd; data_offset is a multiple of the page size in use
  std::uint64_t data_bytes, segment_bytes, mark_bytes;
  std::uint32_t mark_count, max_captured;
  char name[64];    // of the capture, NUL-terminated
  char clock[192];  // source, policy, error bound at start, for people; NUL-terminated

  // Everything below `reserve` may be overwritten at any moment: bytes before reserve - data_bytes are gone.
  alignas(64) std::atomic<std::uint64_t> reserve;
  // The published end.
  alignas(64) std::atomic<std::uint64_t> position;
  // The same with its frame: ends[turn % 2], while the writer prepares the other one. So the two belong together also
  // when the writer is kept from running in the middle of a publication, for however long.
  std::atomic<std::uint64_t> turn;
  RingMark ends[2];
  std::atomic<std::uint64_t> state;
  // Of the engine, for listeners: frames, updated once per burst.
  alignas(64) std::atomic<std::uint64_t> taken;
  std::atomic<std::uint64_t> ring_full;
  // Frames with a mark before them (record.h); 0: the stream holds no marks.
  std::atomic<std::uint64_t> marked;
  // Nanoseconds since 1970: no frame that is published later has an earlier stamp. Kept up while the engine is idle, so
  // that whoever merges several rings need not wait for this one.
  alignas(64) std::atomic<std::uint64_t> promise_ns;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(RingHeader) <= 4096);

// A record boundary of the stream and the index of the first frame at or after it.
struct RingPoint {
  std::uint64_t position = 0, frame = 0;
};

// Owns the mappings and the memfd. Move-only. The geometry is copied at open: what a foreign writer does to the header
// afterwards changes no size.
class RingMemory {
 public:
  // New zero-filled memory, all pages present; hugepages of 2 MiB if some are reserved or the kernel (Linux 6.1) finds
  // enough within half a second, else ordinary pages. Sealed: it never changes size, and no other process can map it
  // writable.
  static Result<RingMemory> create(const RingGeometry& geometry, std::string_view name);
  // Maps the memory of another process read-only. Foreign bytes: refuses whatever is not a consistent ring.
  static Result<RingMemory> open(Fd fd);

  RingMemory(RingMemory&& other) noexcept;
  RingMemory& operator=(RingMemory&& other) noexcept;
  ~RingMemory();

  const RingGeometry& geometry() const noexcept { return geometry_; }
  std::uint32_t mark_count() const noexcept { return mark_count_; }
  RingHeader& header() const noexcept { return *header_; }
  RingMark& mark(std::uint64_t block) const noexcept { return marks_[block % mark_count_]; }
  std::byte* data() const noexcept { return data_; }
  int fd() const noexcept { return fd_.get(); }
  bool hugepages() const noexcept { return huge_; }

  // The published end of the stream.
  RingPoint published() const noexcept;
  // The landmark of a block; false when it is not written yet, overwritten, or (foreign memory) makes no sense.
  bool read_mark(std::uint64_t block, RingPoint& out) const noexcept;
  bool closed() const noexcept;

 private:
  RingMemory(Fd fd, const RingGeometry& geometry, std::uint32_t mark_count, std::uint64_t page_bytes) noexcept
      : fd_(std::move(fd)), geometry_(geometry), mark_count_(mark_count), page_bytes_(page_bytes) {}
  Result<Done> map(std::uint64_t mark_offset, std::uint64_t data_offset, bool writable);
  void unmap() noexcept;

  Fd fd_;
  RingGeometry geometry_;
  std::uint32_t mark_count_ = 0;
  std::uint64_t page_bytes_ = 4096;  // alignment of the data
  bool huge_ = false;
  std::uint64_t control_bytes_ = 0;
  RingHeader* header_ = nullptr;
  RingMark* marks_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace vigia::vf
