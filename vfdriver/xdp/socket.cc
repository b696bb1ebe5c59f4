// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/xdp/socket.h"

#include <fmt/format.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <thread>

namespace vigia::vf::xdp {
namespace {

constexpr std::chrono::milliseconds kTakeDown{500};
// Fewer between two waits: traffic is thin, each frame is worth a wake-up.
constexpr std::uint32_t kFewFrames = 4;
// More than the kernel copies for one queue.
constexpr std::uint32_t kMostFramesPerUs = 4;

}  // namespace

Result<std::unique_ptr<Socket>> Socket::open(const std::string& spec, const Interface& interface,
                                             const SocketOptions& options, const std::atomic<bool>& gone) {
  std::unique_ptr<Socket> socket(new Socket(options, gone));  // private constructor
  const std::size_t bytes = std::size_t{options.ring} * options.frame_bytes;
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return os_error(fmt::format("device '{}': {} KiB for frames", spec, bytes / 1024));
  // Two frames lie in an ordinary page. The kernel faults all of it in when it pins it; a wish, no more.
  (void)::madvise(at, bytes, MADV_HUGEPAGE);
  socket->memory_ = {static_cast<std::byte*>(at), bytes};
  socket->lent_.resize(options.ring);

  int error = options.generic ? EOPNOTSUPP : socket->make(interface, true);
  socket->zero_copy_ = error == 0;
  // A socket of that queue that was closed just now is still being taken down.
  for (const auto until = std::chrono::steady_clock::now() + kTakeDown; error != 0;) {
    error = socket->make(interface, false);
    if (error != EBUSY || std::chrono::steady_clock::now() > until) break;
    std::this_thread::sleep_for(kTakeDown / 50);
  }
  if (error == 0) return socket;
  const std::string text = os_error(fmt::format("device '{}': open an AF_XDP socket on queue {} of {}", spec,
                                                options.queue, interface.name()),
                                    error)
                               .text;
  if (error == EBUSY) {
    return Error{std::errc::device_or_resource_busy, text + "; another AF_XDP socket has that queue"};
  }
  if (error == EINVAL) return input_error(text + "; has the interface that queue?");
  return Error{static_cast<std::errc>(error), text + "; it takes CAP_NET_RAW and a kernel with CONFIG_XDP_SOCKETS"};
}

// An errno, or 0.
int Socket::make(const Interface& interface, bool zero_copy) {
  unmake();
  xsk_umem_config memory{};
  memory.fill_size = options_.ring;
  memory.comp_size = options_.ring;
  memory.frame_size = options_.frame_bytes;
  if (const int e = ::xsk_umem__create(&umem_, memory_.data(), memory_.size(), &fill_, &complete_, &memory); e != 0) {
    return -e;
  }
  xsk_socket_config config{};
  config.rx_size = options_.ring;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = static_cast<__u16>((zero_copy ? XDP_ZEROCOPY : XDP_COPY) | XDP_USE_NEED_WAKEUP);
  if (const int e =
          ::xsk_socket__create(&socket_, interface.name().c_str(), options_.queue, umem_, &rx_, nullptr, &config);
      e != 0) {
    return -e;
  }
  std::uint32_t at = 0;
  check(::xsk_ring_prod__reserve(&fill_, options_.ring, &at) == options_.ring);
  for (std::uint32_t i = 0; i < options_.ring; ++i) {
    *::xsk_ring_prod__fill_addr(&fill_, at + i) = std::uint64_t{i} * options_.frame_bytes;
  }
  ::xsk_ring_prod__submit(&fill_, options_.ring);
  return 0;
}

void Socket::unmake() noexcept {
  if (socket_ != nullptr) ::xsk_socket__delete(std::exchange(socket_, nullptr));
  if (umem_ != nullptr) (void)::xsk_umem__delete(std::exchange(umem_, nullptr));
}

Socket::~Socket() {
  unmake();
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

int Socket::fd() const noexcept { return ::xsk_socket__fd(socket_); }

std::size_t Socket::receive(std::span<RxSegment> out) noexcept {
  const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), lent_.size() - lent_count_));
  std::uint32_t at = 0;
  const std::uint32_t n = ::xsk_ring_cons__peek(&rx_, most, &at);
  for (std::uint32_t i = 0; i < n; ++i) {
    const xdp_desc& frame = *::xsk_ring_cons__rx_desc(&rx_, at + i);
    const std::byte* const data = memory_.data() + frame.addr;
    __builtin_prefetch(data);
    ::new (&out[i]) RxSegment{data, frame.len, true};  // in place: see packet/queue.cc
    lent_[lent_count_++] = frame.addr;
  }
  since_wait_ += n;
  return n;
}

void Socket::release() noexcept {
  if (lent_count_ == 0) return;
  ::xsk_ring_cons__release(&rx_, lent_count_);
  std::uint32_t at = 0;
  // As many were taken out of the fill ring before: there is room.
  if (::xsk_ring_prod__reserve(&fill_, lent_count_, &at) == lent_count_) [[likely]] {
    for (std::uint32_t i = 0; i < lent_count_; ++i) {
      *::xsk_ring_prod__fill_addr(&fill_, at + i) = lent_[i] & ~std::uint64_t{options_.frame_bytes - 1};
    }
    ::xsk_ring_prod__submit(&fill_, lent_count_);
    lent_count_ = 0;
  }
  if (::xsk_ring_prod__needs_wakeup(&fill_) != 0) ::recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

// Woken for each frame a reader would spend more on waking than on frames: while they come faster than it wakes, it
// naps, longer or shorter by how full it finds the ring; never so long that a ring could fill that was nearly empty.
bool Socket::nap(std::chrono::microseconds at_most) noexcept {
  const std::uint32_t taken = std::exchange(since_wait_, 0);
  if (taken < kFewFrames) {
    nap_ = kShortestNap;
    return false;
  }
  if (taken > options_.ring / 4) nap_ = std::max(kShortestNap, nap_ / 2);
  const std::chrono::microseconds longest(options_.ring / kMostFramesPerUs);
  if (taken < options_.ring / 8) nap_ = std::max(kShortestNap, std::min(longest, nap_ * 2));
  const timespec time{0,
                      std::chrono::nanoseconds(std::min({nap_, at_most, std::chrono::microseconds(999'999)})).count()};
  ::nanosleep(&time, nullptr);
  return true;
}

void Socket::wait(std::chrono::microseconds at_most) noexcept {
  if (nap(at_most)) return;
  const auto ns = std::chrono::nanoseconds(at_most).count();
  const timespec limit{ns / 1'000'000'000, ns % 1'000'000'000};
  pollfd on{fd(), POLLIN, 0};
  // A socket whose interface is gone would end every sleep at once.
  if (::ppoll(&on, 1, &limit, nullptr) > 0 && (on.revents & POLLIN) == 0) ::nanosleep(&limit, nullptr);
}

std::uint64_t Socket::pending_frames() const noexcept {
  // Acquire: as libxdp reads it.
  return std::atomic_ref(*rx_.producer).load(std::memory_order_acquire) - rx_.cached_cons;
}

std::uint64_t Socket::dropped() const noexcept {
  xdp_statistics counts{};
  socklen_t size = sizeof counts;
  if (::getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &counts, &size) != 0) return 0;
  return counts.rx_dropped + counts.rx_ring_full;
}

}  // namespace vigia::vf::xdp
