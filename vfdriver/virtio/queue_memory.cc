// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/virtio/queue_memory.h"

#include <algorithm>
#include <cstring>

namespace vigia::vf::virtio {

namespace feature = hw::virtio::Feature;

namespace {

// Buffers of a power of two would put the first line of every frame into a few cache sets.
constexpr unsigned kColour = 64;

// The header ends a line and the frame begins the next: back ends leave a header alone that already says what it should
// (DPDK's vhost does), so that its line stays in both processors' caches, and a frame of 64 bytes costs the back end
// one line to fetch, not two.
constexpr unsigned kLead = 64 - sizeof(hw::virtio::NetHeader);

}  // namespace

unsigned buffer_bytes(const PortOptions& options) {
  constexpr unsigned kKib = 1024, kEthernet = 14, kTwoTags = 8;
  const unsigned needed = unsigned{sizeof(hw::virtio::NetHeader)} + kEthernet + kTwoTags + options.mtu;
  return std::max(options.rx_buffer_kib, (needed + kKib - 1) / kKib) * kKib;
}

Layout plan(unsigned size, unsigned buffer_bytes, bool packed) {
  constexpr std::size_t kPage = 4096;
  const auto whole = [](std::size_t n) { return (n + kPage - 1) / kPage * kPage; };
  const std::size_t tx = whole(hw::virtio::parts_of(size, packed).bytes);
  const std::size_t buffers = tx + whole(hw::virtio::parts_of(kTxSize, packed).bytes);
  return {0, tx, buffers, buffers + kLead + std::size_t{size} * (buffer_bytes + kColour)};
}

std::unique_ptr<RxQueueBase> make_rx_queue(const QueueMemory& m, const Signals& signals,
                                           const std::atomic<bool>& gone) {
  const bool packed = (m.features & feature::packed_ring) != 0;
  const Layout layout = plan(m.size, m.buffer_bytes, packed);
  check(m.bytes.size() >= layout.bytes);
  // What the device has not written must not look like a ring in use.
  std::memset(m.bytes.data(), 0, layout.buffers);
  const auto ring = m.bytes.subspan(layout.rx, layout.tx), buffers = m.bytes.subspan(layout.buffers + kLead);
  const Buffers where{m.base + layout.buffers + kLead, m.buffer_bytes + kColour, m.buffer_bytes};
  const bool mergeable = (m.features & feature::net_mergeable_buffers) != 0,
             event_index = (m.features & feature::event_index) != 0;
  if (packed) {
    return std::make_unique<RxQueue<PackedRing>>(ring, m.size, buffers, where, mergeable, event_index, signals, gone);
  }
  return std::make_unique<RxQueue<SplitRing>>(ring, m.size, buffers, where, mergeable, event_index, signals, gone);
}

std::string text_of(std::uint64_t features) {
  std::string text = (features & feature::packed_ring) != 0 ? "virtio 1, packed ring" : "virtio 1, split ring";
  if ((features & feature::net_mergeable_buffers) != 0) text += ", mergeable buffers";
  if ((features & feature::event_index) != 0) text += ", event index";
  return text;
}

}  // namespace vigia::vf::virtio
