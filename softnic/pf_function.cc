// SPDX-License-Identifier: Apache-2.0
// BAR0 of the PF: the register file and what its registers make the device do.
#include "hw/ixgbe/mailbox.h"
#include "softnic/eeprom.h"
#include "softnic/function_base.h"

namespace vigia::softnic {

using namespace hw::ixgbe;

namespace {

// FRTIMER counts microseconds here; the datasheet leaves the unit to the link speed.
constexpr std::uint64_t kTimerNs = 1000;
constexpr std::uint32_t kQueueIndexMask = 0x7f;

}  // namespace

PfFunction::PfFunction(Chip& chip) : FunctionBase(chip, *chip.pf_core, {pf::kBarSize, -1, {}}, 4) {}

std::uint32_t PfFunction::read_register(std::uint32_t offset) {
  RegisterFile& r = chip_.registers;
  const RegisterFile::Hit hit = r.classify(offset);
  switch (hit.effect) {
    case Effect::timer:
      return static_cast<std::uint32_t>(chip_.now_ns / kTimerNs);
    case Effect::mailbox:
      return chip_.mailboxes->pf_read(hit.index);
    case Effect::mailbox_view:
      return chip_.mailboxes->vf_view(hit.index);
    case Effect::rx_ring:
      chip_.sync_rx(hit.index);
      break;
    case Effect::tx_ring:
      chip_.sync_tx(hit.index);
      break;
    case Effect::queue_drop_enable: {
      const std::uint32_t value = r.read(offset);
      return (value & ~Pfqde::qde) | r.get(internal::QDE, value >> Pfqde::index_shift & kQueueIndexMask);
    }
    case Effect::rate_limit:
      return r.get(internal::RATE, r.get(pf::RTTDQSEL) & kQueueIndexMask);
    case Effect::vflr_clear:
      return r.get(pf::PFVFLRE, hit.index);
    case Effect::eeprom_lines: {
      const std::uint32_t lines = r.read(offset);
      return lines | ((lines & Eec::request) != 0 ? Eec::grant : 0) | (eeprom_.data_out() ? Eec::data_out : 0);
    }
    case Effect::module_lines: {
      const std::uint32_t lines = r.read(offset);
      return lines | ((lines & I2cctl::clock_out) != 0 ? I2cctl::clock_in : 0) | (module_.data() ? I2cctl::data_in : 0);
    }
    default:
      break;
  }
  return r.read(offset);
}

void PfFunction::write_register(std::uint32_t offset, std::uint32_t value) {
  const RegisterFile::Hit hit = chip_.registers.classify(offset);
  const std::uint32_t before = hit.effect == Effect::control_ext ? chip_.registers.peek(offset) : 0;
  chip_.registers.write(offset, value);
  if (hit.effect != Effect::none) carry_out(hit, offset, value, before);
}

void PfFunction::carry_out(const RegisterFile::Hit& hit, std::uint32_t offset, std::uint32_t value,
                           std::uint32_t before) {
  switch (hit.effect) {
    case Effect::control:
      if ((value & (Ctrl::rst | Ctrl::lrst)) != 0) {
        chip_.reset_pf();  // clears both bits
      } else {
        chip_.update_status();
      }
      return;
    case Effect::control_ext:
      if ((value & ~before & CtrlExt::pfrstd) != 0) chip_.mailboxes->pf_reset_done();
      return;
    case Effect::queue_layout:
      chip_.rebind_queues();
      chip_.filters_dirty = true;
      return;
    case Effect::filters:
    case Effect::transmit:
      chip_.filters_dirty = true;
      return;
    case Effect::rx_ring:
      return chip_.sync_rx(hit.index);
    case Effect::tx_ring:
      return chip_.sync_tx(hit.index);
    case Effect::interrupt_mask:
      return chip_.interrupts->pf_unmasked();
    case Effect::interrupt_cause:
      if (offset != pf::EICS.at()) return chip_.interrupts->raise_pf_extended(hit.index, value);
      return chip_.interrupts->raise_pf(value);
    case Effect::vf_interrupt_mask:
    case Effect::vf_interrupt_cause:
      return chip_.interrupts->vf_unmasked(hit.index);
    case Effect::vf_control:
      if ((value & Ctrl::rst) != 0 && hit.index < chip_.vfs()) chip_.reset_vf(hit.index);
      return;
    case Effect::mailbox:
      return chip_.mailboxes->pf_write(hit.index, value);
    case Effect::restart_link:
      if ((value & Autoc::restart_an) != 0) chip_.interrupts->raise_pf(Eicr::lsc);
      return;
    case Effect::eeprom_lines:
      return eeprom_.drive((value & Eec::select) != 0, (value & Eec::clock) != 0, (value & Eec::data_in) != 0);
    case Effect::module_lines:
      return module_.drive((value & I2cctl::clock_out) != 0, (value & I2cctl::data_out) != 0);
    case Effect::queue_drop_enable:
    case Effect::rate_limit:
    case Effect::eeprom_read:
      return write_indirect(hit, value);
    case Effect::none:
    case Effect::mailbox_view:
    case Effect::vflr_clear:
    case Effect::timer:
      return;
  }
}

void PfFunction::write_indirect(const RegisterFile::Hit& hit, std::uint32_t value) {
  RegisterFile& r = chip_.registers;
  if (hit.effect == Effect::queue_drop_enable) {
    const std::uint32_t queue = value >> Pfqde::index_shift & kQueueIndexMask;
    if ((value & Pfqde::we) == 0) return;
    r.set(internal::QDE, queue, value & Pfqde::qde);
    chip_.sync_rx(queue);
  } else if (hit.effect == Effect::rate_limit) {
    const std::uint32_t queue = r.get(pf::RTTDQSEL) & kQueueIndexMask;
    r.set(internal::RATE, queue, value);
    chip_.tx[queue].limit((value & Rttbcnrc::enable) != 0 ? value & Rttbcnrc::factor_mask : 0);
  } else if ((value & Eerd::start) != 0) {
    const std::uint32_t address = value & Eerd::address_mask;
    const std::uint32_t word = eeprom_word(address >> Eerd::address_shift);
    r.set(pf::EERD, 0, word << Eerd::data_shift | address | Eerd::done);
  }
}

void PfFunction::reset_function() { chip_.reset_pf(); }

void PfFunction::config_wish(const ConfigSpace::Wish& wish) {
  if (wish.vfs_disabled) {
    for (unsigned v = 0; v < chip_.vfs(); ++v) chip_.reset_vf(v);
  }
  if (wish.iov_changed) chip_.update_status();
}

}  // namespace vigia::softnic
