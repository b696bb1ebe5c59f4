// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ring_reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace vigia::vf {
namespace {

constexpr std::size_t kSlotPage = 4096;

}  // namespace

// Under ThreadSanitizer the copy is made by plain loads that it does not watch; memcpy would be intercepted.
#if defined(__SANITIZE_THREAD__)
#define VIGIA_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VIGIA_TSAN 1
#endif
#endif
#ifdef VIGIA_TSAN
__attribute__((no_sanitize("thread"), noinline)) void copy_while_written(std::byte* to, const std::byte* from,
                                                                         std::size_t n) {
  const volatile std::byte* source = from;
  for (std::size_t i = 0; i < n; ++i) to[i] = source[i];
}
#else
void copy_while_written(std::byte* to, const std::byte* from, std::size_t n) { std::memcpy(to, from, n); }
#endif

Result<RingReader> RingReader::create(const RingMemory& memory, Fd slot_page, ListenerKind kind, RingPoint start) {
  struct stat st {};
  if (::fstat(slot_page.get(), &st) != 0 || st.st_size < static_cast<off_t>(kSlotPage)) {
    return work_error("attach to capture ring: the listener slot is not a page");
  }
  void* page = ::mmap(nullptr, kSlotPage, PROT_READ | PROT_WRITE, MAP_SHARED, slot_page.get(), 0);
  if (page == MAP_FAILED) return os_error("map the listener slot");
  return RingReader(memory, static_cast<SlotPage*>(page), true, kind, start);
}

RingReader RingReader::local(const RingMemory& memory, ListenerTable& table, const ListenerTable::Joined& joined) {
  return RingReader(memory, &table.page(joined.slot), false, *table.kind(joined.slot), joined.start);
}

Result<RingReader> RingReader::unlisted(const RingMemory& memory, RingPoint start) {
  void* page = ::mmap(nullptr, kSlotPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return os_error("make a listener slot");
  return RingReader(memory, static_cast<SlotPage*>(page), true, ListenerKind::overwritable, start);
}

RingReader::RingReader(const RingMemory& memory, SlotPage* slot, bool own_slot, ListenerKind kind,
                       RingPoint start) noexcept
    : memory_(&memory), slot_(slot), own_slot_(own_slot), kind_(kind), point_(start) {}

RingReader::RingReader(RingReader&& other) noexcept
    : memory_(other.memory_),
      slot_(std::exchange(other.slot_, nullptr)),
      own_slot_(other.own_slot_),
      kind_(other.kind_),
      point_(other.point_),
      gap_(other.gap_),
      frames_read_(other.frames_read_),
      broken_(other.broken_),
      copy_(std::move(other.copy_)) {}

RingReader::~RingReader() {
  if (slot_ && own_slot_) ::munmap(slot_, kSlotPage);
}

bool RingReader::overtaken() const noexcept {
  // Acquire fence: whatever was read of the ring before is read; pairs with the release fence in RingWriter::reserve.
  // If any of it was new data of the writer, the reserve that announced that data is visible now.
  std::atomic_thread_fence(std::memory_order_acquire);
  const std::uint64_t reserve = memory_->header().reserve.load(std::memory_order_relaxed);
  return reserve > point_.position && reserve - point_.position > memory_->geometry().data_bytes;
}

std::span<const std::byte> RingReader::peek(std::size_t max) {
  const RingGeometry& geometry = memory_->geometry();
  // Bounded: a reader that is lapped again and again while it copies gives up for this time; the caller comes back.
  for (int tries = 0; tries < 16 && !broken_; ++tries) {
    // Acquire: pairs with the release in RingWriter::publish; the bytes before the position are visible.
    const std::uint64_t end = memory_->header().position.load(std::memory_order_acquire);
    if (end <= point_.position) return {};
    if (overtaken() && !rejoin()) continue;
    const std::uint64_t available =
        std::min({end > point_.position ? end - point_.position : 0, std::uint64_t{max}, geometry.data_bytes});
    const std::byte* from = memory_->data() + point_.position % geometry.data_bytes;
    if (kind_ == ListenerKind::lossless) return {from, available};
    if (copy_.size() < available) copy_.resize(max);
    copy_while_written(copy_.data(), from, available);
    if (!overtaken()) return {copy_.data(), available};
  }
  return {};
}

bool RingReader::rejoin() noexcept {
  const RingGeometry& geometry = memory_->geometry();
  // Acquire: as in peek().
  const std::uint64_t end = memory_->header().position.load(std::memory_order_acquire);
  if (end < geometry.data_bytes / 2) {
    broken_ = true;  // nobody can be lapped that early
    return false;
  }
  // Half a ring of distance: nearer to the writer more is lost than need be, farther away it is lost again at once.
  RingPoint mark;
  if (!memory_->read_mark((end - geometry.data_bytes / 2) / geometry.mark_bytes, mark)) return false;
  if (mark.position < point_.position || mark.frame < point_.frame) {
    broken_ = true;
    return false;
  }
  jump(mark);
  return true;
}

void RingReader::jump(RingPoint to) noexcept {
  gap_.frames += to.frame - point_.frame;
  gap_.bytes += to.position - point_.position;
  point_ = to;
  tell();
}

void RingReader::advance(std::uint64_t bytes, std::uint64_t frames) noexcept {
  point_.position += bytes;
  point_.frame += frames;
  frames_read_ += frames;
  tell();
}

void RingReader::tell() noexcept {
  slot_->frames_read.store(frames_read_, std::memory_order_relaxed);  // numbers for people
  slot_->frames_lapped.store(gap_.frames, std::memory_order_relaxed);
  slot_->bytes_lapped.store(gap_.bytes, std::memory_order_relaxed);
  // Release: our loads of the bytes before it are done; pairs with the acquire in ListenerTable::lossless_floor.
  slot_->position.store(point_.position, std::memory_order_release);
}

RingPoint RingReader::unread() const noexcept {
  const RingPoint end = memory_->published();
  return {end.position - std::min(end.position, point_.position), end.frame - std::min(end.frame, point_.frame)};
}

bool RingReader::finished() const noexcept {
  // closed() first: what is published after it, nothing, cannot be missed.
  return memory_->closed() && unread().position == 0;
}

}  // namespace vigia::vf
