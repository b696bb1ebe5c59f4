// SPDX-License-Identifier: Apache-2.0
// Times as people give them on a command line. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hw/result.h"

namespace vigia::hw {

// "10s", "5m", "500ms", "1m30s", "2h", "1d": nanoseconds, above 0. Input error with the word for anything else.
Result<std::uint64_t> parse_span(std::string_view text);
// "now", "now-30s", or RFC 3339 with its zone: "2026-11-21T05:00:00.5Z", "2026-11-21T06:00:00+01:00". Nanoseconds since
// 1970.
Result<std::uint64_t> parse_time(std::string_view text, std::uint64_t now_ns);

struct TimeWindow {
  std::optional<std::uint64_t> last_ns, from_ns, to_ns;  // as in a pull request, but in the host's clock
};
// Empty texts: not given. Refuses windows that hold nothing.
Result<TimeWindow> parse_window(std::string_view last, std::string_view from, std::string_view to,
                                std::uint64_t now_ns);

}  // namespace vigia::hw
