// SPDX-License-Identifier: Apache-2.0
// Driver, engine and ring on a descriptor ring that is always full. The device's half is done between the laps that are
// timed: a lap is one time round the descriptor ring.
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include "benchmarks/rx/bench.h"
#include "hw/accounts.h"
#include "hw/ixgbe/descriptor.h"
#include "hw/ixgbe/regs_vf.h"
#include "tests/vfdriver/no_function.h"
#include "vfdriver/engine.h"
#include "vfdriver/intel/rx_queue.h"
#include "vfdriver/reader.h"
#include "vfdriver/ring_reader.h"

namespace vigia::bench {
namespace {

using vf::intel::RxQueue;
namespace rx_status = hw::ixgbe::RxStatus;

constexpr std::uint32_t kBuffer = 2048, kDescriptors = 2048;
// Frames of a lap: whole bursts, and fewer than descriptors.
constexpr std::uint64_t kLap = kDescriptors - vf::Engine::kBurst;

// A mapped doorbell page and nothing else.
struct Page {
  alignas(4096) std::array<std::byte, hw::ixgbe::vf::kBarSize> bytes{};
  class NoTrap final : public hw::Bar::Trap {
    std::uint32_t read32(std::uint32_t) noexcept override { return 0; }
    void write32(std::uint32_t, std::uint32_t) noexcept override {}
  } trap;
  hw::Bar bar{hw::ixgbe::vf::kBarSize, trap, {{0, bytes}}};
};

struct Memory {
  Memory() : layout(vf::intel::plan_memory(1, kDescriptors, kBuffer, 0)), bytes(layout.total + 4096) {
    void* aligned = bytes.data();
    std::size_t space = bytes.size();
    std::align(4096, layout.total, aligned, space);
    queue = RxQueue::Memory::at({static_cast<std::byte*>(aligned), layout.total}, hw::Iova{0}, layout.rx[0]);
  }
  vf::intel::Layout layout;
  std::vector<std::byte> bytes;
  RxQueue::Memory queue;
};

// The driver's queue and a device that fills it. Each frame has a number in its first bytes, so that no two are equal.
class Device {
 public:
  explicit Device(std::span<const std::uint16_t> lengths) : lengths_(lengths) {
    queue_.prepare();
    queue_.open();
  }

  vf::RxPort& queue() { return queue_; }
  void fill() {
    for (std::uint64_t i = 0; i < kLap; ++i) {
      hw::ixgbe::RxDescriptor& d = memory_.queue.ring[head_];
      std::memcpy(memory_.queue.buffers.data() + head_ * memory_.queue.stride, &number_, sizeof(number_));
      d.word0 = number_ << 32 | hw::ixgbe::RssType::udp_ipv4;
      d.word1 = rx_status::dd | rx_status::eop | std::uint64_t{lengths_[at_]} << rx_status::length_shift;
      head_ = (head_ + 1) % kDescriptors;
      if (++at_ == lengths_.size()) at_ = 0;
      ++number_;
    }
  }

 private:
  const std::span<const std::uint16_t> lengths_;
  Memory memory_;
  Page page_;
  vf::test::NoFunction function_;
  vf::intel::Signal signal_;
  RxQueue queue_{memory_.queue, hw::ixgbe::RxStatus::rxe, page_.bar.doorbell(hw::ixgbe::vf::VFRDT, 0), signal_,
                 function_};
  std::size_t head_ = 0, at_ = 0;
  std::uint64_t number_ = 0;
};

struct Ring {
  vf::RingMemory memory = must(vf::RingMemory::create({}, "bench"));
  vf::ListenerTable listeners = must(vf::ListenerTable::create());
};

class EngineLoop {
 public:
  EngineLoop(std::span<const std::uint16_t> lengths, const MemoryRun& run)
      : device_(lengths),
        writer_(ring_.memory, ring_.listeners),
        engine_({&device_.queue()}, writer_, clock_, ring_.memory, counters_, {.duplicates = run.duplicates}),
        reading_(run.listeners),
        stalled_(run.stalled) {}
  ~EngineLoop() { listeners_leave(); }
  void prepare() { device_.fill(); }
  std::uint64_t step() { return engine_.burst(device_.queue()); }
  // They come and go, so that the engine with them is compared with itself without them on the same pages.
  void listeners_join() {
    for (unsigned i = 0; i < reading_ + stalled_; ++i) listen(i >= reading_);
  }
  void listeners_leave() {
    stop_ = true;
    for (Listener& listener : listeners_) {
      listener.thread.join();
      ring_.listeners.leave(listener.slot);
    }
    listeners_.clear();
    stop_ = false;
  }
  bool hugepages() const { return ring_.memory.hugepages(); }

 private:
  struct Listener {
    unsigned slot;
    std::thread thread;
  };
  void listen(bool stalled) {
    auto joined = must(ring_.listeners.join(ring_.memory, vf::ListenerKind::overwritable));
    auto reader = vf::RingReader::local(ring_.memory, ring_.listeners, joined);
    listeners_.push_back({joined.slot, std::thread([this, stalled, reader = std::move(reader)]() mutable {
                            while (!stop_) {
                              const auto bytes = stalled ? std::span<const std::byte>{} : reader.peek(256 * 1024);
                              vf::RecordCursor cursor(bytes);
                              vf::FrameView view;
                              std::uint64_t frames = 0;
                              while (cursor.next(view)) ++frames;
                              reader.advance(cursor.consumed(), frames);
                              if (frames == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
                            }
                          })});
  }

  Device device_;
  Ring ring_;
  vf::RingWriter writer_;
  vf::Clock clock_;
  hw::CounterFile counters_ = must(hw::CounterFile::create({}, hw::accounts::capture_names()));
  vf::Engine engine_;
  const unsigned reading_, stalled_;
  std::atomic<bool> stop_{false};
  std::vector<Listener> listeners_;
};

// What any engine of this kind must do: move 12 + n bytes from the device's buffers into a ring of that size.
class CopyLoop {
 public:
  explicit CopyLoop(std::span<const std::uint16_t> lengths) : lengths_(lengths) {}
  void prepare() {
    for (std::uint64_t i = 0; i < kDescriptors; ++i) {
      std::memcpy(buffers_.queue.buffers.data() + i * buffers_.queue.stride, &i, sizeof(i));
    }
  }
  std::uint64_t step() {
    for (std::size_t i = 0; i < vf::Engine::kBurst; ++i) {
      const std::uint16_t n = lengths_[next_];
      std::byte* to = ring_.memory.data() + at_;
      std::memcpy(to, &at_, 8);
      std::memcpy(to + 8, &n, 2);
      std::memcpy(to + 10, &n, 2);
      vf::copy_frame(to + 12, buffers_.queue.buffers.data() + head_ * buffers_.queue.stride, n);
      at_ += 12u + n;
      if (at_ >= ring_.memory.geometry().data_bytes) at_ = 0;
      head_ = (head_ + 1) % kDescriptors;
      if (++next_ == lengths_.size()) next_ = 0;
    }
    return vf::Engine::kBurst;
  }

 private:
  const std::span<const std::uint16_t> lengths_;
  Memory buffers_;
  Ring ring_;
  std::uint64_t at_ = 0;
  std::size_t head_ = 0, next_ = 0;
};

// Ticks of the median lap: one that was interrupted does not count.
template <class Loop>
double ticks_per_frame(Loop& loop, double seconds) {
  std::vector<std::uint64_t> laps;
  for (const double end = thread_seconds() + seconds; thread_seconds() < end;) {
    for (int i = 0; i < 100; ++i) {
      loop.prepare();
      const std::uint64_t begin = __rdtsc();
      for (std::uint64_t frames = 0; frames < kLap;) frames += loop.step();
      laps.push_back(__rdtsc() - begin);
    }
  }
  const auto middle = laps.begin() + static_cast<std::ptrdiff_t>(laps.size() / 2);
  std::nth_element(laps.begin(), middle, laps.end());
  return static_cast<double>(*middle) / static_cast<double>(kLap);
}

double ticks_per_second() {
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t ticks = __rdtsc();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::uint64_t passed = __rdtsc() - ticks;
  return static_cast<double>(passed) / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

std::vector<std::uint16_t> frame_lengths(const std::string& spec) {
  if (spec == "imix") return {60, 60, 60, 590, 60, 60, 590, 60, 60, 590, 1514, 590};
  if (spec.find_first_not_of("0123456789") == spec.npos) return {static_cast<std::uint16_t>(std::stoul(spec))};
  auto reader = must(vf::open_capture(spec));
  std::vector<std::uint16_t> lengths;
  vf::FrameView view;
  while (must(reader->next(view))) {
    lengths.push_back(static_cast<std::uint16_t>(std::clamp(view.wire, 60u, 1522u)));
  }
  return lengths;
}

void measure_memory(const MemoryRun& run) {
  const auto lengths = frame_lengths(run.lengths);
  EngineLoop engine(lengths, run);
  CopyLoop copy(lengths);
  std::vector<double> rates, alone, limits;
  const double ticks = ticks_per_second();
  ticks_per_frame(engine, run.seconds / 2);  // once round both rings
  ticks_per_frame(copy, run.seconds / 2);
  for (unsigned i = 0; i < run.runs; ++i) {
    if (run.listeners + run.stalled > 0) alone.push_back(ticks / ticks_per_frame(engine, run.seconds));
    engine.listeners_join();
    rates.push_back(ticks / ticks_per_frame(engine, run.seconds));
    engine.listeners_leave();
    limits.push_back(ticks / ticks_per_frame(copy, run.seconds));
  }
  fmt::print(
      "{{\"frames_per_second\": [{:.0f}], \"without_listeners\": [{:.0f}], \"limit\": [{:.0f}], \"ticks_per_second\": "
      "{:.0f}, \"hugepages\": {}}}\n",
      fmt::join(rates, ", "), fmt::join(alone, ", "), fmt::join(limits, ", "), ticks, engine.hugepages());
}

// What is counted: a function that the compiler neither splits nor inlines, as it may Engine::burst.
[[gnu::noinline, gnu::noclone]] static std::uint64_t counted_step(EngineLoop& engine) { return engine.step(); }

void run_frames(const MemoryRun& run, std::uint64_t frames) {
  const auto lengths = frame_lengths(run.lengths);
  EngineLoop engine(lengths, run);
  engine.listeners_join();
  while (frames > 0) {
    engine.prepare();
    for (std::uint64_t lap = 0; lap < kLap && frames > 0;) {
      const std::uint64_t n = counted_step(engine);
      lap += n;
      frames -= std::min(frames, n);
    }
  }
}

}  // namespace vigia::bench
