// SPDX-License-Identifier: Apache-2.0
// What the host commands share at the command line.
#pragma once

#include <atomic>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "hw/result.h"
#include "orchestrator/libvirt_host.h"

namespace vigia::orch {

// SIGINT, SIGTERM and SIGHUP ask the work to end; SIGPIPE is ignored, so that a reader of our output that leaves does
// not leave things behind.
void catch_signals();
const std::atomic<bool>& interrupted();

// Logs the error, with json prints it as an object too, and says what the process ends with.
int report_error(const Error& error, bool json);
// On stdout, indented. Text that is no UTF-8 is replaced.
void print_json(const nlohmann::ordered_json& object);

// --uri, else $LIBVIRT_DEFAULT_URI, else qemu:///system.
std::string default_uri();

// "waiting for the guest ... 12.3 s" on a terminal, a line per step elsewhere; nothing when quiet.
class StepLine {
 public:
  explicit StepLine(bool quiet) : quiet_(quiet) {}
  ~StepLine() { clear(); }
  StepLine(const StepLine&) = delete;
  StepLine& operator=(const StepLine&) = delete;

  void show(std::string_view vm, std::string_view step);
  void clear();

 private:
  bool quiet_, shown_ = false;
};

}  // namespace vigia::orch
