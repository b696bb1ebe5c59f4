// SPDX-License-Identifier: Apache-2.0
// Small files that a crash leaves whole: the old text or the new one.
#pragma once

#include <filesystem>
#include <string>

#include "hw/result.h"

namespace vigia::pf {

// Replaces the file; on the disk when this returns. For its owner only.
Result<Done> write_durably(const std::filesystem::path& file, const std::string& text);

}  // namespace vigia::pf
