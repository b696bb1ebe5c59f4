// SPDX-License-Identifier: Apache-2.0
// Small rings and recognisable frames for the tests of ring, engine and store.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vfdriver/ring.h"
#include "vfdriver/ring_reader.h"

namespace vigia::vf {

inline constexpr RingGeometry kSmall{
    .data_bytes = 64 * 1024, .segment_bytes = 128 * 1024, .mark_bytes = 4096, .max_captured = 1514};

template <class T>
T must(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().text;
    std::abort();
  }
  return std::move(*result);
}

// A frame whose bytes all follow from its index: torn or mixed-up ones show.
inline std::vector<std::byte> frame_of(std::uint64_t index, std::size_t size) {
  std::vector<std::byte> frame(size);
  for (std::size_t i = 0; i < size; ++i) frame[i] = static_cast<std::byte>(index * 131 + i * 7);
  if (size >= sizeof(index)) std::memcpy(frame.data(), &index, sizeof(index));
  return frame;
}

inline bool is_frame(const FrameView& view, std::uint64_t index) {
  const auto expected = frame_of(index, view.bytes.size());
  return std::equal(expected.begin(), expected.end(), view.bytes.begin());
}

struct RingUnderTest {
  explicit RingUnderTest(const RingGeometry& geometry = kSmall)
      : memory(must(RingMemory::create(geometry, "test"))),
        table(must(ListenerTable::create())),
        writer(memory, table) {}

  bool append(std::size_t size) {
    const auto frame = frame_of(next, size);
    const bool ok = writer.append(Stamp::of_ns(1'000'000'000 + next), frame.data(), static_cast<std::uint32_t>(size),
                                  static_cast<std::uint32_t>(size));
    if (ok) ++next;
    return ok;
  }
  RingReader join(ListenerKind kind, unsigned* slot = nullptr) {
    auto joined = must(table.join(memory, kind));
    if (slot) *slot = joined.slot;
    return RingReader::local(memory, table, joined);
  }

  RingMemory memory;
  ListenerTable table;
  RingWriter writer;
  std::uint64_t next = 0;  // index of the next frame
};

// Reads whatever is published; checks each frame against its index; returns the frames read.
inline std::uint64_t read_all(RingReader& reader, std::size_t max = 64 * 1024) {
  std::uint64_t total = 0;
  for (auto bytes = reader.peek(max); !bytes.empty(); bytes = reader.peek(max)) {
    RecordCursor cursor(bytes);
    FrameView view;
    std::uint64_t frames = 0;
    while (cursor.next(view)) {
      EXPECT_TRUE(is_frame(view, reader.point().frame + frames)) << "frame " << reader.point().frame + frames;
      EXPECT_EQ(view.stamp, Stamp::of_ns(1'000'000'000 + reader.point().frame + frames));
      ++frames;
    }
    if (cursor.consumed() == 0) {
      ADD_FAILURE() << "no whole record in " << bytes.size() << " bytes";
      return total;
    }
    reader.advance(cursor.consumed(), frames);
    total += frames;
  }
  return total;
}

}  // namespace vigia::vf
