// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/block_queue.h"

#include <unistd.h>

#include <cerrno>

#include "hw/result.h"

namespace vigia::vf {

int write_fully(int fd, const std::byte* data, std::size_t bytes, std::uint64_t offset) noexcept {
  while (bytes > 0) {
    const auto n = ::pwrite(fd, data, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    data += n;
    bytes -= static_cast<std::size_t>(n);
    offset += static_cast<std::uint64_t>(n);
  }
  return 0;
}

BlockQueue::BlockQueue() : ring_(std::make_unique<io_uring>()) {
  // Containers often forbid io_uring; then every submit() writes before it returns.
  if (::io_uring_queue_init(kDepth, ring_.get(), 0) != 0) ring_.reset();
}

BlockQueue::~BlockQueue() {
  // The kernel reads the blocks until each write is done: wait, or their memory could be gone.
  int ignored = 0;
  while (!pending_.empty()) next(ignored, 1000);
  if (ring_) ::io_uring_queue_exit(ring_.get());
}

void BlockQueue::submit(int fd, const std::byte* data, std::uint32_t bytes, std::uint64_t offset) {
  check(!full());
  Write& write = pending_.emplace_back(Write{fd, data, bytes, offset, false, 0});
  io_uring_sqe* entry = ring_ ? ::io_uring_get_sqe(ring_.get()) : nullptr;
  if (!entry) {
    write.error = write_fully(fd, data, bytes, offset);
    write.done = true;
    return;
  }
  ::io_uring_prep_write(entry, fd, data, bytes, offset);
  ::io_uring_sqe_set_data(entry, &write);
  ::io_uring_submit(ring_.get());
}

void BlockQueue::collect(unsigned wait_ms) {
  io_uring_cqe* entry = nullptr;
  if (wait_ms > 0) {
    __kernel_timespec limit{wait_ms / 1000, static_cast<long long>(wait_ms % 1000) * 1'000'000};
    (void)::io_uring_wait_cqe_timeout(ring_.get(), &entry, &limit);
  }
  while (::io_uring_peek_cqe(ring_.get(), &entry) == 0 && entry) {
    auto& write = *static_cast<Write*>(::io_uring_cqe_get_data(entry));
    const int result = entry->res;
    ::io_uring_cqe_seen(ring_.get(), entry);
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
      write.error = -result;
    } else if (const auto n = static_cast<std::uint32_t>(result < 0 ? 0 : result); n < write.bytes) {
      // A short write, rare: the rest is written here and now, which also finds out why.
      write.error = write_fully(write.fd, write.data + n, write.bytes - n, write.offset + n);
    }
    write.done = true;
  }
}

bool BlockQueue::next(int& error, unsigned wait_ms) {
  if (pending_.empty()) return false;
  if (!pending_.front().done && ring_) collect(0);
  if (!pending_.front().done && ring_ && wait_ms > 0) collect(wait_ms);
  if (!pending_.front().done) return false;
  error = pending_.front().error;
  pending_.pop_front();
  return true;
}

}  // namespace vigia::vf
