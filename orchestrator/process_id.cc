// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/process_id.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>

namespace vigia::orch {

std::optional<ProcessId> ProcessId::of(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  const std::string stat{std::istreambuf_iterator<char>(in), {}};
  // Field 2, the name, may hold anything, also ")"; field 3 begins behind the last one.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string skipped, state;
  fields >> state;
  if (state == "Z") return std::nullopt;  // it has ended
  for (int field = 4; field < 22; ++field) fields >> skipped;
  ProcessId out{pid, 0};
  if (!(fields >> out.start)) return std::nullopt;
  return out;
}

ProcessId ProcessId::self() { return of(::getpid()).value_or(ProcessId{::getpid(), 0}); }

std::optional<ProcessId> ProcessId::parse(std::string_view text) {
  std::istringstream in{std::string(text)};
  ProcessId out;
  std::string rest;
  if (!(in >> out.pid >> out.start) || in >> rest || out.pid <= 0) return std::nullopt;
  return out;
}

std::string ProcessId::text() const { return fmt::format("{} {}", pid, start); }

bool ProcessId::alive() const { return of(pid) == *this; }

}  // namespace vigia::orch
