// SPDX-License-Identifier: Apache-2.0
// The reading end of a capture ring: a listener, in the capture process or in another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/listener_table.h"
#include "vfdriver/ring_memory.h"

namespace vigia::vf {

// What a lapped listener lost: exact, through the landmarks. Bytes are bytes of the stream, headers and padding too.
struct RingGap {
  std::uint64_t frames = 0, bytes = 0;
};

// Copies bytes of a ring that the writer may overwrite meanwhile; the caller asks intact() afterwards and throws the
// copy away if they were. That is a data race in the letter of the language, accepted here and nowhere else.
void copy_while_written(std::byte* to, const std::byte* from, std::size_t n);

// Reads from where the listener joined. A single thread uses it; the memory outlives it.
//
//   while (auto bytes = reader.peek(256 * 1024); !bytes.empty()) {
//     RecordCursor cursor(bytes);  ... frames ...
//     reader.advance(cursor.consumed(), frames);
//   }
class RingReader {
 public:
  // In the capture process: the reader uses the table's own mapping of its slot; the table outlives it.
  static RingReader local(const RingMemory& memory, ListenerTable& table, const ListenerTable::Joined& joined);
  // In another process: maps the slot's page. start is where ListenerTable::join put the listener.
  static Result<RingReader> create(const RingMemory& memory, Fd slot_page, ListenerKind kind, RingPoint start);
  // For whoever can map the ring: overwritable, from `start`, a record boundary, on. No table knows of it, so it costs
  // the capture nothing and shows in no list of listeners.
  static Result<RingReader> unlisted(const RingMemory& memory, RingPoint start);
  RingReader(RingReader&& other) noexcept;
  RingReader& operator=(RingReader&&) = delete;
  ~RingReader();

  // Published bytes from the reading position on, at most max (kMaxRecord and more), cut anywhere; they begin at a
  // record boundary. Empty: nothing new. Valid until advance(): a lossless listener looks into the ring itself, an
  // overwritable one gets a copy that was checked after it was made. If the writer has come round, the reading position
  // first jumps to a landmark half a ring behind the writer, and gap() grows.
  std::span<const std::byte> peek(std::size_t max);
  // Done with that many bytes (whole records) that held so many frames.
  void advance(std::uint64_t bytes, std::uint64_t frames) noexcept;

  // For those who read the ring's memory themselves, block by block. False: bytes at or after point() were (or are just
  // being) overwritten; ask after reading them.
  bool intact() const noexcept { return !overtaken(); }
  // Gives up everything before `to`, a record boundary ahead: it is counted as lost.
  void jump(RingPoint to) noexcept;

  // Everything lost so far.
  RingGap gap() const noexcept { return gap_; }
  // Where the next record begins, and the index in the stream of the next frame.
  RingPoint point() const noexcept { return point_; }
  std::uint64_t frames_read() const noexcept { return frames_read_; }
  ListenerKind kind() const noexcept { return kind_; }
  const RingMemory& memory() const noexcept { return *memory_; }
  // Published and not read yet.
  RingPoint unread() const noexcept;
  // The writer has closed the ring and everything is read.
  bool finished() const noexcept;
  // The ring contradicts itself (foreign memory): peek() gives nothing any more.
  bool broken() const noexcept { return broken_; }

 private:
  RingReader(const RingMemory& memory, SlotPage* slot, bool own_slot, ListenerKind kind, RingPoint start) noexcept;
  bool overtaken() const noexcept;
  bool rejoin() noexcept;
  void tell() noexcept;

  const RingMemory* memory_;
  SlotPage* slot_;
  bool own_slot_;  // mapped by us
  ListenerKind kind_;
  RingPoint point_;
  RingGap gap_;
  std::uint64_t frames_read_ = 0;
  bool broken_ = false;
  std::vector<std::byte> copy_;
};

}  // namespace vigia::vf
