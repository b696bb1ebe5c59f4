// SPDX-License-Identifier: Apache-2.0
// From causes to MSI-X vectors: EICR, EIMS, EIAC, EIAM, IVAR of the PF and their VT twins of each VF (82599 datasheet
// 7.3). A masked cause waits in EICR and is signalled when it is unmasked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "softnic/msix.h"
#include "softnic/registers.h"

namespace vigia::softnic {

class Interrupts {
 public:
  // None of them is owned.
  Interrupts(RegisterFile& registers, Msix& pf, std::vector<Msix*> vfs);

  // The clock of the throttles, ns. Fires what they held back; true while some still is.
  bool tick(std::uint64_t now_ns);

  // Causes 16..31 of EICR (mailbox, link, ..) and software's EICS.
  void raise_pf(std::uint32_t causes);
  void raise_pf_queue(unsigned queue, bool transmit);
  void raise_vf_mailbox(unsigned vf);
  void raise_vf_queue(unsigned vf, unsigned queue_in_pool, bool transmit);
  void raise_vf(unsigned vf, std::uint32_t vectors);

  // Software's EICS_EX(word): causes of vectors 32 * word + bit.
  void raise_pf_extended(unsigned word, std::uint32_t vectors);
  // After EIMS or EIMS_EX was written.
  void pf_unmasked();
  void vf_unmasked(unsigned vf);

  // What reset of a function takes back.
  void reset_pf();
  void reset_vf(unsigned vf);

 private:
  void fire_pf(std::uint32_t causes);
  void fire_pf_extended();
  void fire_vf(unsigned vf, std::uint32_t vectors);
  void signal_pf(unsigned vector);

  RegisterFile& regs_;
  Msix& pf_;
  std::vector<Msix*> vfs_;
  std::uint64_t extended_causes_ = 0;  // vectors 16..63, which EICR has no bit for
  std::uint64_t now_ns_ = 0;
  bool held_ = false;
};

}  // namespace vigia::softnic
