// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ring.h"

#include <algorithm>

namespace vigia::vf {
namespace {

// How far ahead of the writer `reserve` runs: one store and fence per so many bytes, at the price of that much of the
// ring for overwritable listeners. Not measured beyond "once per burst or less".
constexpr std::uint64_t kReserveStep = 256 * 1024;

}  // namespace

RingWriter::RingWriter(RingMemory& memory, const ListenerTable& listeners) noexcept
    : memory_(memory),
      listeners_(listeners),
      geometry_(memory.geometry()),
      reserve_step_(std::min(kReserveStep, geometry_.data_bytes / 16)),
      data_(memory.data()),
      lap_end_(geometry_.data_bytes),
      segment_end_(geometry_.segment_bytes),
      next_mark_(geometry_.mark_bytes) {}

void RingWriter::reserve(std::uint64_t end) noexcept {
  if (end <= reserved_) return;
  // Never beyond what lossless listeners allow: they may trust that what they have not released is whole.
  reserved_ = std::min(end + reserve_step_, lossless_until_);
  memory_.header().reserve.store(reserved_, std::memory_order_relaxed);
  // Release fence: the store above comes before every store into the ring that follows; pairs with the acquire fence
  // of a reader between its last load of data and its load of reserve. (Relaxed is enough for the store itself.)
  std::atomic_thread_fence(std::memory_order_release);
}

// For one or more records of together so many bytes, which stay in one segment.
bool RingWriter::make_room(std::uint64_t bytes) noexcept {
  if (position_ == segment_end_) segment_end_ += geometry_.segment_bytes;
  const std::uint64_t padding = padding_before(bytes, segment_end_ - position_);
  const std::uint64_t end = position_ + padding + bytes;
  // Who joins starts at the published end: ListenerTable::start_at() counts on it that this is never farther back
  // than from one landmark to the next. Relaxed: our own store.
  if (position_ != memory_.header().position.load(std::memory_order_relaxed)) publish();
  if (end > lossless_until_) {
    // One refusal per burst is enough: a full ring must not make each frame look at every slot.
    if (refused_) return false;
    // At most half a ring ahead of now, so that a lossless listener that joins later (at or after the published end) is
    // seen before the writer comes round to it.
    const std::uint64_t floor = listeners_.lossless_floor(position_);
    lossless_until_ = std::min(floor + geometry_.data_bytes, position_ + geometry_.data_bytes / 2);
    refused_ = end > lossless_until_;
    if (refused_) return false;
  }
  start_lap_if_due();
  reserve(end);
  if (padding > 0) {
    write_padding(data_ + (position_ - lap_start_), padding, kRecordHeader + geometry_.max_captured);
    position_ += padding;
    segment_end_ += geometry_.segment_bytes;
    mark_if_crossed();
    start_lap_if_due();
  }
  return true;
}

std::byte* RingWriter::place_and_mark(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept {
  std::byte* at = place(stamp, captured, wire);
  mark_if_crossed();
  set_easy_limit();
  return at;
}

std::byte* RingWriter::claim_repeated(Stamp stamp, std::uint32_t captured, std::uint32_t wire) noexcept {
  const std::uint32_t bytes = kRepeatMarkRecord + kRecordHeader + captured;
  if (position_ + bytes > easy_until_ && !make_room(bytes)) return nullptr;
  write_repeat_mark(data_ + (position_ - lap_start_));
  position_ += kRepeatMarkRecord;
  // Relaxed: published with the position.
  memory_.header().marked.store(++marked_, std::memory_order_relaxed);
  // No landmark between the two: a reader that begins there would take the frame for a first copy.
  return place_and_mark(stamp, captured, wire);
}

void RingWriter::start_lap_if_due() noexcept {
  if (position_ < lap_end_) return;
  lap_start_ += geometry_.data_bytes;
  lap_end_ += geometry_.data_bytes;
}

void RingWriter::mark_if_crossed() noexcept {
  if (position_ < next_mark_) return;
  RingMark& mark = memory_.mark(position_ / geometry_.mark_bytes);
  // Relaxed: readers validate against reserve (already stored, with its fence) and use only published positions.
  mark.position.store(position_, std::memory_order_relaxed);
  mark.frame.store(frames_, std::memory_order_relaxed);
  next_mark_ = (position_ / geometry_.mark_bytes + 1) * geometry_.mark_bytes;
}

void RingWriter::set_easy_limit() noexcept {
  // Below all of these a record needs nothing but its bytes. The segment keeps room for a padding header.
  const std::uint64_t segment = segment_end_ - std::min<std::uint64_t>(segment_end_ - position_, kRecordHeader);
  // One byte less than the landmark: a record that ends on it must set it.
  easy_until_ = std::min({segment, next_mark_ - 1, lap_end_, reserved_, lossless_until_});
}

void RingWriter::publish() noexcept {
  refused_ = false;
  RingHeader& header = memory_.header();
  const std::uint64_t turn = header.turn.load(std::memory_order_relaxed) + 1;  // our own store
  RingMark& end = header.ends[turn % 2];
  // Release fence: the stores below make an end invalid that may just be read as that of the turn before the last; who
  // saw any of them also sees the last turn. Pairs with the acquire fence in RingMemory::published.
  std::atomic_thread_fence(std::memory_order_release);
  // Relaxed: ordered by the release that follows.
  end.position.store(position_, std::memory_order_relaxed);
  end.frame.store(frames_, std::memory_order_relaxed);
  // Release: who sees the turn sees the end.
  header.turn.store(turn, std::memory_order_release);
  // Release: the records are visible to whoever sees the position (RingMemory::published and RingReader acquire it).
  header.position.store(position_, std::memory_order_release);
}

void RingWriter::close() noexcept {
  publish();
  // Release: who sees the ring closed sees its last publication.
  memory_.header().state.store(RingHeader::closed, std::memory_order_release);
}

}  // namespace vigia::vf
