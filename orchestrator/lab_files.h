// SPDX-License-Identifier: Apache-2.0
// What a lab's folder says about it: lab.json (who is who, how they ended) and the counter files. `vigia ledger` reads
// them while the lab runs and long after.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hw/result.h"
#include "orchestrator/ledger.h"

namespace vigia::orch {

struct ManifestParty {
  std::string name;
  unsigned vf = 0;
  bool agent = false;
  pid_t pid = 0;  // 0: never started
  Fate fate = Fate::running;
  std::string capture;  // name in the folder; empty: none. Ends in ".pcapng" when frames can be counted in it
};

struct Manifest {
  pid_t pid = 0;  // of the vigia that runs the lab
  unsigned vfs = 0;
  std::optional<std::uint64_t> prepared;
  std::uint64_t unmatched = 0;
  pid_t softnic_pid = 0, pf_pid = 0;
  Fate softnic_fate = Fate::running, pf_fate = Fate::running;
  std::vector<ManifestParty> parties;
};

Result<Done> write_manifest(const std::filesystem::path& dir, const Manifest& manifest);
// An input error when the folder holds no lab, or one that is not understood.
Result<Manifest> read_manifest(const std::filesystem::path& dir);

// Counters and frames in files, as they are now. A process that should run and does not is taken for dead.
LedgerInput read_ledger_input(const std::filesystem::path& dir, const Manifest& manifest);

bool process_exists(pid_t pid);

}  // namespace vigia::orch
