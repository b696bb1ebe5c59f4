// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/replay.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "vfdriver/raw_reader.h"
#include "vfdriver/ring_reader.h"

namespace vigia::vf {
namespace {

constexpr std::size_t kPiece = 256 * 1024;
// A frame that is neither in the ring nor on disk may just be on its way between them: the store writes within 200 ms.
constexpr std::chrono::milliseconds kLookFor{500};
constexpr std::chrono::milliseconds kBetweenLooks{5};
constexpr std::string_view kDeleted = "their files were deleted, to keep the quota or by somebody";
constexpr std::chrono::milliseconds kFollowNap{20};

}  // namespace

Replay::Replay(const RingMemory* ring, std::optional<StoredFrames> stored, ReplayWindow window)
    : ring_(ring), stored_(std::move(stored)), window_(window) {
  if (!ring_) return;
  history_.emplace(*ring_);
  end_ = ring_->published().frame;
}

void Replay::run(const Take& take, const std::function<void()>& idle, const std::atomic<bool>& cancel) {
  take_ = &take;
  cancel_ = &cancel;
  find_start();
  // Only the beginning of this capture can have anything of earlier ones before it.
  if (next_ == 0 && stored_ && !window_.from_now) read_earlier();
  if (ring_ && !over()) read_current(idle);
}

void Replay::find_start() {
  next_ = 0;
  if (window_.from_now) {
    next_ = end_;
    return;
  }
  if (!ring_ || end_ == 0) {
    tell_missing({}, false);
    return;
  }
  std::optional<std::uint64_t> oldest_ns;
  bool in_ring = true;
  if (const auto mark = history_->before_time(window_.from_ns)) {
    next_ = mark->frame;
    if (next_ > 0) return;
    oldest_ns = history_->stamp_ns(*mark);
  } else if (const auto place = stored_ ? stored_->before_time(window_.from_ns) : std::nullopt) {
    next_ = place->frame;
    if (next_ > 0) return;
    oldest_ns = place->ns;
    in_ring = false;
  } else {
    const auto oldest = history_->oldest();
    const auto on_disk = stored_ ? stored_->oldest() : std::nullopt;
    in_ring = oldest && (!on_disk || oldest->frame <= on_disk->frame);
    next_ = in_ring ? oldest->frame : on_disk ? on_disk->frame : end_;
    oldest_ns = in_ring ? history_->stamp_ns(*oldest) : on_disk ? std::optional(on_disk->ns) : std::nullopt;
  }
  tell_missing(oldest_ns, in_ring);
}

// oldest_ns: of frame next_, the oldest one that is there of the running capture.
void Replay::tell_missing(std::optional<std::uint64_t> oldest_ns, bool in_ring) {
  const auto missing = [this](std::uint64_t ns, std::uint64_t frames, std::string_view gone) {
    if (ns <= window_.from_ns) return;
    report_.history_from_ns = ns;
    report_.frames_before = frames;
    report_.why = frames > 0 ? fmt::format("the {} frames before it are gone: {}", frames, gone)
                             : std::string("the capture began then");
  };
  if (next_ > 0) {
    missing(oldest_ns.value_or(~std::uint64_t{0}), next_, in_ring ? "the ring was overwritten" : kDeleted);
    return;
  }
  const auto earlier = stored_ ? stored_->oldest_earlier() : std::nullopt;
  if (earlier) {
    missing(std::min(earlier->ns, oldest_ns.value_or(earlier->ns)), earlier->frame, kDeleted);
  } else if (oldest_ns) {
    missing(*oldest_ns, 0, "");
  }
}

// False: enough of everything.
bool Replay::give(const FrameView& frame, std::uint64_t& count) {
  const std::uint64_t ns = frame.stamp.total_ns();
  if (!window_.from_now && ns < window_.from_ns) return true;
  ++count;
  done_ = !(*take_)(frame);
  return !done_;
}

void Replay::read_earlier() {
  for (const StoredPlace& place : stored_->earlier(window_.from_ns, window_.to_ns)) {
    auto reader = open_raw_part(place.file, place.offset, place.end);
    if (!reader) continue;  // deleted meanwhile
    FrameView frame;
    // A damaged record ends a file that was killed while it was written; what follows is in the next one.
    for (auto more = (*reader)->next(frame); more && *more; more = (*reader)->next(frame)) {
      if (over()) return;
      // Within a file stamps never decrease; the next file may be of a capture whose clock had been set back.
      if (frame.stamp.total_ns() >= window_.to_ns) break;
      if (!give(frame, report_.disk_frames)) return;
    }
  }
}

void Replay::read_current(const std::function<void()>& idle) {
  using std::chrono::steady_clock;
  auto moved = steady_clock::now();
  while (!over()) {
    // Asked before the end: what is published after it, nothing, cannot be missed.
    const bool closed = ring_->closed();
    if (window_.follow) end_ = ring_->published().frame;
    if (next_ >= end_) {
      if (!window_.follow || closed) return;
      idle();
      std::this_thread::sleep_for(kFollowNap);
      moved = steady_clock::now();
      continue;
    }
    const std::uint64_t before = next_;
    read_ring();
    if (next_ == before && !over()) read_disk();
    if (next_ > before) {
      moved = steady_clock::now();
    } else if (!over() && stored_ && steady_clock::now() - moved < kLookFor) {
      std::this_thread::sleep_for(kBetweenLooks);
    } else if (!over()) {
      jump(end_);
      moved = steady_clock::now();
    }
  }
}

void Replay::read_ring() {
  const auto mark = history_->at_frame(next_);
  auto reader = mark ? RingReader::unlisted(*ring_, *mark) : Result<RingReader>(work_error("overwritten"));
  if (!reader) return;
  while (reader->point().frame < end_ && reader->intact()) {
    const auto bytes = reader->peek(kPiece);
    // Lapped while it was read: next_ says what is wanted, from wherever it still is.
    if (bytes.empty() || reader->gap().bytes > 0) return;
    RecordCursor cursor(bytes);
    FrameView frame;
    std::uint64_t number = reader->point().frame;
    for (; number < end_ && cursor.next(frame); ++number) {
      if (number < next_) continue;
      if (frame.stamp.total_ns() >= window_.to_ns) done_ = true;
      if (over() || !give(frame, report_.ring_frames)) return;
      next_ = number + 1;
    }
    if (cursor.consumed() == 0) return;
    reader->advance(cursor.consumed(), number - reader->point().frame);
  }
}

void Replay::read_disk() {
  const auto place = stored_ ? stored_->at_frame(next_) : std::nullopt;
  if (place) next_ = std::max(next_, read_place(*place));
}

// Gives what is wanted from there to the end of the file; returns the number of the frame behind it.
std::uint64_t Replay::read_place(const StoredPlace& place) {
  auto reader = open_raw_part(place.file, place.offset, place.end);
  if (!reader) return place.frame;  // deleted meanwhile
  std::uint64_t number = place.frame;
  FrameView frame;
  for (auto more = (*reader)->next(frame); number < end_ && more && *more; more = (*reader)->next(frame), ++number) {
    if (number < next_) continue;
    if (frame.stamp.total_ns() >= window_.to_ns) done_ = true;
    if (over() || !give(frame, report_.disk_frames)) return number;
  }
  return number;
}

// Nobody has frame next_: on to the first one that somebody has.
void Replay::jump(std::uint64_t end) {
  std::uint64_t to = end;
  // A margin: the oldest bytes of a ring that is written at full speed are overwritten before they are read.
  const auto in_ring = history_->oldest(ring_->geometry().data_bytes / 8);
  if (in_ring && in_ring->frame > next_) to = std::min(to, in_ring->frame);
  if (const auto on_disk = stored_ ? stored_->after_frame(next_) : std::nullopt) to = std::min(to, on_disk->frame);
  report_.gap_frames += to - next_;
  next_ = to;
}

}  // namespace vigia::vf
