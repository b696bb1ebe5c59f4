// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ring_history.h"

#include <algorithm>
#include <vector>

#include "vfdriver/record.h"
#include "vfdriver/ring_reader.h"

namespace vigia::vf {
namespace {

// Asks the cursor for every frame of a piece; what the last one was.
constexpr std::size_t kPiece = 256 * 1024;

}  // namespace

RingHistory::Blocks RingHistory::whole(std::uint64_t margin) const {
  const RingGeometry& g = ring_->geometry();
  // Acquire: what is found below is checked against a later look at reserve, by read_mark and by the reader.
  const std::uint64_t reserve = ring_->header().reserve.load(std::memory_order_acquire) + margin;
  const std::uint64_t lowest = reserve - std::min(reserve, g.data_bytes);
  return {(lowest + g.mark_bytes - 1) / g.mark_bytes, ring_->published().position / g.mark_bytes + 1};
}

std::optional<RingPoint> RingHistory::oldest(std::uint64_t margin) const {
  // The first landmark may be overwritten while it is looked at; the next one is then the oldest.
  const auto [first, end] = whole(margin);
  for (std::uint64_t b = first; b < end; ++b) {
    RingPoint mark;
    if (ring_->read_mark(b, mark)) return mark;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> RingHistory::stamp_ns(const RingPoint& mark) const {
  auto reader = RingReader::unlisted(*ring_, mark);
  if (!reader) return std::nullopt;
  // Padding before the first frame may be long: the rest of a file.
  for (;;) {
    const auto bytes = reader->peek(kPiece);
    if (bytes.empty() || reader->gap().bytes > 0) return std::nullopt;
    RecordCursor cursor(bytes);
    FrameView frame;
    if (cursor.next(frame)) return frame.stamp.total_ns();
    if (cursor.consumed() == 0) return std::nullopt;
    reader->advance(cursor.consumed(), 0);
  }
}

// Fits is true up to some landmark and false behind it.
template <class Fits>
std::optional<RingPoint> RingHistory::latest(Fits fits) const {
  auto [first, end] = whole(0);
  std::optional<RingPoint> best;
  while (first < end) {
    const std::uint64_t middle = first + (end - first) / 2;
    RingPoint mark;
    // Overwritten meanwhile is older than everything; a landmark that is not there yet, younger.
    const bool there = ring_->read_mark(middle, mark);
    const bool passes = there ? fits(mark) : middle <= ring_->published().position / ring_->geometry().mark_bytes;
    if (there && passes) best = mark;
    if (passes) {
      first = middle + 1;
    } else {
      end = middle;
    }
  }
  return best;
}

std::optional<RingPoint> RingHistory::before_time(std::uint64_t ns) const {
  return latest([&](const RingPoint& mark) {
    if (mark.frame == 0) return true;
    const auto stamp = stamp_ns(mark);
    return stamp && *stamp < ns;
  });
}

std::optional<RingPoint> RingHistory::at_frame(std::uint64_t frame) const {
  return latest([&](const RingPoint& mark) { return mark.frame <= frame; });
}

std::optional<std::uint64_t> RingHistory::newest_ns() const {
  const RingPoint end = ring_->published();
  if (end.frame == 0) return std::nullopt;
  // The last frame begins behind the last landmark that has any frame behind it.
  const auto mark = at_frame(end.frame - 1);
  auto reader = mark ? RingReader::unlisted(*ring_, *mark) : Result<RingReader>(work_error("overwritten"));
  if (!reader) return std::nullopt;
  std::optional<std::uint64_t> newest;
  for (auto bytes = reader->peek(kPiece); !bytes.empty() && reader->point().frame < end.frame;
       bytes = reader->peek(kPiece)) {
    RecordCursor cursor(bytes);
    FrameView frame;
    std::uint64_t frames = 0;
    while (cursor.next(frame)) {
      newest = frame.stamp.total_ns();
      ++frames;
    }
    if (cursor.consumed() == 0) break;
    reader->advance(cursor.consumed(), frames);
  }
  return newest;
}

}  // namespace vigia::vf
