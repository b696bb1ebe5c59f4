// SPDX-License-Identifier: Apache-2.0
// A hostile device under the receive queue: it writes any word into any descriptor at any time. The driver must never
// hand out a byte outside its buffers, never loop for ever, never end a burst inside a frame, and never put the tail
// outside the ring. The queue's memory is a heap block of the exact size, so that ASan sees a stray access.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "hw/ixgbe/descriptor.h"
#include "hw/ixgbe/regs_vf.h"
#include "tests/vfdriver/no_function.h"
#include "vfdriver/intel/rx_queue.h"

namespace {

using namespace vigia;
using vf::RxSegment;
using vf::intel::RxQueue;

constexpr std::uint32_t kRing = 64, kBuffer = 1024;

void require(bool ok) {
  if (!ok) std::abort();
}

// Remembers the tail; the queue writes nothing else.
class TailOnly final : public hw::Bar::Trap {
 public:
  std::uint32_t read32(std::uint32_t) noexcept override { return 0; }
  void write32(std::uint32_t, std::uint32_t value) noexcept override { require(value < kRing); }
};

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

void check_burst(const RxQueue& queue, std::span<const RxSegment> burst) {
  const std::span<std::byte> buffers = queue.memory().buffers;
  std::size_t in_frame = 0;
  std::uint64_t sum = 0;
  for (const RxSegment& s : burst) {
    require(s.data >= buffers.data() && s.data < buffers.data() + buffers.size());
    require(static_cast<std::size_t>(s.data - buffers.data()) % queue.memory().stride + s.length <= kBuffer);
    require(++in_frame <= RxQueue::kMaxSegments);
    for (std::uint32_t i = 0; i < s.length; ++i) sum += static_cast<std::uint64_t>(s.data[i]);
    if (s.end_of_frame) in_frame = 0;
  }
  require(in_frame == 0);
  static std::uint64_t sink = 0;
  std::atomic_ref(sink).store(sum, std::memory_order_relaxed);  // keeps the reads; orders nothing
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const vf::intel::Layout layout = vf::intel::plan_memory(1, kRing, kBuffer, 0);
  std::vector<std::byte> memory(layout.total);
  const auto queue_memory = RxQueue::Memory::at(memory, hw::Iova{0}, layout.rx[0]);
  TailOnly trap;
  hw::Bar bar(hw::ixgbe::vf::kBarSize, trap);
  vf::intel::Signal signal;
  vf::test::NoFunction function;
  RxQueue queue(queue_memory, hw::ixgbe::RxStatus::rxe, bar.doorbell(hw::ixgbe::vf::VFRDT, 0), signal, function);
  queue.prepare();
  queue.open();

  std::array<RxSegment, 100> out;
  Input input(data, size);
  while (!input.empty()) {
    const auto op = input.take<std::uint8_t>();
    switch (op % 8) {
      case 0: {  // any word anywhere
        hw::ixgbe::RxDescriptor& d = queue_memory.ring[input.take<std::uint8_t>() % kRing];
        d.word0 = input.take<std::uint64_t>();
        d.word1 = input.take<std::uint64_t>();
        break;
      }
      case 1: {  // a run of plausible write-backs
        const std::size_t first = input.take<std::uint8_t>(), count = input.take<std::uint8_t>();
        const auto bits = input.take<std::uint8_t>();
        const std::uint64_t length = input.take<std::uint16_t>();
        for (std::size_t i = 0; i < count; ++i) queue_memory.ring[(first + i) % kRing].word1 = bits | length << 32;
        break;
      }
      case 2:
      case 3:
      case 4: {
        const std::span<RxSegment> burst(out.data(), 1 + input.take<std::uint8_t>() % out.size());
        const std::size_t n = queue.receive(burst);
        require(n <= burst.size());
        check_burst(queue, burst.first(n));
        break;
      }
      case 5:
        queue.release();
        break;
      case 6:
        require(queue.pending_frames() < kRing);
        break;
      default:
        if (op == 0xff) queue.prepare();
        break;
    }
  }
  return 0;
}
