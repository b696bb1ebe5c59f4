// SPDX-License-Identifier: Apache-2.0
#include "hw/log.h"

#include <unistd.h>

#include <array>
#include <string>

namespace vigia::log {
namespace {

std::string program = "vigia";
Level lowest = Level::info;
constexpr std::array kNames{"debug: ", "", "warning: ", "error: "};

}  // namespace

void set_program(std::string_view name) { program = name; }
void set_level(Level lowest_shown) { lowest = lowest_shown; }

void line(Level level, std::string_view text) {
  if (level < lowest) return;
  const std::string out = fmt::format("{}: {}{}\n", program, kNames[static_cast<std::size_t>(level)], text);
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, out.data(), out.size());
}

}  // namespace vigia::log
