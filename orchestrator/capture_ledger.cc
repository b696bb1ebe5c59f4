// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/capture_ledger.h"

#include <fmt/format.h>

#include "hw/counter_file.h"
#include "orchestrator/lab_files.h"

namespace vigia::orch {
namespace {

std::uint64_t value(const Counters& counters, const char* name) {
  const auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

}  // namespace

Result<LedgerInput> read_capture_ledger(const std::filesystem::path& file) {
  auto snapshot = hw::read_counters(file);
  if (!snapshot) return input_error(snapshot.error().text);
  if (!snapshot->values.contains("engine.taken")) {
    return input_error(fmt::format("{} holds no accounts of a capture; name what `vigia-capture run --counters` wrote",
                                   file.string()));
  }
  LedgerInput input;
  input.nic = false;
  Party party;
  party.name = file.stem().string();
  party.agent = true;
  party.fate = process_exists(static_cast<pid_t>(snapshot->pid)) ? Fate::running : Fate::stopped;
  party.stores = value(snapshot->values, "engine.appended") == 0;
  // A capture without a store has its accounts all the same, at zero.
  for (const char* account : {"store.read", "store.lapped", "store.unread"}) {
    if (value(snapshot->values, account) > 0) party.stores = true;
  }
  party.counters = std::move(snapshot->values);
  input.parties.push_back(std::move(party));
  return input;
}

}  // namespace vigia::orch
