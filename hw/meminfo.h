// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace vigia::hw {

// Bytes of a line "MemTotal:  16384 kB" of /proc/meminfo, or "Node 0 MemTotal: .." of a node's; name: "MemTotal:".
// Empty: there is no such line, or no such file.
std::optional<std::uint64_t> memory_field(const std::filesystem::path& file, std::string_view name);

}  // namespace vigia::hw
