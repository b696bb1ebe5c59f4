// SPDX-License-Identifier: Apache-2.0
// Runs a lab: starts everybody, watches until every frame is where it belongs, stops everybody, draws the ledger.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/lab_setup.h"
#include "orchestrator/ledger.h"

namespace vigia::orch {

struct Death {
  std::string name, how;
  double after_s = 0;  // since the lab's start
};

struct LabTimings {
  double start_s = 0;  // until everybody was ready
  double run_s = 0;    // until all was taken
  double stop_s = 0;
};

struct LabResult {
  LedgerInput input;
  Ledger ledger;
  Counters softnic;                   // empty when its counter file cannot be read
  std::vector<Death> died;            // killed or ended without being told to
  std::vector<std::string> problems;  // a sentence each; none: the run is good
  LabTimings timings;
  int exit_status = 0;
};

// What the progress line shows; frames.
struct LabProgress {
  double elapsed_s = 0;
  std::uint64_t to_send = 0, sent = 0;
  std::vector<std::pair<std::string, std::uint64_t>> taken;  // by tenants and agents
};

struct LabHooks {
  std::function<void(const LabProgress&)> progress;  // a few times a second; may be empty
  std::function<void(const std::string&)> notice;    // a sentence for the operator, when it happens; may be empty
};

// Everything started is stopped when this returns, whatever happened. An error: it never came to run (somebody was not
// ready in time, a program could not be started). Once it runs, what happens is in the result.
Result<LabResult> run_lab(const LabSetup& setup, const std::atomic<bool>& interrupted, const LabHooks& hooks);

}  // namespace vigia::orch
