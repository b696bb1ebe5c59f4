// SPDX-License-Identifier: Apache-2.0
#include "softnic/mailbox.h"

#include "hw/ixgbe/mailbox.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;
namespace VfBit = mbx::VfBit;
namespace PfBit = mbx::PfBit;

constexpr unsigned kPerCauseRegister = 16, kPerMaskRegister = 32;

}  // namespace

std::uint32_t Mailboxes::vf_read(unsigned vf) {
  const std::uint32_t value = bits_[vf];
  bits_[vf] &= ~VfBit::read_to_clear;
  return value;
}

std::uint32_t Mailboxes::vf_view(unsigned vf) const { return bits_[vf]; }

void Mailboxes::vf_write(unsigned vf, std::uint32_t value) {
  std::uint32_t& bits = bits_[vf];
  if ((value & VfBit::vfu) == 0) {
    bits &= ~VfBit::vfu;
  } else if ((bits & VfBit::pfu) == 0) {
    bits |= VfBit::vfu;
  }
  const unsigned shift = vf % kPerCauseRegister;
  std::uint32_t cause = 0;
  if ((value & VfBit::req) != 0) cause |= 1u << shift;
  if ((value & VfBit::ack) != 0) cause |= 1u << (shift + kPerCauseRegister);
  if (cause == 0) return;
  const unsigned word = vf / kPerCauseRegister;
  regs_.set(pf::PFMBICR, word, regs_.get(pf::PFMBICR, word) | cause);
  if ((regs_.get(pf::PFMBIMR, vf / kPerMaskRegister) >> vf % kPerMaskRegister & 1) != 0) {
    interrupts_.raise_pf(Eicr::mailbox);
  }
}

std::uint32_t Mailboxes::pf_read(unsigned vf) const {
  std::uint32_t value = 0;
  if ((bits_[vf] & VfBit::vfu) != 0) value |= PfBit::vfu;
  if ((bits_[vf] & VfBit::pfu) != 0) value |= PfBit::pfu;
  return value;
}

void Mailboxes::pf_write(unsigned vf, std::uint32_t value) {
  std::uint32_t& bits = bits_[vf];
  if ((value & PfBit::rvfu) != 0) {
    bits &= ~VfBit::vfu;
    const unsigned word = vf / kPerCauseRegister, shift = vf % kPerCauseRegister;
    const std::uint32_t both = (1u | 1u << kPerCauseRegister) << shift;
    regs_.set(pf::PFMBICR, word, regs_.get(pf::PFMBICR, word) & ~both);
  }
  if ((value & PfBit::pfu) == 0) {
    bits &= ~VfBit::pfu;
  } else if ((bits & VfBit::vfu) == 0) {
    bits |= VfBit::pfu;
  }
  if ((value & PfBit::sts) != 0) bits |= VfBit::pfsts;
  if ((value & PfBit::ack) != 0) bits |= VfBit::pfack;
  if ((value & (PfBit::sts | PfBit::ack)) != 0) interrupts_.raise_vf_mailbox(vf);
}

void Mailboxes::pf_reset() { bits_.fill(VfBit::rsti); }

void Mailboxes::pf_reset_done() {
  for (std::uint32_t& bits : bits_) bits = (bits & ~VfBit::rsti) | VfBit::rstd;
}

void Mailboxes::vf_reset(unsigned vf) { bits_[vf] &= VfBit::rsti; }

}  // namespace vigia::softnic
