// SPDX-License-Identifier: Apache-2.0
// What a tenant sends: the frames of a capture, or one frame many times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"

namespace vigia::vf {

struct Traffic {
  std::vector<std::vector<std::byte>> frames;  // without FCS; sent in turn
  std::uint64_t count = 0;                     // frames to send in all
  std::uint64_t zero_filled = 0;               // of frames: the capture held them in part, the rest is zeros

  // Gives every frame this source address: the switch's anti-spoofing drops others.
  void set_source(const hw::Mac& mac);
};

// "gen:count=N,size=S,dst=MAC" (size with FCS, 64..max_frame) or the path of a pcap or pcapng file of Ethernet frames,
// which is read as a whole. max_frame: bytes with FCS. Anything wrong is an input error and names file and frame.
Result<Traffic> load_traffic(std::string_view spec, std::uint32_t max_frame);

}  // namespace vigia::vf
