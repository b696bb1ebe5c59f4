// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "hw/result.h"

namespace vigia::vf {

// Writes a file that others read meanwhile: they see all of it, or what was there before.
Result<Done> replace_text(const std::filesystem::path& path, const std::string& text);

}  // namespace vigia::vf
