// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/packet/queue.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "vfdriver/record.h"

namespace vigia::vf::packet {
namespace {

constexpr std::size_t kAddresses = 12;  // destination and source: a tag stands behind them (IEEE 802.1Q 9.3)
constexpr std::size_t kTag = 4;
constexpr std::uint16_t kCustomerTag = 0x8100;
static_assert(sizeof(sockaddr_ll) >= kTag);
// Frames between the one that is read and the one that is fetched. What another processor wrote may take 300 ns to
// come.
constexpr unsigned kAhead = 24;
constexpr std::size_t kLine = 64;

// The kernel keeps a tag beside the frame, as if it had not been on the wire. Between its header and the frame stands
// the address that the frame came from, of which the frame itself says all: there is the room.
std::byte* put_tag_back(std::byte* frame, const tpacket3_hdr& header) noexcept {
  std::byte* tagged = frame - kTag;
  std::memmove(tagged, frame, kAddresses);
  const std::uint16_t protocol =
      (header.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? header.hv1.tp_vlan_tpid : kCustomerTag;
  const auto control = static_cast<std::uint16_t>(header.hv1.tp_vlan_tci);
  const std::array<std::uint8_t, kTag> tag{
      static_cast<std::uint8_t>(protocol >> 8), static_cast<std::uint8_t>(protocol & 0xff),
      static_cast<std::uint8_t>(control >> 8), static_cast<std::uint8_t>(control & 0xff)};
  std::memcpy(tagged + kAddresses, tag.data(), tag.size());
  return tagged;
}

// The frame whose header lies at `at`; returns where the next one's lies.
std::byte* take(std::byte* at, RxSegment& out, std::uint64_t& ns) noexcept {
  // SAFETY: the kernel writes a chain of aligned frame headers into a block that it hands over.
  const auto& header = *reinterpret_cast<const tpacket3_hdr*>(at);
  std::byte* data = at + header.tp_mac;
  std::uint32_t length = header.tp_snaplen, wire = header.tp_len;
  if ((header.tp_status & TP_STATUS_VLAN_VALID) != 0 && length >= kAddresses) [[unlikely]] {
    data = put_tag_back(data, header);
    length += kTag;
    wire += kTag;
  }
  // Segments that the kernel merged may be longer than any frame that a record can hold.
  length = std::min(length, kMaxCaptured);
  wire = std::clamp(wire, length, kMaxCaptured);
  // In place: a segment that is put together elsewhere is copied in wider pieces than it was written in, and the
  // processor waits for each frame's stores (8 of 29 ns a frame, seen by perf).
  ::new (&out) RxSegment{data, length, true};
  out.beyond = static_cast<std::uint16_t>(wire - length);
  ns = header.tp_sec * 1'000'000'000ull + header.tp_nsec;
  // The sender's processor wrote these lines. Frames follow each other at the same distance, more often than not.
  // The header fills a line; the first bytes of the frame are in the next.
  const std::byte* const ahead = at + std::size_t{kAhead} * header.tp_next_offset;
  __builtin_prefetch(ahead);
  __builtin_prefetch(ahead + kLine);
  return at + header.tp_next_offset;
}

}  // namespace

Queue::Queue(std::span<std::byte> ring, std::uint32_t block_bytes, int socket, const std::atomic<bool>& gone,
             Stamps stamps) noexcept
    : ring_(ring),
      block_bytes_(block_bytes),
      blocks_(ring.size() / block_bytes),
      socket_(socket),
      gone_(gone),
      whose_(stamps) {
  check(blocks_ >= 1);
}

tpacket_hdr_v1& Queue::block(std::size_t index) const noexcept {
  // SAFETY: the kernel lays a descriptor at the start of every block; blocks are page aligned.
  return reinterpret_cast<tpacket_block_desc*>(ring_.data() + index * block_bytes_)->hdr.bh1;
}

bool Queue::is_ours(std::size_t index) const noexcept {
  // Acquire: the kernel sets this word last; nothing of the block may be read before it.
  return (std::atomic_ref(block(index).block_status).load(std::memory_order_acquire) & TP_STATUS_USER) != 0;
}

bool Queue::enter_block() noexcept {
  if (finished_ == blocks_ || !is_ours(reading_)) return false;
  const tpacket_hdr_v1& header = block(reading_);
  inside_ = true;
  left_ = header.num_pkts;
  at_ = ring_.data() + reading_ * block_bytes_ + header.offset_to_first_pkt;
  return true;
}

void Queue::leave_block() noexcept {
  if (!inside_ || left_ > 0) return;
  inside_ = false;
  ++finished_;
  reading_ = reading_ + 1 == blocks_ ? 0 : reading_ + 1;
}

std::size_t Queue::receive(std::span<RxSegment> out) noexcept {
  const std::size_t most = std::min(out.size(), stamps_.size());
  std::size_t n = 0;
  while (n < most) {
    leave_block();
    if (left_ == 0) {
      if (!enter_block()) break;
      continue;  // a block may be empty
    }
    const std::size_t end = std::min<std::size_t>(most, n + left_);
    left_ -= static_cast<std::uint32_t>(end - n);
    std::byte* at = at_;
    for (; n < end; ++n) at = take(at, out[n], stamps_[n]);
    at_ = at;
  }
  return n;
}

void Queue::release() noexcept {
  leave_block();
  for (; finished_ > 0; --finished_) {
    const std::size_t index = (reading_ + blocks_ - finished_) % blocks_;
    // Release: the frames have been read before the kernel may write over them.
    std::atomic_ref(block(index).block_status).store(TP_STATUS_KERNEL, std::memory_order_release);
  }
}

void Queue::wait(std::chrono::microseconds at_most) noexcept {
  const auto ns = std::chrono::nanoseconds(at_most).count();
  const timespec limit{ns / 1'000'000'000, ns % 1'000'000'000};
  pollfd on{socket_, POLLIN, 0};
  // An error of the socket (interface down or gone) would end every sleep at once: health() reads it, this one sleeps.
  if (::ppoll(&on, 1, &limit, nullptr) > 0 && (on.revents & POLLERR) != 0) ::nanosleep(&limit, nullptr);
}

std::uint64_t Queue::pending_frames() const noexcept {
  std::uint64_t frames = left_;
  for (std::size_t i = inside_ ? 1 : 0; i + finished_ < blocks_; ++i) {
    const std::size_t index = (reading_ + i) % blocks_;
    if (!is_ours(index)) break;
    frames += block(index).num_pkts;
  }
  return frames;
}

}  // namespace vigia::vf::packet
