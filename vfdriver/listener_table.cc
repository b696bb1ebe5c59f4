// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/listener_table.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace vigia::vf {
namespace {

constexpr std::size_t kPage = 4096;

}  // namespace

Result<ListenerTable> ListenerTable::create() {
  void* pages = ::mmap(nullptr, kSlots * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return os_error("map the listener slots");
  return ListenerTable(static_cast<std::byte*>(pages));
}

ListenerTable::ListenerTable(ListenerTable&& other) noexcept : pages_(std::exchange(other.pages_, nullptr)) {
  // Relaxed: a table moves only before its threads start.
  for (unsigned i = 0; i < kSlots; ++i) kinds_[i].store(other.kinds_[i].load(std::memory_order_relaxed));
}

ListenerTable::~ListenerTable() {
  if (pages_) ::munmap(pages_, kSlots * kPage);
}

SlotPage* ListenerTable::page_at(unsigned slot) const noexcept {
  check(slot < kSlots);
  // SAFETY: pages_ maps kSlots pages for the life of *this; a SlotPage is made of lock-free atomics, any bits are
  // valid.
  return reinterpret_cast<SlotPage*>(pages_ + slot * kPage);
}

std::optional<ListenerKind> ListenerTable::kind(unsigned slot) const noexcept {
  // Relaxed: asked by the thread that writes it.
  const std::uint8_t kind = kinds_[slot].load(std::memory_order_relaxed);
  if (kind == 0) return std::nullopt;
  return static_cast<ListenerKind>(kind);
}

Result<ListenerTable::Joined> ListenerTable::join(const RingMemory& ring, ListenerKind kind) {
  unsigned slot = 0;
  while (slot < kSlots && this->kind(slot)) ++slot;
  if (slot == kSlots) {
    return Error{std::errc::resource_unavailable_try_again,
                 fmt::format("join the capture: all {} listener slots are taken; stop one of them", kSlots)};
  }
  Fd fd{::memfd_create("vigia-listener", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  if (!fd || ::ftruncate(fd.get(), kPage) != 0 ||
      // Without the seal a listener could shrink its page to nothing: SIGBUS in the engine.
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return os_error("make a listener slot");
  }
  void* mapped =
      ::mmap(pages_ + slot * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd.get(), 0);
  if (mapped == MAP_FAILED) return os_error("map a listener slot");
  return Joined{slot, start_at_end(ring, slot, kind), std::move(fd)};
}

// This thread may be kept from running between reading the end and saying the kind: then once more.
RingPoint ListenerTable::start_at_end(const RingMemory& ring, unsigned slot, ListenerKind kind) noexcept {
  for (;;) {
    const RingPoint start = ring.published();
    if (start_at(ring, slot, kind, start)) return start;
  }
}

bool ListenerTable::start_at(const RingMemory& ring, unsigned slot, ListenerKind kind, RingPoint start) noexcept {
  // Relaxed: the release below publishes it.
  page_at(slot)->position.store(start.position, std::memory_order_relaxed);
  // Release: pairs with the acquire in lossless_floor: who sees the kind sees the starting position.
  kinds_[slot].store(static_cast<std::uint8_t>(kind), std::memory_order_release);
  // Sequentially consistent, as in lossless_floor: a writer that did not see the kind had not come farther than what
  // is published now, a landmark's distance and a record (RingWriter::make_room); it goes half a ring beyond that
  // until it looks again. All this and the sixteenth below are less than a ring.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (ring.published().position - start.position <= ring.geometry().data_bytes / 16) return true;
  kinds_[slot].store(0, std::memory_order_relaxed);  // or the writer would wait for what it has overwritten
  return false;
}

void ListenerTable::leave(unsigned slot) noexcept {
  check(slot < kSlots);
  // Relaxed: the engine may honour the old position a burst longer; nothing depends on it.
  kinds_[slot].store(0, std::memory_order_relaxed);
  // A private page takes the place of the shared one: the engine, which may be just looking, never sees a hole.
  (void)::mmap(pages_ + slot * kPage, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

std::uint64_t ListenerTable::lossless_floor(std::uint64_t end) const noexcept {
  // What the writer has published comes before its look at who listens: pairs with the fence in start_at().
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::uint64_t floor = end;
  for (unsigned i = 0; i < kSlots; ++i) {
    // Acquire: pairs with the release in join().
    if (kinds_[i].load(std::memory_order_acquire) != static_cast<std::uint8_t>(ListenerKind::lossless)) continue;
    // Acquire: pairs with the release in RingReader::advance: the listener's reads of the bytes that we are about to
    // overwrite are done.
    floor = std::min(floor, page_at(i)->position.load(std::memory_order_acquire));
  }
  return floor;
}

}  // namespace vigia::vf
