// SPDX-License-Identifier: Apache-2.0
// The PF's register file: storage and the behaviours that need nothing but the register itself (plain, read-only, clear
// on read, write-1-clears, set/clear pairs, second addresses), as one table. What a write means for the rest of the
// device is an Effect that the caller carries out.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/ixgbe/model.h"

namespace vigia::softnic {

enum class Behaviour : std::uint8_t {
  reserved,            // reads 0, swallows writes
  plain,               // stores the writable bits
  read_only,           // the device stores, software reads
  read_clears,         // RC
  write_1_clears,      // W1C
  read_and_1_clear,    // both, as EICR
  ones_set,            // a written 1 sets the bit, a 0 leaves it, as EIMS
  ones_clear_partner,  // a written 1 clears the partner's bit; reads 0, as EIMC
  ones_set_partner,    // a written 1 sets the partner's bit; reads 0, as EICS
  write_only,          // not stored, reads 0; only its effect counts
  semaphore,           // bit 0 reads its value and is 1 afterwards, as SWSM.SMBI
};

// What else the device does about an access. Carried out by PfFunction and VfFunction.
enum class Effect : std::uint8_t {
  none,
  control,       // CTRL
  control_ext,   // CTRL_EXT
  filters,       // anything that pool selection or queue choice decodes
  queue_layout,  // the number of queues in a pool
  rx_ring,       // a queue register: the queue compares it with its state
  tx_ring,
  transmit,           // DMATXCTL
  interrupt_mask,     // unmasked causes that wait are signalled
  interrupt_cause,    // EICS
  vf_interrupt_mask,  // the same of VF i
  vf_interrupt_cause,
  vf_control,         // VFCTRL of VF i
  mailbox,            // PFMAILBOX
  mailbox_view,       // VFMAILBOX seen from the PF
  queue_drop_enable,  // PFQDE, an indirect register
  rate_limit,         // RTTBCNRC, an indirect register
  vflr_clear,         // PFVFLREC
  eeprom_read,        // EERD
  eeprom_lines,       // EEC
  module_lines,       // I2CCTL
  restart_link,       // AUTOC
  timer,              // FRTIMER
};

// SRRCTL after reset: 2 KiB packet buffer, 256 B header buffer.
constexpr std::uint32_t kSrrctlReset = 2 | 4u << 8;

// After power-up every register has its reset value. These say what a later reset (CTRL.RST, CTRL.LRST, FLR) does.
enum class OnReset : std::uint8_t { resets, keeps };

using RegisterAt = std::uint32_t (*)(std::uint32_t index);

struct RegisterRow {
  const char* name = "";
  RegisterAt at = nullptr;  // byte offset of register i
  std::uint32_t count = 1;
  Behaviour behaviour = Behaviour::plain;
  Effect effect = Effect::none;
  OnReset on_reset = OnReset::resets;
  std::uint32_t reset_value = 0;
  std::uint32_t writable = ~0u;  // of plain registers
  RegisterAt partner = nullptr;  // of set/clear pairs
};

struct AliasRow {
  RegisterAt from, to;
  std::uint32_t count;
};

std::span<const RegisterRow> register_table();
std::span<const AliasRow> alias_table();

class RegisterFile {
 public:
  // Registers beyond the BAR: state of indirect registers and of VF registers that have no PF address.
  static constexpr std::uint32_t kInternalBase = hw::ixgbe::pf::kBarSize, kInternalBytes = 4096;

  RegisterFile();

  struct Hit {  // which register an access met
    Effect effect = Effect::none;
    std::uint32_t index = 0;
  };

  // What a register at this offset is; aliases resolved. Offsets that hold no register give Effect::none.
  Hit classify(std::uint32_t offset) const noexcept;

  // Accesses by software with the behaviour of the table, side effects on the register included. Offsets are multiples
  // of 4 below the BAR's size (or internal).
  std::uint32_t read(std::uint32_t offset) noexcept;
  void write(std::uint32_t offset, std::uint32_t value) noexcept;

  // Accesses by the device: no behaviour.
  std::uint32_t peek(std::uint32_t offset) const noexcept { return load(cell_of(offset)); }
  void poke(std::uint32_t offset, std::uint32_t value) noexcept { store(cell_of(offset), value); }
  template <class R>
  std::uint32_t get(const R& reg, std::uint32_t i = 0) const noexcept {
    return peek(reg.at(i));
  }
  template <class R>
  void set(const R& reg, std::uint32_t i, std::uint32_t value) noexcept {
    poke(reg.at(i), value);
  }
  // 32-bit counters wrap; 36-bit ones live in a low and a high register and wrap at 36 bits.
  template <class R>
  void add(const R& reg, std::uint32_t i, std::uint64_t n) noexcept {
    poke(reg.at(i), static_cast<std::uint32_t>(get(reg, i) + n));
  }
  template <class L, class H>
  void add36(const L& low, const H& high, std::uint32_t i, std::uint64_t n) noexcept {
    const std::uint64_t sum = (get(low, i) | std::uint64_t{get(high, i)} << 32) + n;
    set(low, i, static_cast<std::uint32_t>(sum));
    set(high, i, static_cast<std::uint32_t>(sum >> 32 & 0xf));
  }

  // Lets the ring registers of queue N live in memory that a client may have mapped: 16 words each, valid until bound
  // anew. nullptr brings them back here. What the registers held is not carried over.
  void bind_rx(std::uint32_t queue, std::uint32_t* block) noexcept {
    rx_blocks_[queue] = block ? block : own_rx(queue);
  }
  void bind_tx(std::uint32_t queue, std::uint32_t* block) noexcept {
    tx_blocks_[queue] = block ? block : own_tx(queue);
  }
  std::uint32_t* rx_block(std::uint32_t queue) noexcept { return rx_blocks_[queue]; }
  std::uint32_t* tx_block(std::uint32_t queue) noexcept { return tx_blocks_[queue]; }

  // CTRL.RST and its like: the rows that do not keep their value get their reset value.
  void reset() noexcept;

  // Words that a client's mapped page may share: it writes whenever it likes, so every access is one relaxed load or
  // store; what must be ordered is ordered at the queue tail.
  static std::uint32_t load(const std::uint32_t* word) noexcept {
    return std::atomic_ref(*const_cast<std::uint32_t*>(word)).load(std::memory_order_relaxed);
  }
  static void store(std::uint32_t* word, std::uint32_t value) noexcept {
    std::atomic_ref(*word).store(value, std::memory_order_relaxed);
  }

 private:
  struct Entry {
    std::uint16_t row = 0;    // 0: reserved
    std::uint16_t index = 0;  // register of the row
    // Where its storage is, aliases resolved: among the words; of a queue's ring registers, in that queue's block.
    std::uint32_t offset = 0;
    enum : std::uint8_t { words, rx_ring, tx_ring } lies = words;
  };

  std::uint32_t* cell_of(std::uint32_t offset) const noexcept {
    const Entry& entry = entries_[offset / 4];
    if (entry.lies == Entry::words) [[likely]]
      return &words_[entry.offset / 4];
    return (entry.lies == Entry::rx_ring ? rx_blocks_ : tx_blocks_)[entry.index] + entry.offset / 4;
  }
  std::uint32_t* own_rx(std::uint32_t queue) noexcept { return &words_[hw::ixgbe::pf::RDBAL.at(queue) / 4]; }
  std::uint32_t* own_tx(std::uint32_t queue) noexcept { return &words_[hw::ixgbe::pf::TDBAL.at(queue) / 4]; }
  void apply_reset(bool power_up) noexcept;

  std::vector<Entry> entries_;
  mutable std::vector<std::uint32_t> words_;
  std::array<std::uint32_t*, hw::ixgbe::pf::kQueues> rx_blocks_{}, tx_blocks_{};
};

// Internal registers, see RegisterFile::kInternalBase.
namespace internal {
using hw::Access;
using hw::Linear;
template <std::uint32_t Count, auto At>
using R = hw::Reg<Access::read_write, Count, At>;
constexpr std::uint32_t kBase = RegisterFile::kInternalBase;
inline constexpr R<128, Linear{kBase, 4}> QDE{"QDE of a queue"};
inline constexpr R<128, Linear{kBase + 0x200, 4}> RATE{"RTTBCNRC of a queue"};
inline constexpr R<64 * 3, Linear{kBase + 0x400, 4}> VTIVAR_123{"VTIVAR[1..3]"};  // 3 * v + i - 1
inline constexpr R<64 * 3, Linear{kBase + 0x700, 4}> VTEITR{"VTEITR"};            // 3 * v + i
inline constexpr R<64 * 2, Linear{kBase + 0xA00, 4}> VTRSCINT{"VTRSCINT"};
}  // namespace internal

}  // namespace vigia::softnic
