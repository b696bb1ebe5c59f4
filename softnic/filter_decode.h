// SPDX-License-Identifier: Apache-2.0
// Registers decoded for the data path: filter tables for pool selection, queue choice inside a pool. Done when a
// register changed, never per frame.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "softnic/pool_select.h"
#include "softnic/registers.h"
#include "softnic/rss.h"

namespace vigia::softnic {

FilterTables decode_filters(const RegisterFile& registers);

// Queues of a pool by GCR_EXT.VT_MODE (2, 4 or 8). Without a VT mode the VFs still have 2 each for their driver to see,
// and the PF's traffic uses the first 16 queues.
unsigned queues_per_pool(const RegisterFile& registers);
// Why MRQC, GCR_EXT and GPIE contradict each other, or empty. The device then follows GCR_EXT.
std::string_view vt_mode_conflict(const RegisterFile& registers);

// Which queue of its pool a copy goes to (reference 8.4). Five-tuple, SYN and flow-director filters are not modelled.
class QueueChoice {
 public:
  explicit QueueChoice(const RegisterFile& registers);

  // Whether a frame's packet type and hash are worth computing for the descriptor's word 0.
  struct Parsed {
    std::uint64_t word0 = 0;
    std::uint32_t hash = 0;
    std::int8_t ethertype_filter = -1;
  };
  Parsed parse(FrameBytes frame, const L2Key& l2) const;

  // The absolute queue number for pool's copy of a frame.
  unsigned queue(unsigned pool, const L2Key& l2, std::uint32_t hash, std::int8_t ethertype_filter,
                 bool local) const noexcept;

  unsigned per_pool() const noexcept { return per_pool_; }
  // The pool that queue number belongs to.
  unsigned pool_of(unsigned queue) const noexcept { return queue / per_pool_; }

 private:
  bool vt_ = false, rss_ = false, traffic_classes_ = false, hash_in_descriptor_ = false, local_filters_ = false;
  bool any_ethertype_ = false;
  unsigned per_pool_ = 2;
  std::uint32_t mrqc_ = 0, up_to_tc_ = 0;
  std::array<std::uint8_t, 128> reta_{};
  std::array<std::uint8_t, 64> index_mask_{};  // by PSRTYPE.RQPL
  struct EthertypeFilter {
    bool enabled = false, to_queue = false;
    std::uint16_t ethertype = 0;
    std::uint8_t queue = 0;
  };
  std::array<EthertypeFilter, 8> ethertype_{};
  Toeplitz toeplitz_;
};

}  // namespace vigia::softnic
