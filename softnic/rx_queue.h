// SPDX-License-Identifier: Apache-2.0
// One receive queue: from frames to buffers and written-back descriptors (reference 4.1, 6.1). Everything behind the
// ring registers is a client's and is checked at each use.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "hw/ixgbe/descriptor.h"
#include "softnic/frame.h"
#include "softnic/function_core.h"
#include "softnic/ring_view.h"

namespace vigia::softnic {

// A frame on its way into a queue, with what the write-back says about it.
struct RxFrame {
  FrameBytes bytes;
  std::uint64_t word0 = 0;   // packet type, RSS type and hash, as in the descriptor
  std::uint64_t status = 0;  // LB, PIF, VP as in the descriptor
  std::uint16_t tci = 0;
  bool tagged = false;
  bool multicast = false;
};

// What happened since the last publication; the device adds it up.
struct RxTally {
  std::uint32_t written = 0, no_descriptor = 0, disabled = 0, dma_fault = 0;
  std::uint32_t mirror = 0;     // of all those, copies that a mirror rule added
  std::uint32_t multicast = 0;  // of the written ones
  std::uint64_t bytes = 0;      // of the written ones, without FCS
  std::uint32_t copies() const { return written + no_descriptor + disabled + dma_fault; }
};

class RxQueue {
 public:
  // Takes effect at once, stops the queue. block: 16 words of registers; both outlive the queue or the next bind().
  void bind(unsigned number, std::uint32_t* block, FunctionCore* owner);

  // Compares registers with state: enables, disables, takes a new tail, translates anew. Call it whenever software may
  // have written. force_drop: PFQDE says drop when the ring is empty. A broken ring stops the queue, with one line in
  // the log until it works again.
  void sync(bool force_drop);
  // Stops the queue and clears RXDCTL.ENABLE; what the ring holds is forgotten.
  void stop();

  bool enabled() const noexcept { return enabled_; }
  // May frames go there: enabled, and the function may write to memory.
  bool usable() const noexcept { return enabled_ && owner_->bus_master; }
  bool drops_when_empty() const noexcept { return drop_; }
  std::uint32_t available() const noexcept { return available_; }
  // Whether a frame of so many bytes finds descriptors. True also for a frame for which the whole ring is too small:
  // waiting would not help.
  bool room_for(std::uint32_t bytes) const noexcept {
    if (bytes <= buffer_bytes_) [[likely]]
      return available_ != 0;
    const std::uint32_t needed = (bytes + buffer_bytes_ - 1) / buffer_bytes_;
    return available_ >= needed || needed >= entries_;
  }

  // Copies one frame and queues its write-back. Never waits; every frame ends in one count of the tally. The write-back
  // becomes visible with flush().
  void write(const RxFrame& frame, bool mirrored) noexcept;
  // Hands finished descriptors to software, done bits last.
  void flush() noexcept;
  // RDH as it is. Not part of flush(): drivers look at descriptors.
  void show_head() noexcept;

  RxTally& tally() noexcept { return tally_; }
  FunctionCore* owner() const noexcept { return owner_; }
  // Enabling refused, or stopped for a fault, since the program started.
  std::uint64_t faults() const noexcept { return faults_; }

  // Start of the time in which a closed-loop wire waits for this queue, ns; 0: it does not. Cleared when software gives
  // descriptors.
  std::uint64_t starved_since_ns = 0;

 private:
  struct Slot {         // a descriptor that has been fetched
    std::byte* memory;  // of the whole buffer, or nullptr: use the address piecewise
    hw::Iova iova;
  };
  // Fetched ahead, as the device does. Enough to hide a cache miss behind the frames before (benchmarks/device).
  static constexpr std::uint32_t kFetched = 32, kFetch = 8, kPending = 64;

  bool start();
  bool validate(std::string& why) const;
  void fault(std::string_view why);
  void fetch() noexcept;
  Slot take() noexcept;
  bool copy(const Slot& slot, const RxFrame& frame, std::uint32_t from, std::uint32_t bytes, bool strip) noexcept;
  void finish(std::uint64_t word0, std::uint64_t word1) noexcept;
  void write_chain(const RxFrame& frame, std::uint32_t length, bool strip) noexcept;
  std::uint64_t last_word1(const RxFrame& frame, std::uint32_t length, bool strip) const noexcept;
  std::uint32_t wrap(std::uint32_t i) const noexcept { return i >= entries_ ? i - entries_ : i; }
  std::uint32_t reg(std::uint32_t member) const noexcept;
  void set_reg(std::uint32_t member, std::uint32_t value) noexcept;

  // Hot
  bool enabled_ = false, drop_ = false, strip_ = false, legacy_ = false;
  std::uint32_t entries_ = 0, head_ = 0, tail_ = 0, available_ = 0, buffer_bytes_ = 0;
  std::uint32_t fetched_ = 0, first_slot_ = 0;     // slots_: fetched_ of them from first_slot_ on belong to head_..
  std::uint32_t pending_ = 0, pending_index_ = 0;  // done_: to be stored from ring index pending_index_ on
  RxTally tally_;
  RingView ring_;
  std::array<Slot, kFetched> slots_{};
  std::array<hw::ixgbe::RxDescriptor, kPending> done_{};

  // Cold
  unsigned number_ = 0;
  std::uint32_t* block_ = nullptr;
  FunctionCore* owner_ = nullptr;
  std::uint64_t generation_ = 0;
  std::uint64_t faults_ = 0;
  bool logged_ = false;
};

}  // namespace vigia::softnic
