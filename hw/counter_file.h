// SPDX-License-Identifier: Apache-2.0
// Named 64-bit counters in a small mapped file. They outlive the process: after kill -9 the file still holds the last
// increment, which is what lets the ledger account for a run in which somebody died (architecture 5.6).
//
// Layout, little-endian: header {char magic[8] "VIGIACNT"; u32 version 1; u32 count; u64 pid; pad to 64}, then count
// entries of 64 bytes {char name[56], NUL-padded; u64 value}.
//
// "engine@0.taken", "engine@1.taken" are parts, one a thread, of "engine.taken": the file has the parts, so that no two
// threads write one cell, and readers add the sum, so that it is never behind them.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "hw/result.h"

namespace vigia::hw {

// One counter. A single thread writes it; anybody may read. Cheap enough for once per burst or per frame.
class Counter {
 public:
  Counter() = default;
  explicit Counter(std::uint64_t* cell) : cell_(cell) {}

  void add(std::uint64_t n) noexcept {
    // Relaxed: a number for people, it orders nothing; one writer, so load + store loses no increment.
    std::atomic_ref cell(*cell_);
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) noexcept { std::atomic_ref(*cell_).store(n, std::memory_order_relaxed); }
  std::uint64_t value() const noexcept { return std::atomic_ref(*cell_).load(std::memory_order_relaxed); }

 private:
  std::uint64_t* cell_ = nullptr;
};

// The writing side. Move-only; unmaps when destroyed, the file stays.
class CounterFile {
 public:
  // Creates or truncates path; an empty path gives private memory with the same interface. Names: at most 55 bytes,
  // unique.
  static Result<CounterFile> create(const std::filesystem::path& path, std::span<const std::string> names);

  CounterFile(CounterFile&& other) noexcept;
  CounterFile& operator=(CounterFile&& other) noexcept;
  ~CounterFile();

  Counter at(std::size_t index) const;
  // The counter of that name; a name that is not there is a broken invariant.
  Counter named(std::string_view name) const;
  // With the sums of parts.
  std::map<std::string, std::uint64_t> snapshot() const;

 private:
  CounterFile(std::byte* data, std::size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

struct CounterSnapshot {
  std::uint64_t pid = 0;                        // who wrote it
  std::map<std::string, std::uint64_t> values;  // with the sums of parts
};

// Reads a file that a live or dead process wrote. Foreign bytes: every size is checked.
Result<CounterSnapshot> read_counters(const std::filesystem::path& path);

}  // namespace vigia::hw
