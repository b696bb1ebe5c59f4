// SPDX-License-Identifier: Apache-2.0
// Writes of blocks that run while others are prepared: io_uring where the kernel allows it, else one after the other.
#pragma once

#include <liburing.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>

namespace vigia::vf {

// A single thread uses it. Completions come in the order of submission.
class BlockQueue {
 public:
  // Writes in flight. With 1 MiB blocks a virtual disk reached 0.5 GiB/s with 2, 1.7 with 8, and no more with 32.
  static constexpr std::size_t kDepth = 16;

  // memory: where most blocks lie; it outlives the queue. The kernel pins it once if it may, else with every write.
  explicit BlockQueue(std::span<std::byte> memory = {});
  ~BlockQueue();
  BlockQueue(const BlockQueue&) = delete;
  BlockQueue& operator=(const BlockQueue&) = delete;

  bool asynchronous() const noexcept { return ring_ != nullptr; }
  bool registered() const noexcept { return registered_; }
  // What the kernel refused of the two and what that means, a sentence; empty: nothing.
  const std::string& shortfall() const noexcept { return shortfall_; }

  bool full() const noexcept { return pending_.size() >= kDepth; }
  bool empty() const noexcept { return pending_.empty(); }

  // Begins to write; fd and data stay valid until the completion. Not when full().
  void submit(int fd, const std::byte* data, std::uint32_t bytes, std::uint64_t offset);
  // Takes the oldest write off if it is done; waits for it up to `wait`. False: not yet, or none. error: 0, or an
  // errno.
  bool next(int& error, std::chrono::microseconds wait = {});

 private:
  struct Write {
    int fd;
    const std::byte* data;
    std::uint32_t bytes;
    std::uint64_t offset;
    bool done;
    int error;
  };
  void register_memory();
  // Of which registered buffer the data are a part; negative: of none.
  int buffer_of(const std::byte* data, std::uint32_t bytes) const noexcept;
  void collect(std::chrono::microseconds wait);

  std::unique_ptr<io_uring> ring_;
  std::span<std::byte> memory_;
  bool registered_ = false;
  std::string shortfall_;
  std::deque<Write> pending_;  // references stay valid at push_back and pop_front
};

// pwrite until everything is written; 0 or an errno.
int write_fully(int fd, const std::byte* data, std::size_t bytes, std::uint64_t offset) noexcept;

}  // namespace vigia::vf
