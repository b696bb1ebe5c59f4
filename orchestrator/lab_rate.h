// SPDX-License-Identifier: Apache-2.0
// Rates as a lab file writes them. softnic is their judge; this knows enough to refuse slips and to be patient.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vigia::orch {

struct LabRate {
  enum class Kind { maximum, original, packets, bits };
  Kind kind = Kind::maximum;
  double value = 1;  // times, frames per second, bits per second
};

// "max", "2.5x", "10kpps", "3gbps"; nothing for everything else.
std::optional<LabRate> parse_rate(std::string_view text);

// How long a wire of this rate may send nothing while all is well. longest_gap_ns: of the capture.
std::chrono::milliseconds longest_silence(const LabRate& rate, std::uint64_t longest_gap_ns);

}  // namespace vigia::orch
