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
    std::size_t given = 0;
    for (; given < max; ++given) {
      Source* const first = earliest(no_writer);
      if (!first) break;
      sink(std::as_const(first->head));
      first->has_head = false;
      ++first->given;
    }
    release();
    return given;
  }

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

    RingReader reader;
    RecordCursor cursor{{}};    // over what was peeked
    std::size_t head_at = 0;    // where in it the head, or what is not read yet, begins
    std::size_t released = 0;   // of it, told to the reader
    std::uint64_t given = 0;    // frames, not told to the reader yet
    std::uint64_t promise = 0;  // nothing earlier comes while there is no head
    FrameView head;
    bool has_head = false;
  };

  Source* earliest(bool no_writer);
  bool fill(Source& source, bool no_writer);
  void release() noexcept;

  std::vector<Source> sources_;
};

}  // namespace vigia::vf
