// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/file/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <thread>

#include "vfdriver/file/source.h"
#include "vfdriver/port_spec.h"

namespace vigia::vf::file {
namespace {

using Clock = std::chrono::steady_clock;  // reads the TSC, without a system call, where the kernel trusts it
using std::chrono::microseconds;
using std::chrono::nanoseconds;

// When frames are read ahead but the reader is slower than the taker: how long before the next look.
constexpr microseconds kReaderNap{50};

class Queue final : public RxPort {
 public:
  std::size_t receive(std::span<RxSegment> out) noexcept override {
    const Chunk* chunk = source_ ? source_->front() : nullptr;
    if (chunk == nullptr || next_ == chunk->frames.size()) return 0;  // the second: not released yet
    const auto now = static_cast<std::uint64_t>(nanoseconds(Clock::now() - begin_).count());
    std::size_t n = 0;
    for (; n < out.size() && next_ < chunk->frames.size() && chunk->frames[next_].due_ns <= now; ++n, ++next_) {
      const Chunk::Frame& frame = chunk->frames[next_];
      out[n] = RxSegment{chunk->bytes.data() + frame.offset, frame.length, true};
      out[n].beyond = static_cast<std::uint16_t>(frame.beyond);
    }
    // Relaxed: a number for people; this thread alone writes it.
    handed_out_.store(handed_out_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    return n;
  }
  void release() noexcept override {
    const Chunk* chunk = source_ ? source_->front() : nullptr;
    if (chunk == nullptr || next_ < chunk->frames.size()) return;
    source_->pop();
    next_ = 0;
  }
  void wait(microseconds at_most) noexcept override {
    nanoseconds nap = std::min(kReaderNap, at_most);
    if (const Chunk* chunk = source_ ? source_->front() : nullptr) {
      const auto due = begin_ + nanoseconds(next_ < chunk->frames.size() ? chunk->frames[next_].due_ns : 0);
      nap = std::min<nanoseconds>(due - Clock::now(), at_most);
    }
    if (nap.count() > 0) std::this_thread::sleep_for(nap);
  }
  bool alive() const noexcept override { return source_ && !source_->ended(); }
  // Frames read ahead are not lost: the file still has them.
  std::uint64_t pending_frames() const noexcept override { return 0; }

  void play(std::unique_ptr<Source> source) {
    source_ = std::move(source);
    next_ = 0;
    begin_ = Clock::now();
  }
  std::uint64_t handed_out() const noexcept { return handed_out_.load(std::memory_order_relaxed); }
  const Source* source() const { return source_.get(); }

 private:
  std::unique_ptr<Source> source_;  // null: stopped
  std::size_t next_ = 0;            // of the front chunk
  Clock::time_point begin_{};
  std::atomic<std::uint64_t> handed_out_{0};
};

class Device final : public VfDevice {
 public:
  Device(std::string spec, std::string path, const Rate& rate, std::uint64_t turns)
      : spec_(std::move(spec)), path_(std::move(path)), rate_(rate), turns_(turns) {}

  unsigned queues() const override { return 1; }
  RxPort& queue(unsigned i) override {
    check(i == 0);
    return queue_;
  }
  TxPort* tx() override { return nullptr; }
  // Plays from the beginning.
  Result<Done> start() override {
    auto source = Source::open(path_, rate_, turns_);
    if (!source) return source.error();
    queue_.play(std::move(*source));
    return Done{};
  }
  Result<Done> stop() override {
    queue_.play(nullptr);
    return Done{};
  }
  Health health() override {
    if (queue_.alive() || queue_.source() == nullptr) return Health::good;
    return queue_.source()->error().empty() ? Health::finished : Health::gone;
  }
  std::string trouble() const override {
    return queue_.source() ? queue_.source()->error() : std::string("the file is not being played");
  }
  PortCounts counts() override { return {queue_.handed_out(), 0}; }
  Result<Done> set_mac(const hw::Mac&) override {
    return input_error(fmt::format("device '{}': a file has no address", spec_));
  }
  Result<PortInfo> info() override {
    PortInfo info;
    info.device = spec_;
    info.driver = "file";
    info.queues = 1;
    return info;
  }

 private:
  const std::string spec_, path_;
  const Rate rate_;
  const std::uint64_t turns_;
  Queue queue_;
};

}  // namespace

Result<std::unique_ptr<VfDevice>> open(const std::string& spec, std::string_view rest, const PortOptions&) {
  static const std::array<std::string, 2> kKeys{"rate", "loop"};
  const auto parsed = parse_port_spec(spec, rest, kKeys);
  if (!parsed) return parsed.error();
  const auto rate = parse_rate(spec, parsed->word("rate", "original"));
  if (!rate) return rate.error();
  const std::string loop = parsed->word("loop", "1");
  std::uint64_t turns = 0;
  const auto [end, error] = std::from_chars(loop.data(), loop.data() + loop.size(), turns);
  if (error != std::errc{} || end != loop.data() + loop.size()) {
    return input_error(
        fmt::format("device '{}': loop '{}'; want how often the file is played, 0 for ever", spec, loop));
  }
  return std::unique_ptr<VfDevice>(std::make_unique<Device>(spec, parsed->place, *rate, turns));
}

}  // namespace vigia::vf::file
