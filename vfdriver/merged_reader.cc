// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/merged_reader.h"

#include <algorithm>

namespace vigia::vf {
namespace {

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

}  // namespace

MergedReader::MergedReader(std::vector<RingReader> readers) {
  check(!readers.empty());
  sources_.reserve(readers.size());
  for (RingReader& reader : readers) sources_.emplace_back(std::move(reader));
}

MergedReader::Turn MergedReader::next_turn(bool no_writer) {
  Source* first = nullptr;
  std::uint64_t first_ns = 0, limit = kNever;  // of the other queues: what they have, or may still get
  for (Source& source : sources_) {
    if (!fill(source, no_writer)) {
      limit = std::min(limit, source.promise);
      continue;
    }
    const std::uint64_t ns = source.head.stamp.total_ns();
    if (!first || ns < first_ns) {
      if (first) limit = std::min(limit, first_ns);
      first = &source;
      first_ns = ns;
    } else {
      limit = std::min(limit, ns);
    }
  }
  if (!first || first_ns > limit) return {};
  return {first, limit};
}

// Makes the next frame of the ring the head, if there is one; else says until when none can come.
bool MergedReader::fill(Source& source, bool no_writer) {
  if (source.has_head) return true;
  if (source.step()) return true;
  source.reader.advance(source.cursor.consumed() - source.released, std::exchange(source.given, 0));
  const RingHeader& header = source.reader.memory().header();
  // All of this before looking for frames: what is published after the look is later than what was promised before it.
  // Acquire: pairs with the release in Engine; frames published before the promise are visible.
  const bool ends = no_writer || source.reader.broken() || source.reader.memory().closed();
  source.promise = ends ? kNever : header.promise_ns.load(std::memory_order_acquire);
  source.cursor = RecordCursor(source.reader.peek(kPiece));
  source.released = 0;
  return source.step();
}

// What was given is the writer's again. What was peeked and not given stays valid: a lossless reader's position
// protects it, an overwritable one has a copy.
void MergedReader::release() noexcept {
  for (Source& source : sources_) {
    const std::size_t done = source.has_head ? source.head_at : source.cursor.consumed();
    if (done == source.released) continue;
    source.reader.advance(done - source.released, std::exchange(source.given, 0));
    source.released = done;
  }
}

RingGap MergedReader::gap() const noexcept {
  RingGap sum;
  for (const Source& source : sources_) {
    sum.frames += source.reader.gap().frames;
    sum.bytes += source.reader.gap().bytes;
  }
  return sum;
}

RingPoint MergedReader::unread() const noexcept {
  RingPoint sum;
  for (const Source& source : sources_) {
    sum.position += source.reader.unread().position;
    sum.frame += source.reader.unread().frame;
  }
  return sum;
}

std::uint64_t MergedReader::frames_read() const noexcept {
  std::uint64_t sum = 0;
  for (const Source& source : sources_) sum += source.reader.frames_read();
  return sum;
}

bool MergedReader::finished() const noexcept {
  return std::all_of(sources_.begin(), sources_.end(), [](const Source& s) { return s.reader.finished(); });
}

bool MergedReader::broken() const noexcept {
  return std::any_of(sources_.begin(), sources_.end(), [](const Source& s) { return s.reader.broken(); });
}

}  // namespace vigia::vf
