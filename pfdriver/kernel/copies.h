// SPDX-License-Identifier: Apache-2.0
// Taps beside Linux's live driver. Where the port has mirror rules that hold what is written to them they are used as
// the native generator does; elsewhere the port's own replication copies: the agent's pool is added to the addresses
// and VLANs that lead to the tenant's. What the driver writes changes all the time, so what registers should hold is
// always computed from what they hold. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pfdriver/config.h"
#include "pfdriver/kernel/family.h"
#include "pfdriver/mirror_rule.h"

namespace vigia::pf {

// Registers by offset.
using Words = std::map<std::uint32_t, std::uint32_t>;

// The agent's pool gets what leads to the pools of `from`, or all that the port receives.
struct Replication {
  unsigned agent = 0;
  std::uint64_t from = 0;
  bool port = false;
  friend bool operator==(const Replication&, const Replication&) = default;
};

struct CopyPlan {
  std::vector<MirrorRule> rules;
  std::vector<Replication> replications;
  bool port_receive = false;             // rules of the whole port: the port accepts every frame
  std::optional<unsigned> default_pool;  // and some pool takes what nobody wants
  std::vector<std::string> scopes, refusals, warnings;

  bool empty() const { return rules.empty() && replications.empty(); }
  bool whole_port() const;
};

// has_rules: the device keeps what is written to its mirror rules.
CopyPlan plan_copies(const Family& family, const PfConfig& config, bool has_rules);

// The registers that decide about these copies: to be read before wanted() and by every look for drift.
std::vector<std::uint32_t> registers_of(const Family& family, const CopyPlan& plan);
// now, with what the copies need.
Words wanted(const Family& family, const CopyPlan& plan, const Words& now);
// Registers that cannot be read, and what the copies need in them; they hold 0 otherwise.
Words wanted_blindly(const Family& family, const CopyPlan& plan);

// The pools of an entry, as these registers have them; 0 when it is not valid.
std::uint64_t pools_of(const FilterEntry& entry, const Words& words);

// What we have added to a register that is the driver's, and taken from it.
struct Claim {
  std::uint32_t offset = 0, set = 0, cleared = 0;
  friend bool operator==(const Claim&, const Claim&) = default;
};
// now as it would be without us. A register that has been written anew since, so that ours is gone, is as it is.
Words without(const Family& family, const Words& now, const std::vector<Claim>& claims);

struct Reconciled {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> writes;  // in order; a rule is never on with half its masks
  std::vector<Claim> claims;                                    // once they are written
  std::vector<std::uint32_t> undone;                            // registers from which ours had been taken
};
// What to write so that the copies of plan are there (an empty plan: nothing of ours), and what is then ours.
Reconciled reconcile(const Family& family, const CopyPlan& plan, const Words& now, const std::vector<Claim>& claims);

// "RAH[3]", for people.
std::string register_name(const Family& family, std::uint32_t offset);

}  // namespace vigia::pf
