// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/virtio/rx_queue.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

namespace vigia::vf::virtio {
namespace {

constexpr std::uint32_t kRxIndex = 0;  // of a device's first receive queue (5.1.2)

}  // namespace

std::uint16_t RxQueueBase::buffers_of_frame(const Used& first) const noexcept {
  // SAFETY: a buffer is at least a header long and 4-byte aligned. Read once: the device may write it at any time.
  auto& header = *reinterpret_cast<hw::virtio::NetHeader*>(buffer(first.id));
  return std::max<std::uint16_t>(1, std::atomic_ref(header.buffers).load(std::memory_order_relaxed));
}

void RxQueueBase::kick() const noexcept {
  if (signals_.notify_bar != nullptr) signals_.notify_bar->store(*signals_.notify_at, kRxIndex);
  if (signals_.kick < 0) return;
  const std::uint64_t one = 1;
  // An eventfd is full after 2^64 - 2 kicks; a device that is gone needs none.
  [[maybe_unused]] const auto written = ::write(signals_.kick, &one, sizeof one);
}

void RxQueueBase::wait(std::chrono::microseconds at_most) noexcept {
  const auto ns = std::chrono::nanoseconds(at_most).count();
  const timespec limit{ns / 1'000'000'000, ns % 1'000'000'000};
  if (signals_.call < 0) {
    ::nanosleep(&limit, nullptr);
    return;
  }
  arm();
  if (!anything()) {  // came between the last look and the arming
    pollfd on{signals_.call, POLLIN, 0};
    if (::ppoll(&on, 1, &limit, nullptr) > 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto got = ::read(signals_.call, &count, sizeof count);
    }
  }
  disarm();
}

}  // namespace vigia::vf::virtio
