// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/guest_ready.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "orchestrator/child.h"
#include "orchestrator/guest_shell.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {
namespace {

using namespace std::chrono_literals;

std::string console_of(const VmMetadata& vm) {
  for (const std::string& file : vm.files) {
    if (file.ends_with(".console.log")) return file;
  }
  return {};
}

bool is_tenant(const VmMetadata& vm) { return vm.kind == word(VmKind::tenant); }

// One try, short enough to look around between two.
Result<Done> ask(const VmMetadata& vm, const std::function<bool()>& interrupted) {
  if (is_tenant(vm)) {
    const auto answer = run_in_guest(vm.channel, "true", 2s, interrupted);
    return answer ? Result<Done>(Done{}) : Result<Done>(answer.error());
  }
  return Done{};
}

}  // namespace

Result<Done> wait_for_guest(const VmMetadata& vm, std::chrono::milliseconds limit,
                            const std::function<bool()>& interrupted) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto answer = ask(vm, interrupted);
    if (answer) return answer;
    if (interrupted()) return work_error("interrupted");
    if (std::chrono::steady_clock::now() >= deadline) {
      return Error{
          std::errc::timed_out,
          fmt::format("the guest's service did not answer within {} s ({}); the end of its console, {}:\n{}",
                      limit.count() / 1000, answer.error().text, console_of(vm), last_lines(console_of(vm), 8))};
    }
    std::this_thread::sleep_for(100ms);
  }
}

Result<Done> stop_guest_service(const VmMetadata& vm) {
  (void)vm;
  return Done{};
}

}  // namespace vigia::orch
