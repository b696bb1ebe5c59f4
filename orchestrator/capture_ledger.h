// SPDX-License-Identifier: Apache-2.0
// The ledger of one capture on its own, from its counter file: on an interface of the kernel, a file, a VF of somebody
// else's NIC.
#pragma once

#include <filesystem>

#include "hw/result.h"
#include "orchestrator/ledger.h"

namespace vigia::orch {

// file: what `vigia-capture run --counters` writes. An input error when it is no such file. Whether a capture that runs
// no more ended well is not in there: what its death took shows as a line that does not hold.
Result<LedgerInput> read_capture_ledger(const std::filesystem::path& file);

}  // namespace vigia::orch
