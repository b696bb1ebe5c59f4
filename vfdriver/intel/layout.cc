// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/intel/layout.h"

namespace vigia::vf::intel {
namespace {

// Rings need 128-byte alignment (82599 8.2.3.8.1); a page keeps rings of different owners out of one cache line.
constexpr std::size_t kPage = 4096;
// Buffers of a power of two would put the first line of every frame into a few cache sets; one line more per buffer
// spreads them. benchmarks/bench_ixgbevf.cc measures both.
constexpr std::uint32_t kColour = 64;

std::size_t round_up(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

Layout plan_memory(unsigned rx_queues, std::uint32_t rx_ring, std::uint32_t rx_buffer_bytes, std::uint32_t tx_ring) {
  // One TX buffer holds any standard frame; longer ones take several descriptors.
  constexpr std::uint32_t kTxBuffer = 2048;
  Layout layout;
  const auto place = [&](std::uint32_t descriptors, std::uint32_t buffer_bytes) {
    QueueLayout q{layout.total, 0, descriptors, buffer_bytes, buffer_bytes + kColour};
    q.buffers = q.ring + round_up(descriptors * sizeof(hw::intel::RxDescriptor));
    layout.total = q.buffers + round_up(std::size_t{descriptors} * q.stride);
    return q;
  };
  for (unsigned i = 0; i < rx_queues; ++i) layout.rx.push_back(place(rx_ring, rx_buffer_bytes));
  if (tx_ring != 0) layout.tx = place(tx_ring, kTxBuffer);
  return layout;
}

}  // namespace vigia::vf::intel
