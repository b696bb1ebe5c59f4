// SPDX-License-Identifier: Apache-2.0
// The account of every frame from the wire to the disk (architecture 5.6). Pure: counters in, judged equations out; no
// file, no process, no clock. What cannot be seen is "unknown" and never zero.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigia::orch {

using Counters = std::map<std::string, std::uint64_t>;

// How a process of the lab ended.
enum class Fate {
  running,  // still at work: its numbers move, sums may be off by what is on its way
  stopped,  // ended when told to, with everything booked
  died,     // killed or crashed: its counters stand where it was hit
};
std::string_view fate_name(Fate fate);
std::optional<Fate> parse_fate(std::string_view name);

// A tenant or an agent.
struct Party {
  std::string name;
  unsigned vf = 0;
  bool agent = false;  // has a capture ring and a store; a tenant only takes and recycles
  Fate fate = Fate::stopped;
  std::optional<Counters> counters;        // nothing: its counter file cannot be read
  std::optional<std::uint64_t> in_file{};  // frames counted in the finished file, agents only
  bool stores = true;                      // agents only; false: it has no store, its frames end in the ring
  std::uint64_t written_before = 0;        // frames that the device wrote for earlier owners of the VF
};

struct LedgerInput {
  // False: a capture on its own, on whatever port. There is no NIC of ours whose wire, switch and pools could be asked;
  // the account begins with what the port saw.
  bool nic = true;
  unsigned vfs = 0;
  std::optional<Counters> softnic;
  Fate softnic_fate = Fate::stopped;
  std::vector<Party> parties;
  std::optional<std::uint64_t> prepared{};  // frames that the wire was given to send
  std::uint64_t unmatched = 0;              // of those, sent on purpose to an address nobody owns
};

enum class Verdict { holds, fails, unknown };
std::string_view verdict_name(Verdict verdict);

// One summand. frames is empty when nobody can see it.
struct Term {
  std::string account;
  std::optional<std::uint64_t> frames;
};

// "left = sum of right", as found.
struct Line {
  int stage = 0;  // row of the table in architecture 5.6; 0: what feeds the wire; 8: transmit side
  // "wire", "switch", "vf3 (agent)", "agent"; "agent@1": what only one of its queues has
  std::string where;
  Term left;
  std::vector<Term> right;
  Verdict verdict = Verdict::unknown;
  std::int64_t missing = 0;  // left - right where both are known
};

struct Ledger {
  std::vector<Line> lines;
  Counters accounts;                 // every account that is known, also those that only the ledger can name
  std::vector<std::string> unknown;  // accounts that should be there and cannot be seen
  bool balanced = false;             // every line holds: none fails, none is unknown
  std::string first_loss;            // one sentence: the first stage that loses, or that none does
  std::vector<std::string> remarks;  // what happened, a sentence each: deaths, sums that do not agree
};

Ledger make_ledger(const LedgerInput& input);

// Frames that some stage lost between the wire and the file of that agent: copies made for it minus frames stored.
// Nothing when one of both cannot be seen.
std::optional<std::uint64_t> lost_for_agent(const LedgerInput& input, const Party& agent);

}  // namespace vigia::orch
