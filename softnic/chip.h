// SPDX-License-Identifier: Apache-2.0
// The state of the device that its parts share: registers, functions, queues. One thread; no part is safe from another.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "hw/ixgbe/model.h"
#include "hw/result.h"
#include "softnic/function_core.h"
#include "softnic/interrupts.h"
#include "softnic/mailbox.h"
#include "softnic/registers.h"
#include "softnic/rx_queue.h"
#include "softnic/tx_queue.h"

namespace vigia::softnic {

// A bit for each of the 128 queues.
using QueueSet = std::array<std::uint64_t, 2>;

template <class Visit>
void for_each_queue(const QueueSet& set, Visit visit) {
  for (unsigned word = 0; word < 2; ++word) {
    for (std::uint64_t rest = set[word]; rest != 0; rest &= rest - 1) {
      visit(64 * word + static_cast<unsigned>(__builtin_ctzll(rest)));
    }
  }
}

// BAR0 of a VF: the pages of its queue registers are memory that its client may have mapped.
class VfPages {
 public:
  static Result<VfPages> create(const std::string& name);
  VfPages(VfPages&&) noexcept;
  VfPages& operator=(VfPages&&) = delete;
  ~VfPages();

  int fd() const { return fd_.get(); }
  std::uint32_t* word(std::uint32_t offset) { return words_ + offset / 4; }
  // Queue registers of queue q: 16 words.
  std::uint32_t* rx_block(unsigned q) { return word(hw::ixgbe::vf_rx_page + 0x40 * q); }
  std::uint32_t* tx_block(unsigned q) { return word(hw::ixgbe::vf_tx_page + 0x40 * q); }

 private:
  VfPages(Fd fd, std::uint32_t* words) : fd_(std::move(fd)), words_(words) {}
  Fd fd_;
  std::uint32_t* words_;
};

class Chip {
 public:
  static Result<std::unique_ptr<Chip>> create(unsigned vfs);

  unsigned vfs() const { return static_cast<unsigned>(vf_cores.size()); }
  bool vt_enabled() const;
  unsigned queues_per_pool() const { return queues_per_pool_; }
  // The VF that owns a queue, or -1: the PF.
  int vf_of(unsigned queue) const;

  // Registers against state, for one queue and for all of a VF. Call before and after software may have written.
  void sync_rx(unsigned queue);
  void sync_tx(unsigned queue);
  void sync_vf(unsigned vf);

  // Queues follow the VT mode that the registers say now.
  void rebind_queues();

  // CTRL.RST, CTRL.LRST, FLR or loss of the PF (reference 3, checklist 18.6). VFs see RSTI until the PF is back.
  void reset_pf();
  // VFCTRL.RST, FLR or loss of a VF (reference 12).
  void reset_vf(unsigned vf);
  // The bus-master bit of a VF went: PFVFRE and PFVFTE lose its bit.
  void disable_vf_traffic(unsigned vf);
  void update_status();
  // A VF's counters into its page, where its driver reads them.
  void publish_vf_counters(unsigned vf);

  RegisterFile registers;
  std::unique_ptr<FunctionCore> pf_core;
  std::vector<std::unique_ptr<FunctionCore>> vf_cores;
  std::vector<VfPages> pages;
  std::unique_ptr<Interrupts> interrupts;
  std::unique_ptr<Mailboxes> mailboxes;
  std::array<RxQueue, hw::ixgbe::pf::kQueues> rx;
  std::array<TxQueue, hw::ixgbe::pf::kQueues> tx;
  QueueSet rx_enabled{}, tx_enabled{};
  bool filters_dirty = true;
  // Called by reset_pf() when every queue is off and before registers change: frames on their way end then.
  std::function<void()> before_reset;
  std::uint64_t now_ns = 0;

 private:
  Chip() = default;
  void bind_queue(unsigned queue);

  bool vt_bound_ = false;
  unsigned queues_per_pool_ = 2;
};

}  // namespace vigia::softnic
