// SPDX-License-Identifier: Apache-2.0
// An 82599 PF that is only registers: what the PF manager writes it reads back, plus the few bits that the device moves
// by itself. No frames, no queues. Faults on order: a write that is swallowed, a process that dies after N writes.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/mailbox.h"
#include "hw/ixgbe/regs_pf.h"
#include "hw/pci_function.h"

namespace vigia::pf::test {

namespace reg = hw::ixgbe::pf;

class FakeNic final : public hw::Bar::Trap, public hw::PciFunction {
 public:
  FakeNic() : bar_(reg::kBarSize, *this) { reset_registers(); }

  hw::Bar& bar() { return bar_; }

  // Faults
  std::optional<std::uint32_t> swallow;      // writes to this offset are lost
  std::optional<std::uint64_t> writes_left;  // after these, every write is lost: the driver's process is dead
  bool dead = false;                         // reads as ones
  bool rst_sticks = false, eeprom_silent = false, receiver_silent = false, no_link = false, bus_stuck = false;
  std::uint16_t total_vfs = 63;

  std::vector<std::uint32_t> written;  // offsets, in order

  // The VF's side of a mailbox, legacy style: words and REQ.
  void vf_sends(unsigned vf, const hw::ixgbe::mbx::Message& message) {
    for (unsigned w = 0; w < message.size(); ++w) mailbox(vf, w) = message[w];
    registers_[reg::PFMBICR.at(vf / 16)] |= 1u << vf % 16;
  }
  void vf_acks(unsigned vf) {
    registers_[reg::PFMBICR.at(vf / 16)] |= 1u << (vf % 16 + 16);
    sts_[vf] = false;
  }
  void vf_takes_lock(unsigned vf, bool on) { vfu_[vf] = on; }
  void vf_resets(unsigned vf) {
    registers_[reg::PFVFLRE.at(vf / 32)] |= 1u << vf % 32;
    registers_[reg::PFVFRE.at(vf / 32)] &= ~(1u << vf % 32);
    registers_[reg::PFVFTE.at(vf / 32)] &= ~(1u << vf % 32);
  }
  bool vf_has_message(unsigned vf) const { return sts_[vf]; }
  bool vf_was_acked(unsigned vf) const { return ack_[vf]; }
  hw::ixgbe::mbx::Message vf_reads(unsigned vf) {
    hw::ixgbe::mbx::Message m{};
    for (unsigned w = 0; w < m.size(); ++w) m[w] = mailbox(vf, w);
    sts_[vf] = ack_[vf] = false;
    return m;
  }
  // All registers, to come back to without the waits of another bring-up.
  struct Snapshot {
    std::map<std::uint32_t, std::uint32_t> registers;
    std::array<std::uint32_t, 128> queue_drop{}, queue_rate{};
  };
  Snapshot snapshot() const { return {registers_, queue_drop_, queue_rate_}; }
  void restore(const Snapshot& old) {
    registers_ = old.registers;
    queue_drop_ = old.queue_drop;
    queue_rate_ = old.queue_rate;
  }
  void set(std::uint32_t offset, std::uint32_t value) { registers_[offset] = value; }
  std::uint32_t get(std::uint32_t offset) { return registers_[offset]; }
  std::uint32_t queue_drop(unsigned queue) { return queue_drop_[queue]; }
  std::uint32_t queue_rate(unsigned queue) { return queue_rate_[queue]; }

  // hw::Bar::Trap
  std::uint32_t read32(std::uint32_t offset) noexcept override {
    using namespace hw::ixgbe;
    if (dead) return ~0u;
    if (offset == reg::STATUS.at()) return bus_idle() ? 0 : Status::primary_enable;
    if (offset == reg::PFQDE.at()) return queue_drop_[registers_[offset] >> Pfqde::index_shift & 0x7f];
    if (offset == reg::RTTBCNRC.at()) return queue_rate_[registers_[reg::RTTDQSEL.at()] & 0x7f];
    if (offset == reg::LINKS.at()) return no_link ? 0 : Links::up | Links::speed_10g;
    if (const int vf = reg::PFMAILBOX.index_of(offset); in(offset, reg::PFMAILBOX) && vf >= 0) {
      const auto v = static_cast<unsigned>(vf);
      return (vfu_[v] ? mbx::PfBit::vfu : 0) | (pfu_[v] ? mbx::PfBit::pfu : 0);
    }
    const std::uint32_t value = registers_[offset];
    if (offset == reg::EICR.at()) registers_[offset] = 0;
    return value;
  }

  void write32(std::uint32_t offset, std::uint32_t value) noexcept override {
    using namespace hw::ixgbe;
    if (writes_left) {
      if (*writes_left == 0) return;
      --*writes_left;
    }
    if (swallow == offset) return;
    written.push_back(offset);
    if (offset == reg::CTRL.at()) return control(value);
    if (offset == reg::PFQDE.at() && (value & Pfqde::we) != 0) {
      queue_drop_[value >> Pfqde::index_shift & 0x7f] = value & Pfqde::qde;
    }
    if (offset == reg::RTTBCNRC.at()) queue_rate_[registers_[reg::RTTDQSEL.at()] & 0x7f] = value;
    if (in(offset, reg::PFMBICR)) {
      registers_[offset] &= ~value;
      return;
    }
    if (in(offset, reg::PFVFLREC)) {
      registers_[reg::PFVFLRE.at((offset - reg::PFVFLREC.at(0)) / 4)] &= ~value;
      return;
    }
    if (in(offset, reg::PFMAILBOX)) return mailbox_control((offset - reg::PFMAILBOX.at(0)) / 4, value);
    registers_[offset] = value;
  }

  // hw::PciFunction
  const std::string& name() const override { return name_; }
  hw::PciId id() const override { return identity; }
  Result<hw::Bar*> map_bar(unsigned) override { return &bar_; }
  Result<hw::Iova> map_dma(const hw::DmaMemory&) override { return work_error("no DMA here"); }
  Result<Done> unmap_dma(hw::Iova, std::size_t) override { return Done{}; }
  Result<std::vector<int>> enable_msix(unsigned) override { return work_error("no MSI-X here"); }
  Result<Done> disable_msix() override { return Done{}; }
  Result<std::uint32_t> config_read(std::uint32_t offset, unsigned) override {
    if (offset == 0x100) return std::uint32_t{0x0001u | 1u << 16 | 0x160u << 20};
    if (offset == 0x160) return std::uint32_t{0x0010u | 1u << 16};
    if (offset == 0x160 + 0x0E) return std::uint32_t{total_vfs};
    return config[offset];
  }
  Result<Done> config_write(std::uint32_t offset, unsigned, std::uint32_t value) override {
    config[offset] = value;
    return Done{};
  }
  Result<Done> reset() override { return Done{}; }
  bool alive() const noexcept override { return !dead; }

  std::map<std::uint32_t, std::uint32_t> config;
  hw::PciId identity = hw::ixgbe::kPfId;

 private:
  template <class R>
  static bool in(std::uint32_t offset, const R& reg) {
    return offset >= reg.at(0) && offset <= reg.at(R::count - 1);
  }
  std::uint32_t& mailbox(unsigned vf, unsigned w) { return registers_[reg::PFMBMEM.at(vf * 16 + w)]; }
  bool bus_idle() { return !bus_stuck && (registers_[reg::CTRL.at()] & hw::ixgbe::Ctrl::primary_disable) != 0; }

  void control(std::uint32_t value) {
    using namespace hw::ixgbe;
    if ((value & Ctrl::rst) != 0) {
      reset_registers();
      registers_[reg::CTRL.at()] = rst_sticks ? Ctrl::rst : 0;
      return;
    }
    registers_[reg::CTRL.at()] = value;
  }

  void mailbox_control(unsigned vf, std::uint32_t value) {
    using namespace hw::ixgbe;
    if ((value & mbx::PfBit::rvfu) != 0) {
      vfu_[vf] = false;
      registers_[reg::PFMBICR.at(vf / 16)] &= ~(0x10001u << vf % 16);
    }
    if ((value & mbx::PfBit::pfu) == 0) {
      pfu_[vf] = false;
    } else if (!vfu_[vf]) {
      pfu_[vf] = true;
    }
    if ((value & mbx::PfBit::sts) != 0) sts_[vf] = true;
    if ((value & mbx::PfBit::ack) != 0) ack_[vf] = true;
  }

  // What a reset leaves, garbage where the datasheet promises nothing.
  void reset_registers() {
    using namespace hw::ixgbe;
    registers_.clear();
    queue_drop_.fill(0);
    queue_rate_.fill(0);
    for (std::uint32_t i = 0; i < 128; ++i) {
      registers_[reg::MTA.at(i)] = registers_[reg::VFTA.at(i)] = registers_[reg::PFVLVFB.at(i)] = 0xdead'beef;
      registers_[reg::RAL.at(i)] = 0x1234'5678;
    }
    for (std::uint32_t i = 0; i < 256; ++i) registers_[reg::MPSAR.at(i)] = 0xffff'ffff;
    registers_[reg::RAL.at(0)] = 0x82'00'00'02;
    registers_[reg::RAH.at(0)] = Rah::av | 0x9059;
    registers_[reg::EEC.at()] = eeprom_silent ? 0 : Eec::present | Eec::auto_read_done;
    registers_[reg::RDRXCTL.at()] = Rdrxctl::dmaidone;
    registers_[reg::SECRXSTAT.at()] = receiver_silent ? 0 : Secrx::rdy;
    registers_[reg::MAXFRS.at()] = 0x05EEu << 16;
  }

  const std::string name_ = "fake:pf";
  std::map<std::uint32_t, std::uint32_t> registers_;
  std::array<std::uint32_t, 128> queue_drop_{}, queue_rate_{};
  std::array<bool, 64> vfu_{}, pfu_{}, sts_{}, ack_{};
  hw::Bar bar_;
};

}  // namespace vigia::pf::test
