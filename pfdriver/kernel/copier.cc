// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/copier.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace vigia::pf {
namespace {

// A VF that is reset at this very moment takes ours away between writing and reading back.
constexpr int kAttempts = 3;

}  // namespace

Copier::Copier(hw::Bar& bar, const Family& family, std::vector<Claim> claims, bool blind, Remember remember)
    : registers_(bar, family),
      family_(&family),
      claims_(std::move(claims)),
      blind_(blind),
      remember_(std::move(remember)) {}

bool Copier::has_rules() {
  if (has_rules_) return *has_rules_;
  has_rules_ = false;
  for (auto rule = family_->rules.rbegin(); rule != family_->rules.rend(); ++rule) {
    if (registers_.read(rule->control) != 0) {
      has_rules_ = true;  // it has kept what somebody wrote
      break;
    }
    const std::uint32_t mask = rule->pools.front(), before = registers_.read(mask);
    registers_.write(mask, before ^ 1);
    has_rules_ = registers_.read(mask) == (before ^ 1);
    registers_.write(mask, before);
    break;
  }
  return *has_rules_;
}

Words Copier::read_for(const CopyPlan& plan) const {
  Words words;
  const auto need = [&](std::uint32_t offset) {
    if (words.count(offset) == 0) words[offset] = registers_.read(offset);
  };
  for (const std::uint32_t offset : registers_of(*family_, plan)) need(offset);
  for (const Claim& claim : claims_) {
    need(claim.offset);
    // Whether an entry is somebody's depends on its other registers too.
    for (const std::vector<FilterEntry>* entries : {&family_->addresses, &family_->vlans}) {
      for (const FilterEntry& entry : *entries) {
        if (!entry.holds(claim.offset)) continue;
        need(entry.valid_offset);
        for (const PoolBits& bits : entry.pools) need(bits.offset);
      }
    }
  }
  return words;
}

Reconciled Copier::preview(const CopyPlan& plan) const { return reconcile(*family_, plan, read_for(plan), claims_); }

Result<Done> Copier::write(const Reconciled& changes, const Words& blindly) {
  const bool blind = !blindly.empty();
  // Both what was ours and what will be, for the crash may come between two writes.
  std::vector<Claim> both = changes.claims;
  for (const Claim& old : claims_) {
    const auto same = std::find_if(both.begin(), both.end(), [&](const Claim& c) { return c.offset == old.offset; });
    if (same == both.end()) both.push_back(old);
  }
  if (both != claims_ || blind != blind_) {
    if (auto remembered = remember_(both, blind || blind_); !remembered) return remembered.error();
  }
  for (const auto& [offset, value] : changes.writes) registers_.write(offset, value);
  for (const auto& [offset, value] : blindly) registers_.write(offset, value);
  if (blind_ && !blind) {
    for (const std::uint32_t offset : family_->unicast_hash) registers_.write(offset, 0);
  }
  claims_ = changes.claims;
  blind_ = blind;
  if (both == claims_) return Done{};
  return remember_(claims_, blind_);
}

Result<Done> Copier::make(const CopyPlan& plan) {
  const CopyPlan before = plan_;
  Reconciled left;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    left = preview(plan);
    if (auto written = write(left, wanted_blindly(*family_, plan)); !written) return written.error();
    plan_ = plan;
    left = preview(plan);
    if (left.writes.empty()) return Done{};
  }
  const auto [offset, value] = left.writes.front();
  Error error = work_error(
      fmt::format("write {}: wrote {:08x}, read back {:08x}, {} times; the device or its driver does not keep it",
                  register_name(*family_, offset), value, registers_.read(offset), kAttempts));
  plan_ = before;
  if (auto undone = write(preview(before), wanted_blindly(*family_, before)); !undone) {
    error.text += "; taking it back failed as well: " + undone.error().text;
  }
  return error;
}

Result<Copier::Look> Copier::keep() {
  Look look;
  if (plan_.empty()) return look;
  const Reconciled changes = preview(plan_);
  if (changes.writes.empty()) return look;
  if (auto written = write(changes, wanted_blindly(*family_, plan_)); !written) return written.error();
  for (const auto& [offset, value] : changes.writes) {
    const bool ours = std::find(changes.undone.begin(), changes.undone.end(), offset) != changes.undone.end();
    (ours ? look.undone : look.followed).push_back(register_name(*family_, offset));
  }
  return look;
}

void Copier::refresh_blindly() {
  for (const auto& [offset, value] : wanted_blindly(*family_, plan_)) registers_.write(offset, value);
}

std::uint64_t Copier::receiving() const {
  std::uint64_t out = 0;
  for (std::size_t w = 0; w < family_->receive_enable.size(); ++w) {
    out |= std::uint64_t{registers_.read(family_->receive_enable[w])} << 32 * w;
  }
  return out;
}

bool Copier::loopback() const { return (registers_.read(family_->loopback_offset) & family_->loopback_bit) != 0; }

std::vector<MirrorRule> Copier::rules() const {
  std::vector<MirrorRule> out;
  for (std::size_t r = 0; r < family_->rules.size(); ++r) {
    const RuleRegisters& at = family_->rules[r];
    const std::uint32_t control = registers_.read(at.control);
    if ((control & 0xf) == 0) continue;
    MirrorRule rule;
    rule.slot = static_cast<unsigned>(r);
    rule.pool = (control & 1) != 0;
    rule.uplink = (control & 2) != 0;
    rule.downlink = (control & 4) != 0;
    rule.vlan = (control & 8) != 0;
    rule.destination = control >> family_->destination_shift & (family_->pools - 1);
    for (std::size_t w = 0; w < at.pools.size(); ++w) {
      rule.sources |= std::uint64_t{registers_.read(at.pools[w])} << 32 * w;
    }
    for (std::size_t k = 0; k < family_->vlans.size(); ++k) {
      if ((registers_.read(at.vlans[k / 32]) >> k % 32 & 1) == 0) continue;
      rule.vids.push_back(static_cast<std::uint16_t>(registers_.read(family_->vlans[k].valid_offset) & 0xfff));
    }
    out.push_back(rule);
  }
  return out;
}

}  // namespace vigia::pf
