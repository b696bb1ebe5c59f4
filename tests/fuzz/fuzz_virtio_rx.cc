// SPDX-License-Identifier: Apache-2.0
// A hostile back end under the virtio receive queue: it writes any byte of the shared memory at any time, in the rings
// and in the frames' headers. The driver must never hand out a byte outside its buffers, never hand out a buffer twice
// before it gave it back, never loop for ever and never end a burst inside a frame. Rings and buffers are heap blocks
// of the exact size, so that ASan sees a stray access.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "hw/virtio/ring.h"
#include "vfdriver/virtio/rx_queue.h"

namespace {

using namespace vigia;
using vf::RxSegment;
using namespace vf::virtio;

constexpr unsigned kSize = 16;
constexpr std::uint32_t kBuffer = 128;

void require(bool ok) {
  if (!ok) std::abort();
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}
  bool empty() const { return at_ == end_; }
  template <class T>
  T take() {
    T value{};
    const std::size_t n = std::min(sizeof value, static_cast<std::size_t>(end_ - at_));
    std::memcpy(&value, at_, n);
    at_ += n;
    return value;
  }

 private:
  const std::uint8_t *at_, *end_;
};

struct Machine {
  explicit Machine(std::uint8_t shape) : packed((shape & 1) != 0), ring(hw::virtio::parts_of(kSize, packed).bytes) {
    const Buffers layout{hw::Iova{1 << 20}, kBuffer, kBuffer};
    const bool mergeable = (shape & 2) != 0, event_index = (shape & 4) != 0;
    if (packed) {
      queue =
          std::make_unique<RxQueue<PackedRing>>(ring, kSize, buffers, layout, mergeable, event_index, Signals{}, gone);
    } else {
      queue =
          std::make_unique<RxQueue<SplitRing>>(ring, kSize, buffers, layout, mergeable, event_index, Signals{}, gone);
    }
    queue->fill();
  }

  // An orderly turn of the device, so that the fuzzer gets past the first frame: the next buffer, any length.
  void plausible(std::uint16_t id, std::uint32_t length) {
    const hw::virtio::QueueParts parts = hw::virtio::parts_of(kSize, packed);
    if (packed) {
      auto* d = reinterpret_cast<hw::virtio::PackedDescriptor*>(ring.data()) + next % kSize;
      const bool wrap = next / kSize % 2 == 0;
      d->id = id;
      d->length = length;
      d->flags = wrap ? hw::virtio::DescriptorFlag::avail | hw::virtio::DescriptorFlag::used : 0;
      ++next;
      return;
    }
    std::byte* used = ring.data() + parts.device;
    const hw::virtio::UsedElement element{id, length};
    std::memcpy(used + 4 + sizeof element * (next % kSize), &element, sizeof element);
    ++next;
    std::memcpy(used + 2, &next, sizeof next);
  }

  bool packed;
  std::vector<std::byte> ring, buffers = std::vector<std::byte>(kSize * kBuffer);
  std::atomic<bool> gone{false};
  std::unique_ptr<RxQueueBase> queue;
  std::uint16_t next = 0;
  std::set<const std::byte*> lent;
};

void check_burst(Machine& m, std::span<const RxSegment> burst) {
  std::uint64_t sum = 0;
  for (const RxSegment& s : burst) {
    require(s.data >= m.buffers.data() && s.data <= m.buffers.data() + m.buffers.size());
    const auto offset = static_cast<std::size_t>(s.data - m.buffers.data());
    require(s.length <= kBuffer && offset + s.length <= m.buffers.size());
    if (s.length > 0) require(m.lent.insert(m.buffers.data() + offset / kBuffer * kBuffer).second);
    for (std::uint32_t i = 0; i < s.length; ++i) sum += static_cast<std::uint64_t>(s.data[i]);
  }
  require(burst.empty() || burst.back().end_of_frame);
  static std::uint64_t sink = 0;
  std::atomic_ref(sink).store(sum, std::memory_order_relaxed);  // keeps the reads; orders nothing
}

}  // namespace

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (std::uint8_t shape = 0; shape < 8; ++shape) {
    std::vector<std::uint8_t> seed{shape};
    for (std::uint8_t i = 0; i < 24; ++i) {
      // op, buffer, length 76; every third turn takes and gives back
      seed.insert(seed.end(), {1, static_cast<std::uint8_t>(i % kSize), 0, 76, 0, 0, 0});
      if (i % 3 == 2) seed.insert(seed.end(), {3, 7, 4});
    }
    seeds.push_back(seed);
  }
  return seeds;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Input input(data, size);
  Machine m(input.take<std::uint8_t>());
  std::array<RxSegment, 20> out;
  while (!input.empty()) {
    switch (input.take<std::uint8_t>() % 8) {
      case 0: {  // any bytes anywhere in the rings
        const std::size_t at = input.take<std::uint16_t>() % (m.ring.size() - 4);
        const auto value = input.take<std::uint32_t>();
        std::memcpy(m.ring.data() + at, &value, sizeof value);
        break;
      }
      case 1: {
        const auto id = input.take<std::uint16_t>();
        m.plausible(id, input.take<std::uint32_t>());
        break;
      }
      case 2: {  // how many buffers a frame lies in
        const std::size_t buffer = input.take<std::uint8_t>() % kSize;
        const auto pieces = input.take<std::uint16_t>();
        std::memcpy(m.buffers.data() + buffer * kBuffer + offsetof(hw::virtio::NetHeader, buffers), &pieces, 2);
        break;
      }
      case 3: {
        const std::span<RxSegment> burst(out.data(), 1 + input.take<std::uint8_t>() % out.size());
        const std::size_t n = m.queue->receive(burst);
        require(n <= burst.size());
        check_burst(m, burst.first(n));
        break;
      }
      case 4:
        m.queue->release();
        m.lent.clear();
        break;
      case 5:
        require(m.queue->pending_frames() <= kSize);
        break;
      case 6:
        m.queue->wait(std::chrono::microseconds(0));
        break;
      default:
        require(m.queue->alive() == (m.queue->trouble() == nullptr));
        break;
    }
  }
  return 0;
}
