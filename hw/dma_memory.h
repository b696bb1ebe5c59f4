// SPDX-License-Identifier: Apache-2.0
// Memory that a device may read and write: a sealed-size memfd, mapped shared, on the largest pages the system has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::hw {

// An address as the device sees it: stored and compared, never dereferenced.
enum class Iova : std::uint64_t {};
constexpr std::uint64_t to_integer(Iova iova) { return static_cast<std::uint64_t>(iova); }
constexpr Iova operator+(Iova iova, std::uint64_t bytes) { return static_cast<Iova>(to_integer(iova) + bytes); }

// Owns the mapping and the memfd. Move-only; unmaps when destroyed. Zero-filled at birth.
class DmaMemory {
 public:
  // Rounds bytes up to whole pages. Tries 1 GiB pages when bytes >= 1 GiB, then 2 MiB pages, then ordinary ones; the
  // last choice is remarked once per process with what to do. All pages are present when it returns (no faults later).
  static Result<DmaMemory> allocate(std::size_t bytes, std::string_view name);

  // The same on 2 MiB pages that follow one another in physical memory. An error when there are none that do; it says
  // how to get some. The pages of fd() are then in another order than those of bytes().
  static Result<DmaMemory> allocate_contiguous(std::size_t bytes, std::string_view name);

  DmaMemory(DmaMemory&& other) noexcept;
  DmaMemory& operator=(DmaMemory&& other) noexcept;
  ~DmaMemory();

  std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  std::size_t page_size() const noexcept { return page_size_; }
  int fd() const noexcept { return fd_.get(); }

 private:
  DmaMemory(Fd fd, std::byte* data, std::size_t size, std::size_t page_size) noexcept
      : fd_(std::move(fd)), data_(data), size_(size), page_size_(page_size) {}

  Fd fd_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t page_size_ = 0;
};

}  // namespace vigia::hw
