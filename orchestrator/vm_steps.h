// SPDX-License-Identifier: Apache-2.0
// The steps of `up` and `down`: named, timed, and ended by the user's Ctrl-C between two of them.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hw/result.h"
#include "orchestrator/vm_catalog.h"

namespace vigia::orch {

using Timings = std::vector<std::pair<std::string, double>>;  // seconds per step, in order

// What the life cycle needs of its surroundings; each has a default that does nothing.
struct LifeHooks {
  std::function<void(std::string_view)> step = [](std::string_view) {};  // "starting the domain", as it begins
  std::function<bool()> interrupted = [] { return false; };
  // Until the guest's service answers. Has its own deadline, and asks interrupted() and whether the domain still runs.
  std::function<Result<Done>(const VmMetadata&, const std::function<Result<bool>()>& runs)> wait_ready =
      [](const VmMetadata&, const auto&) { return Result<Done>(Done{}); };
  // port: mirrors_to() of the guest's VF.
  std::function<Result<Done>(const VmMetadata&, const std::string& port)> tell_mirrors =
      [](const VmMetadata&, const std::string&) { return Result<Done>(Done{}); };
  // Asks the guest to end what it does with everything written.
  std::function<Result<Done>(const VmMetadata&)> stop_guest = [](const VmMetadata&) { return Result<Done>(Done{}); };
};

class Steps {
 public:
  // Both must outlive it.
  Steps(const LifeHooks& hooks, Timings& timings) : hooks_(hooks), timings_(timings) {}

  // An error when the user wants to stop, else what work() returns.
  template <class Work>
  Result<Done> run(std::string_view name, Work work) {
    if (hooks_.interrupted()) return work_error("interrupted");
    return finish(name, work);
  }
  // The same for steps that must not be left out.
  template <class Work>
  Result<Done> finish(std::string_view name, Work work) {
    hooks_.step(name);
    const auto begin = std::chrono::steady_clock::now();
    auto done = work();
    timings_.emplace_back(name, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    return done;
  }

 private:
  const LifeHooks& hooks_;
  Timings& timings_;
};

}  // namespace vigia::orch
