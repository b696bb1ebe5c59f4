// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/replace_text.h"

#include <fmt/format.h>

#include <fstream>

namespace vigia::vf {

Result<Done> replace_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::path half = path;
  half += ".part";
  {
    std::ofstream out(half);
    out << text;
    if (!out.flush()) return os_error("write " + half.string());
  }
  std::error_code error;
  std::filesystem::rename(half, path, error);
  if (error) return work_error(fmt::format("rename {} to {}: {}", half.string(), path.string(), error.message()));
  return Done{};
}

}  // namespace vigia::vf
