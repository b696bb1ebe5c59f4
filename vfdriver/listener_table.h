// SPDX-License-Identifier: Apache-2.0
// Who listens to a ring. Each listener owns one page of shared memory, its slot, in which it says how far it has read;
// a page of its own because a page is the smallest thing that one process can be allowed to write and others not.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/ring_memory.h"

namespace vigia::vf {

enum class ListenerKind : std::uint8_t {
  overwritable = 1,  // lapped when too slow: told so, with exact gap counts; costs nobody anything
  lossless = 2       // the engine drops frames (for everybody) rather than overwrite what it has not read
};

// What a listener says of itself. Written by the listener, read by the capture process, believed only as far as it
// hurts the listener alone or is what a lossless listener may demand.
struct SlotPage {
  alignas(64) std::atomic<std::uint64_t> position;  // everything before it may be overwritten
  std::atomic<std::uint64_t> frames_read, frames_lapped, bytes_lapped;
};

// The slots of one ring. join() and leave() from one control thread; lossless_floor() from the engine's thread.
class ListenerTable {
 public:
  static constexpr unsigned kSlots = 32;

  static Result<ListenerTable> create();
  ListenerTable(ListenerTable&& other) noexcept;
  ListenerTable& operator=(ListenerTable&&) = delete;
  ~ListenerTable();

  struct Joined {
    unsigned slot;
    RingPoint start;  // a record boundary: where the listener begins
    Fd page;          // memfd of the slot's page, to map or to send
  };
  // Takes a free slot at the published end of the ring. From here on the frames are the listener's.
  Result<Joined> join(const RingMemory& ring, ListenerKind kind);
  // The second half of join(): makes the free slot's listener begin at what was the published end a moment ago. False,
  // and the slot stays free: the writer, which looks here every half ring only, has come too far since.
  [[nodiscard]] bool start_at(const RingMemory& ring, unsigned slot, ListenerKind kind, RingPoint start) noexcept;
  // Frees the slot. Whoever still maps its page writes to nobody.
  void leave(unsigned slot) noexcept;

  SlotPage& page(unsigned slot) noexcept { return *page_at(slot); }
  const SlotPage& page(unsigned slot) const noexcept { return *page_at(slot); }
  std::optional<ListenerKind> kind(unsigned slot) const noexcept;

  // The lowest position that a lossless listener still needs; `end` when there is none. What a listener claims to have
  // read beyond the end counts as the end.
  std::uint64_t lossless_floor(std::uint64_t end) const noexcept;

 private:
  explicit ListenerTable(std::byte* pages) : pages_(pages) {}
  SlotPage* page_at(unsigned slot) const noexcept;
  RingPoint start_at_end(const RingMemory& ring, unsigned slot, ListenerKind kind) noexcept;

  // One mapping for all pages. A page is replaced in place (MAP_FIXED) and never unmapped while the engine may look.
  std::byte* pages_ = nullptr;
  std::array<std::atomic<std::uint8_t>, kSlots> kinds_{};  // 0: free
};

}  // namespace vigia::vf
