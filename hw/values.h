// SPDX-License-Identifier: Apache-2.0
// Values as people type them, on a command line or in a file.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "hw/result.h"

namespace vigia::hw {

// "256M", "2GiB", "4096": bytes, with K, M, G, T for powers of 1024. Input error with the word for anything else.
Result<std::uint64_t> parse_size(std::string_view text);
// "10m", "90s", "500ms", "2h", "30" (seconds). More than 0.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// "1.5 MiB", "312 B".
std::string size_text(std::uint64_t bytes);
// "64M", "1G", "1500": exact, and parse_size() gives the same number back.
std::string size_word(std::uint64_t bytes);
// "12.3 M", "950": counts for people.
std::string count_text(double count);

}  // namespace vigia::hw
