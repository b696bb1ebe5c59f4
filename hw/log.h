// SPDX-License-Identifier: Apache-2.0
// Lines for the operator on stderr: "vigia-softnic: warning: vf3: ...". One write per line, so that lines of several
// processes do not mix. Libraries log only what an operator must know and no return value can carry.
#pragma once

#include <fmt/core.h>

#include <string_view>

namespace vigia::log {

enum class Level { debug, info, warning, error };

// Set once by main() before any thread starts.
void set_program(std::string_view name);
void set_level(Level lowest_shown);

void line(Level level, std::string_view text);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  line(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  line(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  line(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  line(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace vigia::log
