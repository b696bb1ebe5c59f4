// SPDX-License-Identifier: Apache-2.0
// How many frames a second one engine takes, stamps and appends; from a port that costs nothing but its memory. The
// limit, in the same run: a loop that copies a record's header and bytes through the same memory and does nothing else.
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <vector>

#include "hw/accounts.h"
#include "vfdriver/engine.h"

namespace {

using namespace vigia;

constexpr std::uint32_t kBuffer = 2048;
constexpr std::uint32_t kDescriptors = 2048;

// A receive ring of 2048 buffers that is always full: the next burst is the next 32 buffers, as from a device.
class MemoryPort final : public vf::RxPort {
 public:
  explicit MemoryPort(std::uint32_t frame)
      : frame_(frame), memory_(std::size_t{kBuffer} * kDescriptors, std::byte{1}) {}

  std::size_t receive(std::span<vf::RxSegment> out) noexcept override {
    for (vf::RxSegment& segment : out) {
      segment = {memory_.data() + std::size_t{next_} * kBuffer, frame_, true};
      next_ = (next_ + 1) % kDescriptors;
    }
    return out.size();
  }
  void release() noexcept override {}
  void wait(std::chrono::microseconds) noexcept override {}
  bool alive() const noexcept override { return true; }
  std::uint64_t pending_frames() const noexcept override { return 0; }

 private:
  const std::uint32_t frame_;
  std::uint32_t next_ = 0;
  std::vector<std::byte> memory_;
};

template <class T>
T must(Result<T> result, benchmark::State& state) {
  if (!result) {
    state.SkipWithError(result.error().text.c_str());
    std::abort();
  }
  return std::move(*result);
}

void report(benchmark::State& state, std::uint64_t frames) {
  state.SetItemsProcessed(static_cast<std::int64_t>(frames));
  state.SetBytesProcessed(static_cast<std::int64_t>(frames * static_cast<std::uint64_t>(state.range(0))));
}

void engine(benchmark::State& state) {
  const auto frame = static_cast<std::uint32_t>(state.range(0));
  auto memory = must(vf::RingMemory::create({}, "bench"), state);
  const auto listeners = must(vf::ListenerTable::create(), state);
  vf::RingWriter ring(memory, listeners);
  vf::Clock clock;
  const auto counters = must(hw::CounterFile::create({}, hw::accounts::capture_names()), state);
  MemoryPort port(frame);
  vf::Engine engine({&port}, ring, clock, memory, counters, {});
  std::uint64_t frames = 0;
  for (auto _ : state) frames += engine.burst(port);
  report(state, frames);
}
BENCHMARK(engine)->Arg(60)->Arg(256)->Arg(1514);

// What any engine of this kind must do: move 12 + n bytes from descriptors' buffers into a ring of 256 MiB.
void copy_limit(benchmark::State& state) {
  const auto frame = static_cast<std::uint32_t>(state.range(0));
  auto memory = must(vf::RingMemory::create({}, "bench"), state);
  MemoryPort port(frame);
  std::array<vf::RxSegment, vf::Engine::kBurst> segments;
  std::uint64_t at = 0, frames = 0;
  for (auto _ : state) {
    for (const vf::RxSegment& segment : std::span(segments).first(port.receive(segments))) {
      std::byte* to = memory.data() + at;
      std::memcpy(to, &at, 8);
      std::memcpy(to + 8, &frames, 4);
      vf::copy_frame(to + 12, segment.data, frame);
      at += 12 + frame;
      if (at >= memory.geometry().data_bytes) at = 0;
      ++frames;
    }
  }
  report(state, frames);
}
BENCHMARK(copy_limit)->Arg(60)->Arg(256)->Arg(1514);

// What stamps cost per frame. Arguments: policy, frames per burst.
void stamps(benchmark::State& state, vf::TickSource source) {
  vf::Clock clock(source, static_cast<vf::ClockPolicy>(state.range(0)));
  vf::FrameClock stamps(clock, 10'000);
  const std::array<std::byte, 60> frame{};
  const std::vector<vf::RxSegment> segments(static_cast<std::size_t>(state.range(1)),
                                            vf::RxSegment{frame.data(), frame.size(), true});
  for (auto _ : state) {
    stamps.look();
    vf::BurstStamps burst = stamps.found(vf::count_of(segments), segments.size() == vf::Engine::kBurst);
    for (std::size_t i = 0; i < segments.size(); ++i) benchmark::DoNotOptimize(burst.next(60));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * state.range(1)));
}
BENCHMARK_CAPTURE(stamps, tsc, vf::TickSource::tsc)
    ->ArgNames({"policy", "burst"})
    ->ArgsProduct({{0, 1, 2, 3}, {1, 32}});
BENCHMARK_CAPTURE(stamps, monotonic, vf::TickSource::monotonic)
    ->ArgNames({"policy", "burst"})
    ->ArgsProduct({{3}, {1, 32}});

}  // namespace

BENCHMARK_MAIN();
