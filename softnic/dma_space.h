// SPDX-License-Identifier: Apache-2.0
// The DMA address space that one client announced: IOVA ranges to memory mapped here. Every address in it comes from a
// guest and is checked at each use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::softnic {

class DmaSpace {
 public:
  DmaSpace();
  ~DmaSpace();
  DmaSpace(const DmaSpace&) = delete;
  DmaSpace& operator=(const DmaSpace&) = delete;

  // A range backed by file (kept mapped once per distinct file) or, without one, known but untouchable. Overlap with an
  // existing range, a zero or wrapping length, a file too short: an error, nothing changes.
  Result<Done> map(hw::Iova iova, std::uint64_t bytes, Fd file, std::uint64_t offset, bool readable, bool writable);
  // Removes everything inside [iova, iova + bytes); nothing there is fine. A range cut in two is an error.
  Result<Done> unmap(hw::Iova iova, std::uint64_t bytes);
  void clear();

  // Memory behind [iova, iova + bytes), or nullptr when any byte of it is not mapped with that right or when it spans
  // two ranges that are not adjacent in memory (copy() handles those). Remembers the last range: a hit costs a compare.
  std::byte* translate(hw::Iova iova, std::size_t bytes, bool for_write) noexcept {
    const std::uint64_t inside = hw::to_integer(iova) - window_.start;
    if (bytes <= window_.bytes && inside <= window_.bytes - bytes && (!for_write || window_.writable)) [[likely]]
      return window_.memory + inside;
    return translate_slowly(iova, bytes, for_write);
  }
  // Copies piecewise across ranges. False, and nothing promised about the destination, if a byte is not reachable.
  bool read(hw::Iova iova, std::span<std::byte> out) noexcept;
  bool write(hw::Iova iova, std::span<const std::byte> in) noexcept;

  // Changes whenever a range goes away: what was translated before is stale then.
  std::uint64_t generation() const noexcept { return generation_; }
  std::size_t ranges() const noexcept;

  // True once a client has shrunk a file under our mapping: the SIGBUS guard has put zero pages there
  // (guarded_mapping.h).
  bool truncated() const noexcept;

 private:
  struct File;   // one mapped file
  struct Range;  // one announced range
  Result<std::shared_ptr<File>> file_for(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable);
  // The range in use last, for translate(): readable memory, or no bytes at all.
  struct Window {
    std::uint64_t start = 0, bytes = 0;
    std::byte* memory = nullptr;
    bool writable = false;
  };

  const Range* find(std::uint64_t at) noexcept;
  void forget_last() noexcept {
    last_ = nullptr;
    window_ = {};
  }
  std::byte* translate_slowly(hw::Iova iova, std::size_t bytes, bool for_write) noexcept;
  template <class Piece>
  bool walk(hw::Iova iova, std::size_t bytes, bool for_write, Piece piece) noexcept;

  std::map<std::uint64_t, Range> ranges_;   // by first address
  std::vector<std::weak_ptr<File>> files_;  // what the ranges keep alive
  const Range* last_ = nullptr;
  Window window_;  // of *last_
  std::uint64_t generation_ = 0;
};

}  // namespace vigia::softnic
