// SPDX-License-Identifier: Apache-2.0
// Copies kept on a port's registers beside Linux's driver, which undoes them whenever a VF is reset.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pfdriver/kernel/copies.h"
#include "pfdriver/kernel/resource0.h"

namespace vigia::pf {

// One thread. bar and family are not owned.
class Copier {
 public:
  // remember: called before anything is written, with the claims that will hold afterwards and whether registers that
  // cannot be read are in use; an error keeps the registers as they are.
  using Remember = std::function<Result<Done>(const std::vector<Claim>&, bool blind)>;

  // claims: what an earlier life left.
  Copier(hw::Bar& bar, const Family& family, std::vector<Claim> claims, bool blind, Remember remember);

  const Family& family() const { return *family_; }
  // Whether mirror rules keep what is written to them: tried once, on the masks of a rule that is off.
  bool has_rules();
  const CopyPlan& plan() const { return plan_; }

  // What keep() would write for this plan.
  Reconciled preview(const CopyPlan& plan) const;
  Words blindly(const CopyPlan& plan) const { return wanted_blindly(*family_, plan); }
  std::uint32_t read(std::uint32_t offset) const { return registers_.read(offset); }
  // Makes the copies of the plan, an empty one taking all away; reads back. What does not stick is a work error, and
  // what was written has been taken back.
  Result<Done> make(const CopyPlan& plan);

  struct Look {
    std::vector<std::string> undone;    // registers from which somebody had taken ours: "RAH[3]"
    std::vector<std::string> followed;  // written anew because addresses or VLANs of a tenant changed
    bool any() const { return !undone.empty() || !followed.empty(); }
  };
  // Looks at the registers and sets again what is not as it should be.
  Result<Look> keep();
  // Likewise for what cannot be read: writes it anew.
  void refresh_blindly();
  bool blind() const { return blind_; }

  // VFs whose receive enable is on.
  std::uint64_t receiving() const;
  bool loopback() const;
  bool gone() const { return registers_.gone(); }
  // Rules that are on, whoever made them.
  std::vector<MirrorRule> rules() const;

 private:
  Words read_for(const CopyPlan& plan) const;
  Result<Done> write(const Reconciled& changes, const Words& blindly);

  AllowedRegisters registers_;
  const Family* family_;
  std::vector<Claim> claims_;
  bool blind_;
  Remember remember_;
  CopyPlan plan_;
  std::optional<bool> has_rules_;
};

}  // namespace vigia::pf
