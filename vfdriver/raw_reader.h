// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "vfdriver/reader.h"

namespace vigia::vf {

// One RAW file, or the files of a directory in their order. Not empty.
Result<std::unique_ptr<FrameReader>> open_raw(std::vector<std::filesystem::path> files);
// What of one RAW file lies between two offsets; begin is a record boundary. A record that end cuts is left out.
Result<std::unique_ptr<FrameReader>> open_raw_part(const std::filesystem::path& file, std::uint64_t begin,
                                                   std::uint64_t end);

}  // namespace vigia::vf
