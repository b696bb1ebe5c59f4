// SPDX-License-Identifier: Apache-2.0
#include "softnic/tx_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "hw/ixgbe/model.h"
#include "hw/log.h"
#include "softnic/registers.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;

// Offsets within a queue's 64 bytes of registers.
constexpr std::uint32_t kTdbal = 0x00, kTdbah = 0x04, kTdlen = 0x08, kTdh = 0x10, kTdt = 0x18, kTxdctl = 0x28,
                        kTdwbal = 0x38, kTdwbah = 0x3C;
constexpr std::uint32_t kDescriptorBytes = sizeof(TxDescriptor);

// PAYLEN has 18 bits; headers come on top. More than that in one packet is a broken chain.
constexpr std::size_t kMaxPacketBytes = (1u << 18) + 512;
// The datasheet allows 40 descriptors a packet (7.2.1.1).
constexpr std::uint32_t kMaxChain = 40;

// How late the loop may look at a limited queue without making it slower than allowed.
constexpr std::uint64_t kLateNs = 100'000;

std::atomic_ref<std::uint64_t> word(std::byte* at) {
  // SAFETY: descriptors are 16-byte aligned (RingView) and live in shared memory, hence the atomic access.
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at));
}

}  // namespace

std::uint32_t TxQueue::reg(std::uint32_t member) const noexcept { return RegisterFile::load(block_ + member / 4); }

void TxQueue::bind(unsigned number, std::uint32_t* block, FunctionCore* owner) {
  number_ = number;
  block_ = block;
  owner_ = owner;
  stop();
}

void TxQueue::stop() {
  enabled_ = report_ = moved_ = false;
  head_ = tail_ = next_head_ = 0;
  ring_.clear();
  contexts_ = {};
  // The client may write the word at the same time: only our bit must go.
  std::atomic_ref(block_[kTxdctl / 4]).fetch_and(~Txdctl::enable, std::memory_order_relaxed);
}

bool TxQueue::start() {
  const std::uint32_t length = reg(kTdlen);
  if (length == 0 || length % kRingAlign != 0 || length > kMaxRingBytes) {
    fault(fmt::format("TDLEN {} is not a multiple of {} between {} and {}", length, kRingAlign, kRingAlign,
                      kMaxRingBytes));
    return false;
  }
  entries_ = length / kDescriptorBytes;
  if (reg(kTdh) >= entries_) {
    fault(fmt::format("TDH {} lies beyond the ring of {} descriptors", reg(kTdh), entries_));
    return false;
  }
  const auto base = static_cast<hw::Iova>((reg(kTdbal) & ~0x7fu) | std::uint64_t{reg(kTdbah)} << 32);
  if (!ring_.translate(owner_->dma, base, entries_)) {
    fault(fmt::format("ring at {:#x}, {} descriptors, is not in the function's DMA memory", hw::to_integer(base),
                      entries_));
    return false;
  }
  generation_ = owner_->dma.generation();
  head_ = tail_ = next_head_ = reg(kTdh);
  enabled_ = true;
  logged_ = false;
  return true;
}

void TxQueue::fault(std::string_view why) {
  ++faults_;
  stop();
  if (!logged_) log::warning("{}: transmit queue {} stopped: {}", owner_->name, number_, why);
  logged_ = true;
}

void TxQueue::sync() {
  const bool wanted = (reg(kTxdctl) & Txdctl::enable) != 0;
  if (!wanted) {
    if (enabled_) stop();
    return;
  }
  if (!enabled_ && !start()) return;
  if (generation_ != owner_->dma.generation()) {
    const auto base = static_cast<hw::Iova>((reg(kTdbal) & ~0x7fu) | std::uint64_t{reg(kTdbah)} << 32);
    if (!ring_.translate(owner_->dma, base, entries_)) return fault("its ring was unmapped while it was enabled");
    generation_ = owner_->dma.generation();
  }
  const std::uint32_t low = reg(kTdwbal);
  head_write_back_ = (low & Tdwbal::enable) != 0 ? (std::uint64_t{reg(kTdwbah)} << 32 | (low & ~3u)) : 0;
  // Acquire: descriptors that software stored before it moved the tail are read after this.
  const std::uint32_t tail = std::atomic_ref(block_[kTdt / 4]).load(std::memory_order_acquire);
  if (tail >= entries_) return fault(fmt::format("tail {} lies beyond the ring of {} descriptors", tail, entries_));
  tail_ = tail;
}

TxQueue::Gather TxQueue::broken(std::string_view why) {
  fault(why);
  return Gather::fault;
}

void TxQueue::begin(TxPacket& packet, const TxDescriptor& first) const {
  packet.storage.resize(TxPacket::kHeadroom);
  packet.insert_tag = (first.word1 & TxCommand::vle) != 0;
  const TxDescriptor& context = contexts_[first.word1 >> TxContext::index_shift & 7];
  packet.tci = static_cast<std::uint16_t>(context.word0 >> TxContext::vlan_shift);
  TxOffload& o = packet.offload;
  o.ip_checksum = (first.word1 & TxOption::ixsm) != 0;
  o.l4_checksum = (first.word1 & TxOption::txsm) != 0;
  o.segment = (first.word1 & TxCommand::tse) != 0;
  o.ip_bytes = context.word0 & ((1u << TxContext::iplen_bits) - 1);
  o.mac_bytes = context.word0 >> TxContext::maclen_shift & 0x7f;
  o.ipv4 = (context.word1 & TxContext::ipv4) != 0;
  constexpr std::array kinds{L4::udp, L4::tcp, L4::sctp, L4::unknown};
  o.l4 = kinds[context.word1 >> TxContext::l4_shift & 3];
  o.l4_bytes = context.word1 >> TxContext::l4len_shift & 0xff;
  o.mss = static_cast<std::uint32_t>(context.word1 >> TxContext::mss_shift);
}

bool TxQueue::append(TxPacket& packet, const TxDescriptor& d) {
  const std::size_t bytes = d.word1 & TxCommand::dtalen_mask, before = packet.storage.size();
  packet.storage.resize(before + bytes);
  const auto iova = static_cast<hw::Iova>(d.word0);
  if (const std::byte* memory = owner_->dma.translate(iova, bytes, false)) {
    if (bytes != 0) std::memcpy(packet.storage.data() + before, memory, bytes);
    return true;
  }
  return bytes == 0 || owner_->dma.read(iova, std::span(packet.storage).subspan(before));
}

TxQueue::Gather TxQueue::gather(TxPacket& packet) {
  reports_.clear();
  bool begun = false;
  std::uint32_t chain = 0;
  for (std::uint32_t at = head_; at != tail_; at = wrap(at + 1)) {
    std::byte* const memory = ring_.at(at);
    const TxDescriptor d{word(memory).load(std::memory_order_relaxed),
                         word(memory + 8).load(std::memory_order_relaxed)};
    if ((d.word1 & TxCommand::dext) == 0) return broken("legacy transmit descriptor; only advanced ones are taken");
    if ((d.word1 & TxCommand::rs) != 0) reports_.push_back({at, d.word1});
    const std::uint64_t type = d.word1 & TxCommand::dtyp_mask;
    if (type == TxCommand::dtyp_context) {
      if (begun) return broken("context descriptor in the middle of a packet");
      contexts_[d.word1 >> TxContext::index_shift & 7] = d;
      if (++chain > kMaxChain) return broken("more than 40 descriptors without a packet");
      continue;
    }
    if (type != TxCommand::dtyp_data) return broken("descriptor of an unknown type");
    if (!begun) begin(packet, d);
    begun = true;
    if (++chain > kMaxChain) return broken("more than 40 descriptors in one packet");
    if (packet.storage.size() + (d.word1 & TxCommand::dtalen_mask) > kMaxPacketBytes) {
      return broken("packet longer than PAYLEN can say");
    }
    if (!append(packet, d))
      return broken(fmt::format("a descriptor points to {:#x}, outside the function's DMA memory", d.word0));
    if ((d.word1 & TxCommand::eop) == 0) continue;
    next_head_ = wrap(at + 1);
    const std::string_view why = offload_error(packet.offload, packet.bytes().size());
    if (!why.empty()) return broken(why);
    return Gather::packet;
  }
  return Gather::nothing;
}

void TxQueue::complete() {
  for (const Report& report : reports_) {
    report_ = true;
    // With head write-back the descriptors stay as they are (datasheet 7.2.3.5.2). Release: software that sees the
    // done bit may reuse the buffers, which have been read before.
    if (head_write_back_ == 0)
      word(ring_.at(report.index) + 8).store(report.word1 | TxCommand::dd, std::memory_order_release);
  }
  reports_.clear();
  head_ = next_head_;
  moved_ = true;
}

bool TxQueue::publish() {
  if (!moved_) return false;
  moved_ = false;
  RegisterFile::store(block_ + kTdh / 4, head_);
  const bool tell = report_;
  report_ = false;
  if (tell && head_write_back_ != 0) write_head_back();
  return tell;
}

void TxQueue::write_head_back() {
  const auto iova = static_cast<hw::Iova>(head_write_back_);
  std::byte* const memory = owner_->dma.translate(iova, sizeof head_, true);
  // SAFETY: only the number is looked at.
  if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % alignof(std::uint32_t) != 0) {
    fault(fmt::format("head write-back address {:#x} is not in the function's DMA memory", head_write_back_));
    return;
  }
  // SAFETY: aligned and inside the client's memory, checked above. Release: as for the done bit.
  std::atomic_ref(*reinterpret_cast<std::uint32_t*>(memory)).store(head_, std::memory_order_release);
}

void TxQueue::sent(std::uint64_t now_ns, std::uint32_t layer1_bytes) {
  if (rate_factor_ == 0) return;
  // At 10 Gb/s a byte takes 0.8 ns; the limiter stretches that by the factor. Idle time earns
  // no credit, but for what the port's loop may be late.
  const std::uint64_t wire_ns = std::uint64_t{layer1_bytes} * 4 / 5;
  earliest_ns_ =
      std::max(earliest_ns_ + kLateNs, now_ns) - kLateNs + (wire_ns * rate_factor_ >> Rttbcnrc::fraction_bits);
}

}  // namespace vigia::softnic
