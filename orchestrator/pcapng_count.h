// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

#include "hw/result.h"

namespace vigia::orch {

struct PcapngCount {
  std::uint64_t frames = 0;
  bool complete = true;  // false: the file ends within a block, as when its writer was killed
};

// Counts the frames that a reader finds in a pcapng file, by walking its blocks. Foreign bytes: every length is
// checked.
Result<PcapngCount> count_pcapng(const std::filesystem::path& file);

}  // namespace vigia::orch
