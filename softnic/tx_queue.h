// SPDX-License-Identifier: Apache-2.0
// One transmit queue: from descriptors to frames (reference 5, 6.3). Everything behind the ring registers is a
// client's: bytes are copied out once and only the copy is looked at.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/ixgbe/descriptor.h"
#include "softnic/function_core.h"
#include "softnic/ring_view.h"
#include "softnic/tx_offload.h"

namespace vigia::softnic {

// What one chain of data descriptors asks to send.
struct TxPacket {
  // Room in front of the bytes, so that a tag can be inserted without moving the frame.
  static constexpr std::size_t kHeadroom = 16;
  std::vector<std::byte> storage;  // kHeadroom, then the bytes
  TxOffload offload;
  bool insert_tag = false;  // DCMD.VLE
  std::uint16_t tci = 0;

  std::span<std::byte> bytes() { return std::span(storage).subspan(kHeadroom); }
};

class TxQueue {
 public:
  // As RxQueue::bind().
  void bind(unsigned number, std::uint32_t* block, FunctionCore* owner);
  void sync();
  void stop();

  bool enabled() const noexcept { return enabled_; }
  bool usable() const noexcept { return enabled_ && owner_->bus_master; }
  bool has_work() const noexcept { return head_ != tail_; }

  enum class Gather : std::uint8_t {
    packet,   // packet holds one; call complete() when it is on its way, or gather again later for the same one
    nothing,  // no complete packet before the tail
    fault,    // descriptors made no frame; the queue is stopped
  };
  Gather gather(TxPacket& packet);
  // Done with the packet of the last gather(): moves the head, reports what asked for a report.
  void complete();
  // Publishes the head at the end of a burst. True if software asked to be told (RS): the caller raises the interrupt.
  bool publish();

  // RTTBCNRC of this queue: link speed / wanted speed in units of 2^-14; 0: not limited.
  void limit(std::uint32_t factor) { rate_factor_ = factor; }
  bool may_send(std::uint64_t now_ns) const noexcept { return rate_factor_ == 0 || now_ns >= earliest_ns_; }
  void sent(std::uint64_t now_ns, std::uint32_t layer1_bytes);

  FunctionCore* owner() const noexcept { return owner_; }
  std::uint64_t faults() const noexcept { return faults_; }

 private:
  struct Report {
    std::uint32_t index;
    std::uint64_t word1;
  };
  bool start();
  void fault(std::string_view why);
  Gather broken(std::string_view why);
  bool append(TxPacket& packet, const hw::ixgbe::TxDescriptor& descriptor);
  void begin(TxPacket& packet, const hw::ixgbe::TxDescriptor& first) const;
  void write_head_back();
  std::uint32_t wrap(std::uint32_t i) const noexcept { return i >= entries_ ? i - entries_ : i; }
  std::uint32_t reg(std::uint32_t member) const noexcept;

  bool enabled_ = false, report_ = false, moved_ = false;
  std::uint32_t entries_ = 0, head_ = 0, tail_ = 0;
  std::uint32_t next_head_ = 0;  // behind the packet of the last gather()
  RingView ring_;
  std::vector<Report> reports_;  // of that packet
  std::array<hw::ixgbe::TxDescriptor, 8> contexts_{};
  std::uint64_t head_write_back_ = 0;  // address, 0: off

  std::uint32_t rate_factor_ = 0;
  std::uint64_t earliest_ns_ = 0;

  unsigned number_ = 0;
  std::uint32_t* block_ = nullptr;
  FunctionCore* owner_ = nullptr;
  std::uint64_t generation_ = 0;
  std::uint64_t faults_ = 0;
  bool logged_ = false;
};

}  // namespace vigia::softnic
