// SPDX-License-Identifier: Apache-2.0
// Writes of blocks that run while others are prepared: io_uring where the kernel allows it, else one after the other.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

namespace vigia::vf {

// A single thread uses it. Completions come in the order of submission.
class BlockQueue {
 public:
  BlockQueue();
  ~BlockQueue();
  BlockQueue(const BlockQueue&) = delete;
  BlockQueue& operator=(const BlockQueue&) = delete;

  bool asynchronous() const noexcept { return ring_ != nullptr; }
  bool full() const noexcept { return pending_.size() >= kDepth; }
  bool empty() const noexcept { return pending_.empty(); }

  // Begins to write; fd and data stay valid until the completion. Not when full().
  void submit(int fd, const std::byte* data, std::uint32_t bytes, std::uint64_t offset);
  // Takes the oldest write off if it is done; with wait_ms, waits up to that long for it. False: not yet, or none.
  // error: 0, or an errno.
  bool next(int& error, unsigned wait_ms = 0);

 private:
  // Writes in flight. 8 MiB hide the latency of any disk that can keep up at all (not measured further).
  static constexpr std::size_t kDepth = 8;
  struct Write {
    int fd;
    const std::byte* data;
    std::uint32_t bytes;
    std::uint64_t offset;
    bool done;
    int error;
  };
  void collect(unsigned wait_ms);

  std::unique_ptr<io_uring> ring_;
  std::deque<Write> pending_;  // references stay valid at push_back and pop_front
};

// pwrite until everything is written; 0 or an errno.
int write_fully(int fd, const std::byte* data, std::size_t bytes, std::uint64_t offset) noexcept;

}  // namespace vigia::vf
