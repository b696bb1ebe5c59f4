// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/engine.h"

#include <algorithm>
#include <utility>

#include "hw/accounts.h"

namespace vigia::vf {
namespace {

// Empty looks before the engine sleeps: some 20 us, so that a steady stream of 100 kpps never pays a wake-up.
constexpr unsigned kIdleLooks = 1000;
// A bound on every sleep: also how late a stop request is seen, and a lost interrupt costs no more than this.
constexpr std::chrono::microseconds kMaxSleep{1000};
// The same for an engine that nothing but a stop request can keep waiting.
constexpr std::chrono::microseconds kLongSleep{50'000};
// Empty looks between two promises of an engine that stays awake: about a microsecond.
constexpr unsigned kPromiseLooks = 32;
// Buckets of the table of duplicates that an engine looks at before it sleeps: all of them within a second or two.
constexpr std::size_t kLookBack = 64;

}  // namespace

Engine::Engine(std::vector<RxPort*> ports, RingWriter& ring, ClockView& clock, const RingMemory& memory,
               const hw::CounterFile& counters, EngineOptions options)
    : ports_(std::move(ports)),
      ring_(ring),
      stamps_(clock, options.link_mbps),
      memory_(memory),
      options_([&] {
        options.snaplen = std::min(options.snaplen, memory.geometry().max_captured);
        return options;
      }()),
      cells_([&] {
        const auto cell = [&](const char* name) { return counters.named(hw::accounts::of_lane(name, options.lane)); };
        return Cells{cell("engine.taken"),     cell("engine.taken_bytes"), cell("engine.damaged"),
                     cell("engine.ring_full"), cell("engine.appended"),    cell("engine.left_in_ring"),
                     cell("engine.duplicate"), cell("engine.marked"),      {}};
      }()) {
  static_assert(kBurst <= Duplicates::kMaxBurst && kBurst <= 32, "a bit for each segment");
  if (!options_.duplicates) return;
  duplicates_.emplace(*options_.duplicates, options_.mirrors);
  if (options_.mirrors == nullptr) return;
  const auto cell = [&](std::size_t i) {
    return counters.named(hw::accounts::of_lane(hw::accounts::kCopies[i].name, options_.lane));
  };
  cells_.copies = {cell(0), cell(1), cell(2), cell(3)};
}

std::size_t Engine::burst(RxPort& port) noexcept {
  if (options_.limit) return limited_burst(port);
  stamps_.look();
  const std::size_t n = port.receive(segments_);
  if (n == 0) {
    stamps_.nothing();
    return 0;
  }
  const std::size_t frames = append_burst(std::span(segments_).first(n), port.stamps(), n == segments_.size());
  port.release();
  ring_.publish();
  count();
  return frames;
}

// The port always gets room for a whole burst, for a frame may have more segments than frames may still be taken. What
// is above the limit stays with the port until another engine gives back what it claimed, or drain() counts it.
std::size_t Engine::limited_burst(RxPort& port) noexcept {
  const std::size_t claimed = options_.limit->claim(kBurst);
  if (claimed == 0) return 0;
  stamps_.look();
  if (held_.empty()) {
    held_ = std::span(segments_).first(port.receive(segments_));
    held_by_ = &port;
    held_stamps_ = port.stamps();
  }
  const std::span<const RxSegment> segments = first_frames(held_, claimed);
  const bool more = held_.size() == segments_.size() || segments.size() < held_.size();
  held_ = held_.subspan(segments.size());
  std::size_t frames = 0;
  if (segments.empty()) {
    stamps_.nothing();
  } else {
    frames = append_burst(segments, held_stamps_, more);
    if (held_stamps_ != nullptr) held_stamps_ += frames;
    if (held_.empty()) held_by_->release();
    ring_.publish();
    count();
  }
  options_.limit->settle(claimed, frames);
  return frames;
}

std::span<const RxSegment> Engine::first_frames(std::span<const RxSegment> segments, std::size_t frames) noexcept {
  std::size_t n = 0;
  for (; n < segments.size() && frames > 0; ++n) frames -= segments[n].end_of_frame;
  return segments.first(n);
}

std::size_t Engine::append_burst(std::span<const RxSegment> segments, const std::uint64_t* own, bool full) noexcept {
  const BurstCount count = count_of(segments);
  if (own != nullptr) {
    append(segments, count, port_stamps_.found({own, count.frames}));
  } else {
    append(segments, count, stamps_.found(count, full));
  }
  totals_.taken += count.frames;
  totals_.taken_bytes += count.bytes;
  return count.frames;
}

template <class Stamps>
void Engine::append(std::span<const RxSegment> segments, const BurstCount& count, Stamps stamps) noexcept {
  const std::uint32_t repeated = duplicates_ ? find_repeated(segments, stamps) : 0;
  const RingRoom room = ring_.room();
  if (count.plain && repeated == 0 && room.fits(count.frames, count.bytes)) [[likely]] {
    append_plain(segments, room, stamps);
  } else {
    append_each(segments, repeated, stamps);
  }
}

template <class Stamps>
std::uint32_t Engine::find_repeated(std::span<const RxSegment> segments, Stamps stamps) noexcept {
  duplicates_->foresee(segments);
  std::uint32_t repeated = 0;
  for (std::size_t i = 0; i < segments.size();) {
    const Frame frame = frame_at(segments.subspan(i));
    const std::uint64_t ns = stamps.next(frame.wire).total_ns();
    repeated |= std::uint32_t{duplicates_->repeats(i, segments[i], frame.wire, ns)} << i;
    i += frame.pieces.size();
  }
  return repeated;
}

// Whole frames, for all of which there is room.
template <class Stamps>
void Engine::append_plain(std::span<const RxSegment> segments, RingRoom room, Stamps stamps) noexcept {
  const std::uint32_t snaplen = options_.snaplen;
  for (const RxSegment& segment : segments) {
    const std::uint32_t wire = segment.length + segment.beyond;
    room.append(stamps.next(wire), segment.data, std::min(segment.length, snaplen), wire);
  }
  ring_.settle(room, segments.size());
}

template <class Stamps>
void Engine::append_each(std::span<const RxSegment> segments, std::uint32_t repeated, Stamps stamps) noexcept {
  for (std::size_t i = 0; i < segments.size();) {
    const Frame frame = frame_at(segments.subspan(i));
    totals_.damaged += frame.pieces.back().error != 0;
    append_any(frame, stamps.next(frame.wire), (repeated >> i & 1) != 0);
    i += frame.pieces.size();
  }
}

Engine::Frame Engine::frame_at(std::span<const RxSegment> segments) noexcept {
  std::size_t n = 0;
  std::uint32_t held = 0, wire = 0;
  do {
    held += segments[n].length;
    wire += segments[n].length + segments[n].beyond;
  } while (!segments[n++].end_of_frame && n < segments.size());
  return {segments.first(n), held, wire};
}

void Engine::append_any(const Frame& frame, Stamp stamp, bool repeated) noexcept {
  if (repeated && !duplicates_->options().keep) {
    ++totals_.duplicate;
    return;
  }
  std::uint32_t left = std::min(frame.held, options_.snaplen);
  // The record's length field has 16 bits; no port of ours delivers more, a broken device may.
  const std::uint32_t told = std::min(frame.wire, kMaxCaptured);
  std::byte* at = repeated ? ring_.claim_repeated(stamp, left, told) : ring_.claim(stamp, left, told);
  if (!at) {
    ++totals_.ring_full;
    return;
  }
  totals_.marked += repeated;
  for (const RxSegment& piece : frame.pieces) {
    const std::uint32_t n = std::min(piece.length, left);
    copy_frame(at, piece.data, n);
    at += n;
    left -= n;
  }
}

void Engine::count() noexcept {
  totals_.appended = totals_.taken - totals_.ring_full - totals_.duplicate;
  cells_.taken.set(totals_.taken);
  cells_.taken_bytes.set(totals_.taken_bytes);
  cells_.damaged.set(totals_.damaged);
  cells_.ring_full.set(totals_.ring_full);
  cells_.appended.set(totals_.appended);
  cells_.duplicate.set(totals_.duplicate);
  cells_.marked.set(totals_.marked);
  if (cells_.copies) count_copies();
  // Relaxed: numbers for people.
  memory_.header().taken.store(totals_.taken, std::memory_order_relaxed);
  memory_.header().ring_full.store(totals_.ring_full, std::memory_order_relaxed);
}

void Engine::count_copies() noexcept {
  const CopyCounts& copies = duplicates_->copies();
  const std::array values{copies.predicted, copies.unpredicted, copies.missing, copies.open};
  for (std::size_t i = 0; i < values.size(); ++i) (*cells_.copies)[i].set(values[i]);
}

bool Engine::alive() const noexcept {
  return std::any_of(ports_.begin(), ports_.end(), [](const RxPort* port) { return port->alive(); });
}

void Engine::promise() noexcept {
  if (!options_.lane) return;
  // Release: pairs with MergedReader; what is published already is visible to whoever sees the promise.
  memory_.header().promise_ns.store(stamps_.promise(), std::memory_order_release);
}

void Engine::rest(unsigned& idle) noexcept {
  ++idle;
  const bool awake = options_.poll || (idle < kIdleLooks && ports_.front()->worth_spinning());
  if (!awake || idle % kPromiseLooks == 0) promise();
  if (awake) {
    _mm_pause();
    return;
  }
  if (cells_.copies) {
    duplicates_->look_back(stamps_.promise(), kLookBack);
    count_copies();
  }
  // One queue's signal ends the sleep early; with several the bound keeps the others' wait short. Where the kernel
  // wakes the engine, no signal is lost; but a merged reader waits for this engine's promises.
  const bool alone = ports_.size() == 1 && !options_.lane && !ports_.front()->worth_spinning();
  ports_.front()->wait(alone ? kLongSleep : kMaxSleep / static_cast<int>(ports_.size()));
}

void Engine::run() {
  check(!ports_.empty());
  unsigned idle = 0;
  std::uint64_t turns = 0;
  // Relaxed: only the fact of stopping matters, and when.
  while (!stop_.load(std::memory_order_relaxed) && !reached_limit()) {
    std::size_t taken = 0;
    for (RxPort* port : ports_) taken += burst(*port);
    if (taken > 0) {
      idle = 0;
      continue;
    }
    // A dead device delivers nothing more; looked at when there is nothing better to do.
    if ((++turns & 0xff) == 0 && !alive()) break;
    rest(idle);
  }
  // Release: pairs with running(); what this thread did is done.
  ended_.store(true, std::memory_order_release);
}

void Engine::restart() noexcept {
  stop_.store(false, std::memory_order_relaxed);
  ended_.store(false, std::memory_order_relaxed);
}

void Engine::drain() noexcept {
  std::uint64_t left = 0;
  for (RxPort* port : ports_) {
    while (burst(*port) > 0) {
    }
    left += port->pending_frames();
  }
  if (!held_.empty()) {
    left += static_cast<std::uint64_t>(
        std::count_if(held_.begin(), held_.end(), [](const RxSegment& segment) { return segment.end_of_frame; }));
    held_ = {};
    held_by_->release();
  }
  if (cells_.copies) {
    duplicates_->settle(stamps_.promise());
    count_copies();
  }
  totals_.left_in_ring = left;
  cells_.left_in_ring.set(left);
  promise();
}

EngineTotals Engine::totals() const noexcept {
  EngineTotals totals{cells_.taken.value(),     cells_.taken_bytes.value(), cells_.damaged.value(),
                      cells_.ring_full.value(), cells_.appended.value(),    cells_.left_in_ring.value(),
                      cells_.duplicate.value(), cells_.marked.value(),      {}};
  if (cells_.copies) {
    const auto& cell = *cells_.copies;
    totals.copies = {cell[0].value(), cell[1].value(), cell[2].value(), cell[3].value()};
  }
  return totals;
}

}  // namespace vigia::vf
