// SPDX-License-Identifier: Apache-2.0
// A process by number and start time, so that a number that the kernel gives out again is not mistaken for it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vigia::orch {

struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start = 0;  // clock ticks since boot (proc(5), field 22 of stat)

  static ProcessId self();
  // nullopt: there is no such process.
  static std::optional<ProcessId> of(pid_t pid);
  static std::optional<ProcessId> parse(std::string_view text);
  std::string text() const;  // "1234 567890"
  bool alive() const;
  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

}  // namespace vigia::orch
