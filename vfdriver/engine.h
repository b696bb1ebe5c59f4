// SPDX-License-Identifier: Apache-2.0
// The engine: takes frames from RX queues, stamps them, appends them to the ring, gives the buffers back (T, chapter
// 4).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "hw/counter_file.h"
#include "vfdriver/duplicates.h"
#include "vfdriver/frame_clock.h"
#include "vfdriver/frame_limit.h"
#include "vfdriver/port.h"
#include "vfdriver/port_stamps.h"
#include "vfdriver/ring.h"

namespace vigia::vf {

struct EngineOptions {
  std::uint32_t snaplen = kMaxCaptured;  // bytes kept of a frame; at most the ring's max_captured
  bool poll = false;                     // never sleep: a core of its own
  FrameLimit* limit = nullptr;           // stop by itself when that is reached; shared by engines; null: never
  unsigned link_mbps = 0;                // of the cable, for stamps; 0: unknown
  // Frames that repeat an earlier one are left out, or kept with a mark. Empty: nobody looks.
  std::optional<DuplicateOptions> duplicates = std::nullopt;
  // Which one of several engines whose rings are merged: its accounts have names of their own, and when it is idle it
  // says until when nothing came (RingHeader::promise_ns). Empty: it is the only one.
  std::optional<unsigned> lane = std::nullopt;
  // With duplicates: what they are compared with, in accounts of their own (hw::accounts::kCopies). Outlives the
  // engine.
  const CurrentMirrors* mirrors = nullptr;
};

// Numbers of an engine: the ledger's engine.* accounts.
struct EngineTotals {
  std::uint64_t taken = 0, taken_bytes = 0, damaged = 0, ring_full = 0, appended = 0, left_in_ring = 0, duplicate = 0,
                marked = 0;
  CopyCounts copies;

  EngineTotals& operator+=(const EngineTotals& other) noexcept {
    taken += other.taken, taken_bytes += other.taken_bytes, damaged += other.damaged, ring_full += other.ring_full,
        appended += other.appended;
    left_in_ring += other.left_in_ring, duplicate += other.duplicate, marked += other.marked;
    copies += other.copies;
    return *this;
  }
};

// One thread calls run() (or burst()). With several queues it serves them in turn: one thread, one ring, one order of
// stamps. Ports, ring, clock and counters outlive it.
class Engine {
 public:
  // Segments taken at once from a queue. A batch of 32 amortises the doorbell (I: 32 saves 300 cycles per packet over
  // 1) and bounds how long a frame waits for its stamp behind the others of its burst.
  static constexpr std::size_t kBurst = 32;

  // ports may come later, by set_ports().
  Engine(std::vector<RxPort*> ports, RingWriter& ring, ClockView& clock, const RingMemory& memory,
         const hw::CounterFile& counters, EngineOptions options);

  // While run() is not running: a device that was started again has new ports.
  void set_ports(std::vector<RxPort*> ports) { ports_ = std::move(ports); }

  // Until request_stop(), the limit, or all ports dead. Never waits for a listener; sleeps only in RxPort::wait.
  void run();
  // Any thread, signal handlers too. run() returns within one bounded wait.
  void request_stop() noexcept { stop_.store(true, std::memory_order_relaxed); }
  // False once run() has returned, from before it is called (so that a thread may be started and watched).
  bool running() const noexcept { return !ended_.load(std::memory_order_acquire); }

  // Before run() is called a second time: forgets the stop request. No other thread is inside run().
  void restart() noexcept;

  // After the device has been stopped and run() has returned, from any one thread: takes what the device had finished,
  // then counts what is left (the limit may forbid to take it all). The ring stays open.
  void drain() noexcept;

  // Takes one burst of a port; returns the frames taken.
  std::size_t burst(RxPort& port) noexcept;

  // Any thread: as of the last burst.
  EngineTotals totals() const noexcept;
  // Any thread.
  bool reached_limit() const noexcept { return options_.limit && options_.limit->reached(); }

 private:
  std::size_t limited_burst(RxPort& port) noexcept;
  // As many of the segments as make so many frames, or all.
  static std::span<const RxSegment> first_frames(std::span<const RxSegment> segments, std::size_t frames) noexcept;
  // own: the port's stamps of the frames; null: it has none.
  std::size_t append_burst(std::span<const RxSegment> segments, const std::uint64_t* own, bool full) noexcept;
  // Stamps: BurstStamps or PortStamps::Burst.
  template <class Stamps>
  void append(std::span<const RxSegment> segments, const BurstCount& count, Stamps stamps) noexcept;
  template <class Stamps>
  void append_plain(std::span<const RxSegment> segments, RingRoom room, Stamps stamps) noexcept;
  template <class Stamps>
  void append_each(std::span<const RxSegment> segments, std::uint32_t repeated, Stamps stamps) noexcept;
  // Bit i: the frame that begins with segment i repeats an earlier one.
  template <class Stamps>
  std::uint32_t find_repeated(std::span<const RxSegment> segments, Stamps stamps) noexcept;
  struct Frame {
    std::span<const RxSegment> pieces;  // one or more
    std::uint32_t held, wire;           // bytes of them together; with what the port does not hold
  };
  // The frame that begins with the first segment.
  static Frame frame_at(std::span<const RxSegment> segments) noexcept;
  // repeated: counted as duplicate, or kept with a mark.
  void append_any(const Frame& frame, Stamp stamp, bool repeated) noexcept;
  void count() noexcept;
  void count_copies() noexcept;
  void promise() noexcept;
  bool alive() const noexcept;
  void rest(unsigned& idle) noexcept;

  struct Cells {
    hw::Counter taken, taken_bytes, damaged, ring_full, appended, left_in_ring, duplicate, marked;
    std::optional<std::array<hw::Counter, 4>> copies;
  };

  std::vector<RxPort*> ports_;
  RingWriter& ring_;
  FrameClock stamps_;
  PortStamps port_stamps_;
  const RingMemory& memory_;
  const EngineOptions options_;
  Cells cells_;
  EngineTotals totals_;  // engine's thread
  std::optional<Duplicates> duplicates_;
  std::array<RxSegment, kBurst> segments_{};
  std::span<const RxSegment> held_;  // of segments_: received, above the limit, not released
  RxPort* held_by_ = nullptr;
  const std::uint64_t* held_stamps_ = nullptr;  // of their frames; null: the port has none
  std::atomic<bool> stop_{false}, ended_{false};
};

}  // namespace vigia::vf
