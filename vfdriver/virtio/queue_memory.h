// SPDX-License-Identifier: Apache-2.0
// One piece of memory for a device's receive queue, its idle transmit queue and the buffers: the same for every way to
// a virtio device.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>

#include "vfdriver/vf_device.h"
#include "vfdriver/virtio/rx_queue.h"

namespace vigia::vf::virtio {

constexpr unsigned kRx = 0, kTx = 1;  // numbers of a network device's queues (5.1.2)
// Devices start only when both queues of a pair are there; nothing is ever sent on it.
constexpr unsigned kTxSize = 64;

// Bytes of one receive buffer: a frame of the port's MTU fits into one, because a device without mergeable buffers
// drops what does not.
unsigned buffer_bytes(const PortOptions& options);

// Offsets in that memory, each at a page.
struct Layout {
  std::size_t rx, tx, buffers, bytes;
};
Layout plan(unsigned size, unsigned buffer_bytes, bool packed);

struct QueueMemory {
  std::span<std::byte> bytes;   // plan().bytes
  hw::Iova base;                // where the device finds them
  unsigned size, buffer_bytes;  // of the receive queue
  std::uint64_t features;       // as negotiated
};
// Zeroes the rings and makes the queue on them; what is passed outlives it.
std::unique_ptr<RxQueueBase> make_rx_queue(const QueueMemory& memory, const Signals& signals,
                                           const std::atomic<bool>& gone);

// "virtio 1, packed ring, mergeable buffers, event index".
std::string text_of(std::uint64_t features);

}  // namespace vigia::vf::virtio
