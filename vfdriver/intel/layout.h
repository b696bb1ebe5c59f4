// SPDX-License-Identifier: Apache-2.0
// Where rings and buffers lie in the port's one block of DMA memory. Pure arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/intel/descriptor.h"

namespace vigia::vf::intel {

// One ring and its buffers, buffer i for descriptor i. Offsets and sizes in bytes.
struct QueueLayout {
  std::size_t ring = 0, buffers = 0;
  std::uint32_t descriptors = 0;
  std::uint32_t buffer_bytes = 0;  // what the device may write (RX) or a descriptor may carry (TX)
  std::uint32_t stride = 0;        // from one buffer to the next
};

struct Layout {
  std::vector<QueueLayout> rx;
  QueueLayout tx;  // tx.descriptors 0: none
  std::size_t total = 0;
};

// descriptors: powers of two; tx_ring may be 0.
Layout plan_memory(unsigned rx_queues, std::uint32_t rx_ring, std::uint32_t rx_buffer_bytes, std::uint32_t tx_ring);

// The same, in memory that the device sees. Not owned.
template <class Descriptor>
struct QueueMemory {
  std::span<Descriptor> ring;
  std::span<std::byte> buffers;
  hw::Iova ring_iova, buffers_iova;
  std::uint32_t buffer_bytes, stride;

  static QueueMemory at(std::span<std::byte> memory, hw::Iova iova, const QueueLayout& q) {
    // SAFETY: plan_memory() puts rings on page boundaries inside memory; descriptors are two plain 64-bit words.
    auto* ring = reinterpret_cast<Descriptor*>(memory.subspan(q.ring, q.descriptors * sizeof(Descriptor)).data());
    return {{ring, q.descriptors}, memory.subspan(q.buffers, std::size_t{q.descriptors} * q.stride),
            iova + q.ring,         iova + q.buffers,
            q.buffer_bytes,        q.stride};
  }
  std::uint32_t ring_bytes() const { return static_cast<std::uint32_t>(ring.size_bytes()); }
};

}  // namespace vigia::vf::intel
