// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/intel/tx_queue.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace vigia::vf::intel {

namespace tx = hw::intel::TxCommand;

namespace {

constexpr std::size_t kEthernetHeader = 14, kVlanTag = 4;
constexpr std::uint32_t kIpv6Header = 40;
// A completion report at least every so many frames: often enough to reuse the ring smoothly. Not measured.
constexpr std::uint64_t kFramesPerReport = 32;
constexpr unsigned kMacLengthShift = 9;  // context descriptor, word0

std::uint32_t be16(std::span<const std::byte> frame, std::size_t at) {
  return std::to_integer<std::uint32_t>(frame[at]) << 8 | std::to_integer<std::uint32_t>(frame[at + 1]);
}

}  // namespace

HeaderLengths header_lengths(std::span<const std::byte> frame) {
  constexpr std::uint32_t kTagged = 0x8100, kIpv4 = 0x0800, kIpv6 = 0x86dd;  // EtherTypes
  HeaderLengths h{kEthernetHeader, 0};
  if (frame.size() < kEthernetHeader) return h;
  std::uint32_t type = be16(frame, kEthernetHeader - 2);
  if (type == kTagged && frame.size() >= kEthernetHeader + kVlanTag) {
    h.mac += kVlanTag;
    type = be16(frame, h.mac - 2);
  }
  if (type == kIpv4 && frame.size() > h.mac) h.ip = (std::to_integer<std::uint32_t>(frame[h.mac]) & 0xf) * 4;
  if (type == kIpv6) h.ip = kIpv6Header;
  return h;
}

TxQueue::TxQueue(const Memory& memory, std::uint64_t check_context, std::uint32_t max_frame, hw::Doorbell tail,
                 const hw::PciFunction& function)
    : memory_(memory),
      check_context_(check_context),
      max_frame_(max_frame),
      mask_(memory.ring.size() - 1),
      marks_(memory.ring.size()),
      tail_(tail),
      function_(function) {
  check(memory.ring.size() >= 2 && (memory.ring.size() & mask_) == 0);
}

void TxQueue::prepare() noexcept {
  std::memset(memory_.ring.data(), 0xff, memory_.ring.size_bytes());
  std::memset(memory_.buffers.data(), 0xff, memory_.buffers.size());
  counts_.lost = counts_.posted - counts_.completed;
  next_ = clean_ = 0;
  first_mark_ = next_mark_ = 0;
  unmarked_ = 0;
  context_.reset();
}

void TxQueue::reclaim() noexcept {
  while (first_mark_ != next_mark_) {
    const Mark& mark = marks_[first_mark_ & mask_];
    // Acquire: buffers before this descriptor may be overwritten only after the device has said it has read them.
    if ((std::atomic_ref(memory_.ring[mark.index].word1).load(std::memory_order_acquire) & tx::dd) == 0) return;
    clean_ = (mark.index + 1) & mask_;
    counts_.completed += mark.frames;
    ++first_mark_;
  }
}

// Asks for a completion report at the last descriptor filled.
void TxQueue::request_report() noexcept {
  if (unmarked_ == 0) return;
  const std::size_t last = (next_ - 1) & mask_;
  memory_.ring[last].word1 |= tx::rs;
  marks_[next_mark_++ & mask_] = {last, unmarked_};
  unmarked_ = 0;
}

// False: no room.
bool TxQueue::post(Frame frame, HeaderLengths headers) noexcept {
  const std::size_t segments = (frame.size() + memory_.buffer_bytes - 1) / memory_.buffer_bytes;
  const bool new_context = check_context_ != 0 && context_ != headers;
  if (free_descriptors() < segments + (new_context ? 1 : 0)) return false;
  if (new_context) {
    memory_.ring[next_] = {headers.mac << kMacLengthShift | headers.ip, tx::dtyp_context | tx::dext};
    context_ = headers;
    next_ = (next_ + 1) & mask_;
  }
  const std::uint64_t common =
      tx::dtyp_data | tx::dext | tx::ifcs | check_context_ | std::uint64_t{frame.size()} << tx::paylen_shift;
  for (std::size_t done = 0; done < frame.size(); next_ = (next_ + 1) & mask_) {
    const std::size_t piece = std::min<std::size_t>(frame.size() - done, memory_.buffer_bytes);
    const std::size_t at = next_ * memory_.stride;
    std::memcpy(memory_.buffers.data() + at, frame.data() + done, piece);
    done += piece;
    memory_.ring[next_] = {hw::to_integer(memory_.buffers_iova + at),
                           common | piece | (done == frame.size() ? tx::eop : 0)};
  }
  ++unmarked_;
  return true;
}

std::size_t TxQueue::send(std::span<const Frame> frames) noexcept {
  reclaim();
  const std::size_t before = next_;
  std::size_t n = 0;
  for (; n < frames.size(); ++n) {
    const Frame frame = frames[n];
    if (frame.size() < kEthernetHeader || frame.size() > max_frame_) {
      ++counts_.refused;
      continue;
    }
    if (!post(frame, header_lengths(frame))) break;
    ++counts_.posted;
    counts_.posted_bytes += frame.size();
    if (unmarked_ == kFramesPerReport) request_report();
  }
  request_report();
  if (next_ != before) {
    // Release: descriptors and buffers must be in memory before the device sees the new tail.
    std::atomic_thread_fence(std::memory_order_release);
    tail_.ring(static_cast<std::uint32_t>(next_));
  }
  return n;
}

bool TxQueue::drain(std::chrono::milliseconds at_most) noexcept {
  const auto drained = wait_until("transmit ring empty", at_most, [this] {
    reclaim();
    return counts_.completed + counts_.lost == counts_.posted || !function_.alive();
  });
  return drained && counts_.completed + counts_.lost == counts_.posted;
}

}  // namespace vigia::vf::intel
