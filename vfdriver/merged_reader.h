// SPDX-License-Identifier: Apache-2.0
// A capture device opened whole (N 2): the rings of all its queues as one stream, in the order of the stamps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "vfdriver/ring_reader.h"

namespace vigia::vf {

// A frame is given once no queue can still deliver an earlier one: every other ring shows a later frame, promises none
// before it (RingHeader::promise_ns), or has ended. A queue without traffic so delays the others by at most the sleep
// of its engine, about a millisecond. With one ring nothing is delayed. A single thread uses it.
class MergedReader {
 public:
  // One reader a queue, at least one. What they look at outlives this object.
  explicit MergedReader(std::vector<RingReader> readers);

  // Gives up to max frames to sink(const FrameView&), valid inside the call, and releases them. Returns how many; 0:
  // nothing can be given now. no_writer: the engines are gone, what the rings hold is all there will be.
  template <class Sink>
  std::size_t read(std::size_t max, Sink&& sink, bool no_writer = false) {
    if (sources_.size() == 1) return read_one(sources_.front().reader, max, sink);
    std::size_t given = 0;
    while (given < max) {
      const Turn turn = next_turn(no_writer);
      if (!turn.first) break;
      Source& source = *turn.first;
      do {
        sink(std::as_const(source.head));
        source.has_head = false;
        ++source.given;
        ++given;
      } while (given < max && source.step() && source.head.stamp.total_ns() <= turn.until_ns);
    }
    release();
    return given;
  }

  // In the order in which they were given.
  std::size_t queues() const noexcept { return sources_.size(); }
  const RingReader& queue(std::size_t i) const noexcept { return sources_[i].reader; }

  // Over all queues.
  RingGap gap() const noexcept;
  RingPoint unread() const noexcept;
  std::uint64_t frames_read() const noexcept;
  // Every ring is closed and read.
  bool finished() const noexcept;
  // One of the rings contradicts itself: nothing more comes of it.
  bool broken() const noexcept;

 private:
  struct Source {
    explicit Source(RingReader r) : reader(std::move(r)) {}
    // Makes the next frame of what was peeked the head, if there is one.
    bool step() noexcept {
      head_at = cursor.consumed();
      return has_head = cursor.next(head);
    }

    RingReader reader;
    RecordCursor cursor{{}};    // over what was peeked
    std::size_t head_at = 0;    // where in it the head, or what is not read yet, begins
    std::size_t released = 0;   // of it, told to the reader
    std::uint64_t given = 0;    // frames, not told to the reader yet
    std::uint64_t promise = 0;  // nothing earlier comes while there is no head
    FrameView head;
    bool has_head = false;
  };

  // Whose frames are next, up to which stamp; nobody: null.
  struct Turn {
    Source* first = nullptr;
    std::uint64_t until_ns = 0;
  };

  // How much of a ring is looked at together: as much as second-level caches hold.
  static constexpr std::size_t kPiece = 256 * 1024;

  template <class Sink>
  static std::size_t read_one(RingReader& reader, std::size_t max, Sink&& sink) {
    RecordCursor cursor(reader.peek(kPiece));
    FrameView frame;
    std::size_t given = 0;
    for (; given < max && cursor.next(frame); ++given) sink(std::as_const(frame));
    reader.advance(cursor.consumed(), given);
    return given;
  }

  Turn next_turn(bool no_writer);
  bool fill(Source& source, bool no_writer);
  void release() noexcept;

  std::vector<Source> sources_;
};

}  // namespace vigia::vf
