// SPDX-License-Identifier: Apache-2.0
#include "hw/meminfo.h"

#include <fstream>
#include <sstream>
#include <string>

namespace vigia::hw {

std::optional<std::uint64_t> memory_field(const std::filesystem::path& file, std::string_view name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const auto at = line.find(name);
    if (at == std::string::npos) continue;
    std::uint64_t kib = 0;
    std::istringstream rest(line.substr(at + name.size()));
    if (!(rest >> kib)) return std::nullopt;
    return kib << 10;
  }
  return std::nullopt;
}

}  // namespace vigia::hw
