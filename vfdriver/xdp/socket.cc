// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/xdp/socket.h"

#include <fmt/format.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <thread>

namespace vigia::vf::xdp {
namespace {

constexpr std::chrono::milliseconds kTakeDown{500};
// Fewer between two waits, and not soon after the last: traffic is thin, each frame is worth a wake-up.
constexpr std::uint32_t kFewFrames = 4;
constexpr std::chrono::microseconds kThin{200};
// More than the kernel copies for one queue.
constexpr std::uint32_t kMostFramesPerUs = 4;
// Frames with stamps of their own may wait, and each wake-up costs as much as hundreds of frames.
constexpr std::chrono::milliseconds kLongestNap{50};
// Between two buffers, bytes. Buffers of a power of two bytes begin in a few sets of every cache, which hold a few
// dozen of them; a line more, and they begin in all (rx_kernel: a fifth of the engine's time).
constexpr std::size_t kApart = 64;

}  // namespace

Socket::Socket(const SocketOptions& options, const std::atomic<bool>& gone) : options_(options), gone_(gone) {}

Result<std::unique_ptr<Socket>> Socket::open(const std::string& spec, const Interface& interface,
                                             const SocketOptions& options, const std::atomic<bool>& gone) {
  std::unique_ptr<Socket> socket(new Socket(options, gone));  // private constructor
  const std::size_t bytes = options.ring * (options.frame_bytes + kApart);
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
  memory.frame_headroom = options_.misses != nullptr ? sizeof(FrameNote) : 0;
  // Which drivers take for zero-copy only now and then.
  memory.flags = zero_copy ? 0 : XDP_UMEM_UNALIGNED_CHUNK_FLAG;
  stride_ = options_.frame_bytes + (zero_copy ? 0 : kApart);
  if (const int e = ::xsk_umem__create(&umem_, memory_.data(), options_.ring * stride_, &fill_, &complete_, &memory);
      e != 0) {
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
    *::xsk_ring_prod__fill_addr(&fill_, at + i) = i * stride_;
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
  const auto most =
      static_cast<std::uint32_t>(std::min({out.size(), lent_.size() - lent_count_, std::size_t{kMostAtOnce}}));
  std::uint32_t at = 0;
  const std::uint32_t n = ::xsk_ring_cons__peek(&rx_, most, &at);
  for (std::uint32_t i = 0; i < n; ++i) {
    const xdp_desc& frame = *::xsk_ring_cons__rx_desc(&rx_, at + i);
    const std::byte* const data = memory_.data() + ::xsk_umem__add_offset_to_addr(frame.addr);
    __builtin_prefetch(data);
    ::new (&out[i]) RxSegment{data, frame.len, true};  // in place: see packet/queue.cc
    lent_[lent_count_++] = ::xsk_umem__extract_addr(frame.addr);
  }
  if (options_.misses != nullptr) stamp(out.first(n));
  since_wait_ += n;
  return n;
}

void Socket::stamp(std::span<const RxSegment> frames) noexcept {
  // Relaxed: counted before the frame stood in the ring, which was read with acquire.
  if (__atomic_load_n(options_.misses, __ATOMIC_RELAXED) != 0) [[unlikely]] {
    gave_up_.store(true, std::memory_order_relaxed);
    std::fill_n(stamps_.begin(), frames.size(), frames.empty() ? 0 : read_clocks().real);
    return;
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    FrameNote note;
    std::memcpy(&note, frames[i].data - sizeof note, sizeof note);
    stamps_[i] = time_.real_ns(note);
  }
}

void Socket::release() noexcept {
  if (lent_count_ == 0) return;
  ::xsk_ring_cons__release(&rx_, lent_count_);
  std::uint32_t at = 0;
  // As many were taken out of the fill ring before: there is room.
  if (::xsk_ring_prod__reserve(&fill_, lent_count_, &at) == lent_count_) [[likely]] {
    for (std::uint32_t i = 0; i < lent_count_; ++i) {
      // With all buffers of one size, and a power of two, the address may lie inside one.
      *::xsk_ring_prod__fill_addr(&fill_, at + i) =
          zero_copy_ ? lent_[i] & ~std::uint64_t{options_.frame_bytes - 1} : lent_[i];
    }
    ::xsk_ring_prod__submit(&fill_, lent_count_);
    lent_count_ = 0;
  }
  if (::xsk_ring_prod__needs_wakeup(&fill_) != 0) ::recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

// Woken for each frame a reader would spend more on waking than on frames: while they come faster than it wakes, it
// naps. Frames with stamps of their own may wait until a quarter of the ring is full at the rate at which they came,
// others are to be seen soon; and never so long, where little came, that a ring could fill that was nearly empty.
Socket::Duration Socket::nap_for(std::uint32_t taken, Duration since, bool stamped) const noexcept {
  const Duration safe(options_.ring / kMostFramesPerUs);
  if (stamped) {
    const Duration quarter = since * (options_.ring / 4) / taken;
    return std::clamp(quarter, kShortestNap, std::min<Duration>(kLongestNap, std::max(safe, nap_ * 2)));
  }
  if (taken > options_.ring / 4) return std::max(kShortestNap, nap_ / 2);
  return taken < options_.ring / 8 ? std::min(safe, nap_ * 2) : nap_;
}

bool Socket::nap(Duration at_most) noexcept {
  const std::uint32_t taken = std::exchange(since_wait_, 0);
  const auto now = std::chrono::steady_clock::now();
  const auto since = std::chrono::duration_cast<Duration>(now - std::exchange(last_wait_, now));
  const bool stamped = options_.misses != nullptr && !gave_up_notes();
  if (taken == 0 || (!stamped && taken < kFewFrames && since > kThin)) {
    nap_ = kShortestNap;
    return false;
  }
  nap_ = nap_for(taken, since, stamped);
  const timespec time{0, std::chrono::nanoseconds(std::min({nap_, at_most, Duration(999'999)})).count()};
  ::nanosleep(&time, nullptr);
  return true;
}

void Socket::wait(Duration at_most) noexcept {
  if (options_.misses != nullptr) time_.nothing();
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
