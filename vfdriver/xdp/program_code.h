// SPDX-License-Identifier: Apache-2.0
// The XDP program, in the machine's instructions: so few that a compiler for them would be the larger thing.
#pragma once

#include <linux/bpf.h>

#include <optional>
#include <vector>

namespace vigia::vf::xdp {

struct ProgramMaps {
  int sockets;  // XSKMAP, by queue
  int counts;   // array of 64 bits, by queue: frames directed to its socket
  int misses;   // array of 64 bits, one: frames that there was no room before for a note
};

// What a program does beside handing frames over.
enum class Work {
  note,   // counts frames and writes a FrameNote before each
  count,  // counts them
  none    // for a kernel that takes no more (before 5.12)
};

std::vector<bpf_insn> code_for(const ProgramMaps& maps, Work work);

}  // namespace vigia::vf::xdp
