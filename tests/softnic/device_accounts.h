// SPDX-License-Identifier: Apache-2.0
// The equations that softnic's accounts must satisfy at any time between bursts (architecture 5.6, stages 1 to 3).
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace vigia::softnic::kit {

// The first equation that does not hold, in words, or empty.
inline std::string broken_account(const std::map<std::string, std::uint64_t>& a, unsigned vfs) {
  const auto n = [&](const std::string& name) { return a.at(name); };
  if (n("wire.sent") != n("wire.accepted") + n("wire.filtered_l2") + n("wire.filtered_vlan") +
                            n("wire.filtered_oversize") + n("wire.filtered_disabled") + n("wire.missed")) {
    return "wire: sent is not the sum of its fates";
  }
  if (n("wire.accepted") != n("switch.routed") + n("switch.no_pool") + n("buffer.left")) {
    return "switch: accepted is not routed + no_pool + left";
  }
  std::uint64_t copies = 0, mirrored = 0, sent = 0, dropped = 0;
  for (unsigned f = 0; f <= vfs; ++f) {
    const std::string p = f < vfs ? "vf" + std::to_string(f) + "." : "pf.";
    if (n(p + "copies") != n(p + "written") + n(p + "no_descriptor") + n(p + "queue_disabled") + n(p + "dma_fault")) {
      return p + "copies is not the sum of their fates";
    }
    copies += n(p + "copies");
    mirrored += n(p + "mirror_copies");
    sent += n(p + "tx_sent");
    dropped += n(p + "tx_dropped");
  }
  if (copies != n("switch.copies") || mirrored != n("switch.mirror_copies")) return "copies differ from the pools' sum";
  if (n("tx.sent") != n("tx.wire_only") + n("tx.local_only") + n("tx.wire_and_local") + n("tx.nowhere") +
                          n("tx.spoofed") + n("tx.refused") + n("tx.malformed")) {
    return "tx: sent is not the sum of its fates";
  }
  if (sent != n("tx.sent") || dropped != n("tx.spoofed") + n("tx.refused") + n("tx.malformed")) {
    return "tx differs from the functions' sum";
  }
  return {};
}

}  // namespace vigia::softnic::kit
