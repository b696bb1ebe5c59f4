// SPDX-License-Identifier: Apache-2.0
// What the VF driver costs per frame: receive() + release() of 60-byte frames, and send(). The device's half is done
// between the timed parts, in the same thread, so these are the driver's own costs with warm descriptors; across_cores
// adds what two cores pay that pass cache lines to each other.
#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

#include "hw/ixgbe/descriptor.h"
#include "hw/ixgbe/regs_vf.h"
#include "tests/vfdriver/no_function.h"
#include "vfdriver/intel/rx_queue.h"
#include "vfdriver/intel/tx_queue.h"

namespace {

using namespace vigia;
using vf::intel::RxQueue;
using vf::intel::TxQueue;
namespace rx_status = hw::ixgbe::RxStatus;

constexpr std::uint32_t kFrame = 60;

// A mapped doorbell page and nothing else.
struct Page {
  alignas(4096) std::array<std::byte, hw::ixgbe::vf::kBarSize> bytes{};
  class NoTrap final : public hw::Bar::Trap {
    std::uint32_t read32(std::uint32_t) noexcept override { return 0; }
    void write32(std::uint32_t, std::uint32_t) noexcept override {}
  } trap;
  hw::Bar bar{hw::ixgbe::vf::kBarSize, trap, {{0, bytes}}};
};

// Processor time of this thread: other work on the machine does not count.
double now() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Arguments: frames per burst; whether the reader looks at each frame's first bytes; bytes between two buffers beyond
// the buffer (64 is what the driver uses).
void receive_and_release(benchmark::State& state) {
  const auto burst = static_cast<std::size_t>(state.range(0));
  const bool look = state.range(1) != 0;
  constexpr std::uint32_t kRing = 2048;
  auto layout = vf::intel::plan_memory(1, kRing, 2048, 0);
  layout.rx[0].stride = 2048 + static_cast<std::uint32_t>(state.range(2));
  std::vector<std::byte> memory(layout.total + 4096);
  void* aligned = memory.data();
  std::size_t space = memory.size();
  std::align(4096, layout.total, aligned, space);
  const auto queue_memory =
      RxQueue::Memory::at({static_cast<std::byte*>(aligned), layout.total}, hw::Iova{0}, layout.rx[0]);
  Page page;
  vf::test::NoFunction function;
  vf::intel::Signal signal;
  RxQueue queue(queue_memory, hw::ixgbe::RxStatus::rxe, page.bar.doorbell(hw::ixgbe::vf::VFRDT, 0), signal, function);
  queue.prepare();
  queue.open();

  std::vector<vf::RxSegment> out(burst);
  std::size_t head = 0;
  std::uint64_t frames = 0, sum = 0;
  constexpr std::size_t kBatch = 1024;  // frames the device writes between two timed parts
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i, head = (head + 1) % kRing) {
      queue_memory.buffers[head * queue_memory.stride] = std::byte{1};
      queue_memory.ring[head].word1 = rx_status::dd | rx_status::eop | std::uint64_t{kFrame} << rx_status::length_shift;
    }
    const double begin = now();
    for (std::size_t got = 0; got < kBatch;) {
      const std::size_t n = queue.receive(out);
      if (look) {
        for (std::size_t i = 0; i < n; ++i) sum += static_cast<std::uint64_t>(out[i].data[0]);
      }
      queue.release();
      got += n;
    }
    state.SetIterationTime(now() - begin);
    frames += kBatch;
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(static_cast<std::int64_t>(frames));
  state.counters["per_frame"] =
      benchmark::Counter(static_cast<double>(frames), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(receive_and_release)
    ->ArgNames({"burst", "look", "gap"})
    ->ArgsProduct({{16, 64, 256}, {0, 1}, {0, 64}})
    ->UseManualTime();

// The device on another core, as fast as it can, and a reader that copies every frame. Argument: as above. Wall clock;
// needs two idle cores.
void across_cores(benchmark::State& state) {
  constexpr std::uint32_t kRing = 2048;
  auto layout = vf::intel::plan_memory(1, kRing, 2048, 0);
  layout.rx[0].stride = 2048 + static_cast<std::uint32_t>(state.range(0));
  std::vector<std::byte> memory(layout.total);
  const auto queue_memory = RxQueue::Memory::at(memory, hw::Iova{0}, layout.rx[0]);
  Page page;
  vf::test::NoFunction function;
  vf::intel::Signal signal;
  const hw::Doorbell tail = page.bar.doorbell(hw::ixgbe::vf::VFRDT, 0);
  RxQueue queue(queue_memory, hw::ixgbe::RxStatus::rxe, tail, signal, function);
  queue.prepare();
  queue.open();

  std::atomic<bool> stop{false};
  std::thread device([&] {
    const std::array<std::byte, kFrame> frame{};
    std::size_t head = 0;
    while (!stop.load(std::memory_order_relaxed)) {  // relaxed: a flag, orders nothing
      for (std::size_t room = (tail.read() - head) & (kRing - 1); room > 0; --room, head = (head + 1) & (kRing - 1)) {
        hw::ixgbe::RxDescriptor& d = queue_memory.ring[head];
        std::memcpy(queue_memory.buffers.data() + d.word0, frame.data(), frame.size());
        // Release: the frame before the done bit; pairs with receive().
        std::atomic_ref(d.word1).store(
            rx_status::dd | rx_status::eop | std::uint64_t{kFrame} << rx_status::length_shift,
            std::memory_order_release);
      }
    }
  });
  std::array<vf::RxSegment, 64> out;
  std::vector<std::byte> copy(1 << 20);
  std::size_t at = 0;
  std::uint64_t frames = 0;
  for (auto _ : state) {
    for (std::size_t got = 0; got < 100'000;) {
      const std::size_t n = queue.receive(out);
      for (std::size_t i = 0; i < n; ++i) {
        std::memcpy(copy.data() + at, out[i].data, kFrame);
        at = (at + kFrame) & (copy.size() / 2 - 1);
      }
      queue.release();
      got += n;
      frames += n;
    }
  }
  stop.store(true, std::memory_order_relaxed);
  device.join();
  state.SetItemsProcessed(static_cast<std::int64_t>(frames));
}
BENCHMARK(across_cores)->ArgName("gap")->Arg(0)->Arg(64)->UseRealTime();

void send(benchmark::State& state) {
  const auto burst = static_cast<std::size_t>(state.range(0));
  const auto layout = vf::intel::plan_memory(0, 0, 0, 512);
  std::vector<std::byte> memory(layout.total);
  const auto queue_memory = TxQueue::Memory::at(memory, hw::Iova{0}, layout.tx);
  Page page;
  vf::test::NoFunction function;
  TxQueue queue(queue_memory, hw::ixgbe::TxCommand::cc, 1518, page.bar.doorbell(hw::ixgbe::vf::VFTDT, 0), function);
  queue.prepare();
  const std::vector<std::byte> frame(kFrame, std::byte{2});
  const std::vector<vf::TxPort::Frame> frames(burst, frame);
  std::uint64_t sent = 0;
  for (auto _ : state) {
    const double begin = now();
    sent += queue.send(frames);
    state.SetIterationTime(now() - begin);
    for (auto& d : queue_memory.ring) d.word1 |= hw::ixgbe::TxCommand::dd;  // the device has sent it all
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(sent));
  state.counters["per_frame"] =
      benchmark::Counter(static_cast<double>(sent), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(send)->ArgName("burst")->Arg(32)->Arg(256)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
