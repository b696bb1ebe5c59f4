// SPDX-License-Identifier: Apache-2.0
#include "softnic/interrupts.h"

#include <bit>

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;

std::uint64_t interval_ns(std::uint32_t eitr) {
  return std::uint64_t{(eitr & Eitr::interval_mask) >> Eitr::interval_shift} * Eitr::interval_unit_ns;
}

}  // namespace

Interrupts::Interrupts(RegisterFile& registers, Msix& pf, std::vector<Msix*> vfs)
    : regs_(registers), pf_(pf), vfs_(std::move(vfs)) {}

bool Interrupts::tick(std::uint64_t now_ns) {
  now_ns_ = now_ns;
  if (!held_) return false;
  held_ = pf_.fire_due(now_ns);
  for (Msix* vf : vfs_) held_ = vf->fire_due(now_ns) || held_;
  return held_;
}

void Interrupts::raise_pf(std::uint32_t causes) {
  regs_.set(pf::EICR, 0, regs_.get(pf::EICR) | causes);
  fire_pf(causes);
}

void Interrupts::raise_pf_queue(unsigned queue, bool transmit) {
  const std::uint32_t entry = regs_.get(pf::IVAR, queue / 2) >> (16 * (queue % 2) + (transmit ? 8 : 0));
  if ((entry & Ivar::valid) == 0) return;
  const unsigned vector = entry & 0x3f;
  if (vector < 16) {
    raise_pf(1u << vector);
  } else {
    raise_pf_extended(vector / 32, 1u << vector % 32);
  }
}

void Interrupts::raise_pf_extended(unsigned word, std::uint32_t vectors) {
  const std::uint64_t causes = std::uint64_t{vectors} << (32 * word);
  extended_causes_ |= causes & ~std::uint64_t{Eicr::queue_causes};
  fire_pf_extended();
  if (const auto low = static_cast<std::uint32_t>(causes & Eicr::queue_causes)) raise_pf(low);
}

void Interrupts::pf_unmasked() {
  fire_pf(regs_.get(pf::EICR));
  fire_pf_extended();
}

void Interrupts::signal_pf(unsigned vector) {
  pf_.signal(vector, now_ns_, interval_ns(regs_.get(pf::EITR, vector)));
  held_ = true;  // tick() finds out whether it is
}

void Interrupts::fire_pf(std::uint32_t causes) {
  // In MSI-X mode the low 16 bits of EIMS are those of EIMS_EX(0) too.
  const std::uint32_t mask = regs_.get(pf::EIMS) | (regs_.get(pf::EIMS_EX, 0) & Eicr::queue_causes);
  const std::uint32_t active = causes & mask;
  if (active == 0) return;
  const std::uint32_t gpie = regs_.get(pf::GPIE);
  if ((gpie & Gpie::msix_mode) == 0) {
    signal_pf(0);
    return;
  }
  for (std::uint32_t rest = active & Eicr::queue_causes; rest != 0; rest &= rest - 1) {
    signal_pf(static_cast<unsigned>(std::countr_zero(rest)));
  }
  const std::uint32_t misc = regs_.get(pf::IVAR_MISC) >> IvarMisc::other_shift;
  if ((active & ~Eicr::queue_causes) != 0 && (misc & Ivar::valid) != 0) signal_pf(misc & 0x3f);
  regs_.set(pf::EICR, 0, regs_.get(pf::EICR) & ~(active & regs_.get(pf::EIAC)));
  if ((gpie & Gpie::eiame) != 0) {
    regs_.set(pf::EIMS, 0, regs_.get(pf::EIMS) & ~(active & regs_.get(pf::EIAM)));
    regs_.set(pf::EIMS_EX, 0, regs_.get(pf::EIMS_EX, 0) & ~(active & regs_.get(pf::EIAM_EX, 0) & Eicr::queue_causes));
  }
}

void Interrupts::fire_pf_extended() {
  const std::uint64_t mask = regs_.get(pf::EIMS_EX, 0) | std::uint64_t{regs_.get(pf::EIMS_EX, 1)} << 32;
  const std::uint64_t active = extended_causes_ & mask;
  const bool auto_mask = (regs_.get(pf::GPIE) & Gpie::eiame) != 0;
  for (std::uint64_t rest = active; rest != 0; rest &= rest - 1) {
    const auto vector = static_cast<unsigned>(std::countr_zero(rest));
    signal_pf(vector);
    const std::uint32_t bit = 1u << vector % 32, word = vector / 32;
    if (auto_mask && (regs_.get(pf::EIAM_EX, word) & bit) != 0) {
      regs_.set(pf::EIMS_EX, word, regs_.get(pf::EIMS_EX, word) & ~bit);
    }
  }
  extended_causes_ &= ~active;
}

void Interrupts::raise_vf_mailbox(unsigned vf) {
  const std::uint32_t entry = regs_.get(pf::VTIVAR_MISC, vf);
  if ((entry & Ivar::valid) != 0) raise_vf(vf, 1u << (entry & 3));
}

void Interrupts::raise_vf_queue(unsigned vf, unsigned queue, bool transmit) {
  const unsigned word = queue / 2;
  const std::uint32_t ivar = word == 0 ? regs_.get(pf::VTIVAR, vf) : regs_.get(internal::VTIVAR_123, 3 * vf + word - 1);
  const std::uint32_t entry = ivar >> (16 * (queue % 2) + (transmit ? 8 : 0));
  if ((entry & Ivar::valid) != 0) raise_vf(vf, 1u << (entry & 3));
}

void Interrupts::raise_vf(unsigned vf, std::uint32_t vectors) {
  regs_.set(pf::VTEICR, vf, regs_.get(pf::VTEICR, vf) | vectors);
  fire_vf(vf, vectors);
}

void Interrupts::vf_unmasked(unsigned vf) { fire_vf(vf, regs_.get(pf::VTEICR, vf)); }

void Interrupts::fire_vf(unsigned vf, std::uint32_t vectors) {
  const std::uint32_t active = vectors & regs_.get(pf::VTEIMS, vf);
  if (active == 0 || vf >= vfs_.size()) return;
  for (unsigned vector = 0; vector < vfs_[vf]->count(); ++vector) {
    if ((active >> vector & 1) == 0) continue;
    vfs_[vf]->signal(vector, now_ns_, interval_ns(regs_.get(internal::VTEITR, 3 * vf + vector)));
    held_ = true;
  }
  regs_.set(pf::VTEICR, vf, regs_.get(pf::VTEICR, vf) & ~(active & regs_.get(pf::VTEIAC, vf)));
  // A VF has no GPIE: its auto-mask works whatever the PF chose for itself.
  regs_.set(pf::VTEIMS, vf, regs_.get(pf::VTEIMS, vf) & ~(active & regs_.get(pf::VTEIAM, vf)));
}

void Interrupts::reset_pf() { extended_causes_ = 0; }

void Interrupts::reset_vf(unsigned vf) {
  for (const std::uint32_t offset : {pf::VTEICR.at(vf), pf::VTEIMS.at(vf), pf::VTEIAC.at(vf), pf::VTEIAM.at(vf),
                                     pf::VTIVAR.at(vf), pf::VTIVAR_MISC.at(vf)}) {
    regs_.poke(offset, 0);
  }
  for (unsigned i = 0; i < 3; ++i) {
    regs_.set(internal::VTIVAR_123, 3 * vf + i, 0);
    regs_.set(internal::VTEITR, 3 * vf + i, 0);
  }
}

}  // namespace vigia::softnic
