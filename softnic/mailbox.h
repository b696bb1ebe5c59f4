// SPDX-License-Identifier: Apache-2.0
// The PF-VF mailboxes: VFMAILBOX and PFMAILBOX of each VF, bit by bit (reference 11.1). The message words are ordinary
// registers (PFMBMEM); policy is the drivers'.
#pragma once

#include <array>
#include <cstdint>

#include "softnic/interrupts.h"
#include "softnic/registers.h"

namespace vigia::softnic {

class Mailboxes {
 public:
  Mailboxes(RegisterFile& registers, Interrupts& interrupts) : regs_(registers), interrupts_(interrupts) { pf_reset(); }

  std::uint32_t vf_read(unsigned vf);        // clears PFSTS, PFACK and RSTD
  std::uint32_t vf_view(unsigned vf) const;  // the same for the PF, which clears nothing
  void vf_write(unsigned vf, std::uint32_t value);
  std::uint32_t pf_read(unsigned vf) const;
  void pf_write(unsigned vf, std::uint32_t value);

  void pf_reset();             // RSTI everywhere, everything else 0
  void pf_reset_done();        // CTRL_EXT.PFRSTD: RSTI off, RSTD on
  void vf_reset(unsigned vf);  // everything but RSTI

 private:
  RegisterFile& regs_;
  Interrupts& interrupts_;
  std::array<std::uint32_t, hw::ixgbe::pf::kPools> bits_{};  // VFMAILBOX as the VF reads it
};

}  // namespace vigia::softnic
