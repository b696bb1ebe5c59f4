// SPDX-License-Identifier: Apache-2.0
// The ledger for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "orchestrator/ledger.h"

namespace vigia::orch {

// A table: stage, place, the equation with its numbers, holds / does not / unknown; then the first loss and remarks.
// Summands of zero frames are left out, but for the first.
std::string ledger_text(const Ledger& ledger);

// {"balanced", "first_loss", "accounts": {name: frames}, "unknown": [name], "remarks": [text],
//  "lines": [{"stage", "where", "left": {name: frames|null}, "right": {..}, "verdict", "missing"}]}
nlohmann::ordered_json ledger_json(const Ledger& ledger);

// "1,234,567"
std::string grouped(std::uint64_t number);

}  // namespace vigia::orch
