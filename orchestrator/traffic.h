// SPDX-License-Identifier: Apache-2.0
// Turns a capture into the wire's traffic: each frame goes to the tenant whose filter takes it first, or to nobody.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hw/mac.h"
#include "hw/result.h"

namespace vigia::orch {

struct Receiver {
  hw::Mac mac;
  std::string match;  // libpcap filter; empty: takes nothing
};

struct Share {
  std::uint64_t frames = 0, bytes = 0;  // bytes as on the wire of the capture, before padding
};

struct PreparedTraffic {
  std::vector<Share> receivers;  // in the order given
  Share unmatched, total;
  std::uint64_t longest_gap_ns = 0;  // between stamps of neighbours: how long a wire at original rate may be silent
};

// Writes `to`, a nanosecond pcap: the frames of `from` in order with their stamps and wire lengths, the destination
// address replaced by the receiver's or by nobody's; all else, the source address too, is kept. A record that holds
// less than an Ethernet header is filled with zeros up to one, as the wire would pad it. stop is asked now and then;
// when it says so the work ends with an error. Input errors: from, filters. Other errors: writing.
Result<PreparedTraffic> prepare_traffic(const std::filesystem::path& from, const std::filesystem::path& to,
                                        const std::vector<Receiver>& receivers, const hw::Mac& nobody,
                                        const std::function<bool()>& stop);

}  // namespace vigia::orch
