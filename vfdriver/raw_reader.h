// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "vfdriver/reader.h"

namespace vigia::vf {

// One RAW file, or the files of a directory in their order. Not empty.
Result<std::unique_ptr<FrameReader>> open_raw(std::vector<std::filesystem::path> files);

}  // namespace vigia::vf
