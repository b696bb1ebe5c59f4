// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/guest_ready.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "orchestrator/child.h"
#include "orchestrator/guest_channel.h"
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
  auto probe = GuestChannel::connect(vm.channel, 1s);
  if (!probe) return probe.error();
  const auto said = probe->status();
  if (!said) return said.error();
  // The service answers some seconds before it has the device: what came until then would be missed in silence.
  const auto status = nlohmann::json::parse(*said, nullptr, false);
  if (status.is_object() && status.value("state", "") == "waiting") {
    return work_error("it answers, but does not capture yet: " + status.value("why", ""));
  }
  return Done{};
}

}  // namespace

Result<Done> wait_for_guest(const VmMetadata& vm, std::chrono::milliseconds limit,
                            const std::function<bool()>& interrupted, const std::function<Result<bool>()>& runs) {
  const auto console = [&] {
    return fmt::format("the end of its console, {}:\n{}", console_of(vm), last_lines(console_of(vm), 8));
  };
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    auto answer = ask(vm, interrupted);
    if (answer) return answer;
    if (interrupted()) return work_error("interrupted");
    const auto alive = runs();
    if (!alive) return alive.error();
    if (!*alive) return work_error("its QEMU ended before the guest's service was ready; " + console());
    if (std::chrono::steady_clock::now() >= deadline) {
      return Error{std::errc::timed_out, fmt::format("the guest's service is not ready within {} s ({}); {}",
                                                     limit.count() / 1000, answer.error().text, console())};
    }
    std::this_thread::sleep_for(100ms);
  }
}

Result<std::string> ask_status(const VmMetadata& vm) {
  if (is_tenant(vm)) {
    const auto answer = run_in_guest(vm.channel, "ip -json -s link", 5s, [] { return false; });
    if (!answer) return answer.error();
    return "{\"links\":" + answer->output + "}";
  }
  auto probe = GuestChannel::connect(vm.channel, 5s);
  return probe ? probe->status() : Result<std::string>(probe.error());
}

Result<Done> tell_guest_mirrors(const VmMetadata& vm, const std::string& port) {
  auto probe = GuestChannel::connect(vm.channel, 5s);
  return probe ? probe->tell_mirrors(port) : Result<Done>(probe.error());
}

Result<Done> stop_guest_service(const VmMetadata& vm) {
  if (is_tenant(vm)) return Done{};
  auto probe = GuestChannel::connect(vm.channel, 5s);
  if (!probe) return probe.error();
  const auto stopped = probe->stop_capture(30s);
  return stopped ? Result<Done>(Done{}) : Result<Done>(stopped.error());
}

}  // namespace vigia::orch
