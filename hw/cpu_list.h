// SPDX-License-Identifier: Apache-2.0
// Lists of CPUs as the kernel writes them and people type them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigia::hw {

// "0-3,8", with or without a newline: in rising order, each once. Empty text is an empty list; nullopt: not such a
// list, or beyond CPU 4095.
std::optional<std::vector<unsigned>> parse_cpu_list(std::string_view text);
// "0-3,8".
std::string cpu_list_text(std::vector<unsigned> cpus);

}  // namespace vigia::hw
