// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/block_queue.h"

#include <fmt/core.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <vector>

#include "hw/result.h"

namespace vigia::vf {
namespace {

// The kernel's limit for one registered buffer.
constexpr std::size_t kSlice = 1u << 30;

}  // namespace

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

BlockQueue::BlockQueue(std::span<std::byte> memory) : ring_(std::make_unique<io_uring>()), memory_(memory) {
  // Containers often forbid io_uring; then every submit() writes before it returns.
  if (const int refused = ::io_uring_queue_init(kDepth, ring_.get(), 0); refused != 0) {
    ring_.reset();
    shortfall_ = os_error("use io_uring", -refused).text + "; blocks are written one after the other, which is slower";
  } else if (!memory_.empty()) {
    register_memory();
  }
}

void BlockQueue::register_memory() {
  std::vector<iovec> slices;
  for (std::size_t at = 0; at < memory_.size(); at += kSlice) {
    slices.push_back({memory_.data() + at, std::min(kSlice, memory_.size() - at)});
  }
  const int refused = ::io_uring_register_buffers(ring_.get(), slices.data(), static_cast<unsigned>(slices.size()));
  registered_ = refused == 0;
  if (!registered_) {
    shortfall_ = os_error(fmt::format("pin {} MiB of the ring for io_uring", memory_.size() >> 20), -refused).text +
                 "; each write pins its own block, which costs CPU time (raise the limit of locked memory, ulimit -l)";
  }
}

BlockQueue::~BlockQueue() {
  // The kernel reads the blocks until each write is done: wait, or their memory could be gone.
  int ignored = 0;
  while (!pending_.empty()) next(ignored, std::chrono::seconds(1));
  if (ring_) ::io_uring_queue_exit(ring_.get());
}

int BlockQueue::buffer_of(const std::byte* data, std::uint32_t bytes) const noexcept {
  const std::less<const std::byte*> before;
  const std::byte* end = memory_.data() + memory_.size();
  if (!registered_ || before(data, memory_.data()) || !before(data, end)) return -1;
  const auto at = static_cast<std::size_t>(data - memory_.data());
  const std::size_t last = at + bytes - 1;
  return last < memory_.size() && at / kSlice == last / kSlice ? static_cast<int>(at / kSlice) : -1;
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
  if (const int buffer = buffer_of(data, bytes); buffer >= 0) {
    ::io_uring_prep_write_fixed(entry, fd, data, bytes, offset, buffer);
  } else {
    ::io_uring_prep_write(entry, fd, data, bytes, offset);
  }
  ::io_uring_sqe_set_data(entry, &write);
  // The kernel may be out of memory for a moment; then the entry is still in the queue.
  while (::io_uring_submit(ring_.get()) < 0) collect(std::chrono::milliseconds(1));
}

void BlockQueue::collect(std::chrono::microseconds wait) {
  io_uring_cqe* entry = nullptr;
  if (wait.count() > 0) {
    __kernel_timespec limit{wait.count() / 1'000'000, (wait.count() % 1'000'000) * 1000};
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

bool BlockQueue::next(int& error, std::chrono::microseconds wait) {
  if (pending_.empty()) return false;
  if (!pending_.front().done && ring_) collect({});
  if (!pending_.front().done && ring_ && wait.count() > 0) collect(wait);
  if (!pending_.front().done) return false;
  error = pending_.front().error;
  pending_.pop_front();
  return true;
}

}  // namespace vigia::vf
