// SPDX-License-Identifier: Apache-2.0
// The result of a lab run for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "orchestrator/lab_run.h"

namespace vigia::orch {

// Before the run: what is about to happen, and what each mirror rule will copy.
std::string lab_opening(const LabSetup& setup);
// After it: frames by actor, the ledger, problems, where the files are.
std::string lab_text(const LabSetup& setup, const LabResult& result);

// One object. What cannot be seen is null. Keys are stable:
//   wire{frames, bytes, zero_filled, padded}, tenants[{name, vf, mac, frames, bytes, matched}],
//   agents[{name, vf, mac, frames, bytes, lost, file, mirror_copies}], agent (the first of them), unmatched{frames},
//   scope[text], ledger{balanced, first_loss, accounts, unknown, remarks, lines}, died[{name, how, after_s}],
//   problems[text], timings{start_s, run_s, stop_s, wire_held_s}, commands{name: shell line}, exit_status
nlohmann::ordered_json lab_json(const LabSetup& setup, const LabResult& result);

}  // namespace vigia::orch
