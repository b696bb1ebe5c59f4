// SPDX-License-Identifier: Apache-2.0
// Copies as pure decisions on register values: the 82599's places, rules, claims, what a driver does meanwhile.
#include "pfdriver/kernel/copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/igb/regs_pf.h"
#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"

namespace vigia::pf {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
namespace ix = hw::ixgbe::pf;
namespace igb = hw::igb::pf;

const Family& k82599 = *family_of({0x8086, 0x10fb});
const Family& k82576 = *family_of({0x8086, 0x10c9});

PfConfig kernel_config(const std::string& taps, unsigned vfs = 4) {
  auto config =
      parse_config("pf:\n  generator: kernel\n  vfs: " + std::to_string(vfs) +
                       "\n  vf: [{index: 0, vlan: 100, port_vlan: true, name: web}]\n  taps: [" + taps + "]\n",
                   "pf.yaml");
  EXPECT_TRUE(config) << config.error().text;
  return *config;
}

// What registers of the plan hold, all 0 but those given.
Words registers(const Family& family, const CopyPlan& plan, const Words& given) {
  Words words = given;
  for (const std::uint32_t offset : registers_of(family, plan)) words.try_emplace(offset, 0);
  return words;
}

Words after(Words words, const Reconciled& changes) {
  for (const auto& [offset, value] : changes.writes) words[offset] = value;
  return words;
}

TEST(KernelCopies, RulesOfThe82599PointAtVlanEntriesWhereverTheyAre) {
  const CopyPlan plan = plan_copies(k82599, kernel_config("{name: t, from: [0], to: 3, direction: both}"), true);
  EXPECT_THAT(plan.refusals, IsEmpty());
  const Words now = registers(k82599, plan, {{ix::PFVLVF.at(40), 1u << 31 | 100}});
  const Reconciled first = reconcile(k82599, plan, now, {});
  EXPECT_EQ(first.writes.back(), std::pair(ix::PFMRCTL.at(0), 0x309u)) << "control last: pool and VLAN, to pool 3";
  EXPECT_THAT(first.writes, Contains(Pair(ix::PFMRVM.at(0), 1u)));
  EXPECT_THAT(first.writes, Contains(Pair(ix::PFMRVLAN.at(4), 1u << 8))) << "entry 40 is bit 8 of the high word";
  // The driver moves the VLAN to another entry: the rule is off while its masks change.
  Words moved = after(now, first);
  moved[ix::PFVLVF.at(40)] = 0;
  moved[ix::PFVLVF.at(2)] = 1u << 31 | 100;
  const Reconciled second = reconcile(k82599, plan, moved, first.claims);
  EXPECT_EQ(second.writes.front(), std::pair(ix::PFMRCTL.at(0), 0u));
  EXPECT_EQ(second.writes.back(), std::pair(ix::PFMRCTL.at(0), 0x309u));
  EXPECT_THAT(second.writes, Contains(Pair(ix::PFMRVLAN.at(0), 1u << 2)));
  EXPECT_THAT(second.undone, IsEmpty());
  // And all is as before when the tap goes.
  const Words there = after(moved, second);
  const Words gone = after(there, reconcile(k82599, CopyPlan{}, there, second.claims));
  for (const auto& [offset, value] : moved) {
    const bool rules = offset >= ix::PFMRCTL.at(0) && offset < 0x0F650;
    EXPECT_EQ(gone.at(offset), rules ? 0 : value) << std::hex << offset;
  }
}

TEST(KernelCopies, AWholePortOfThe82599OpensThePortAndGivesItBack) {
  const CopyPlan plan = plan_copies(k82599, kernel_config("{name: t, port: true, to: 3}"), true);
  const Words now = registers(
      k82599, plan,
      {{ix::PFVTCTL.at(), 1u | 1u << 30 | 4u << 7 | 1u << 29}, {ix::FCTRL.at(), 1u << 10}, {ix::VFTA.at(3), 0x10}});
  const Reconciled changes = reconcile(k82599, plan, now, {});
  const Words then = after(now, changes);
  EXPECT_EQ(then.at(ix::FCTRL.at()), 7u << 8);
  EXPECT_EQ(then.at(ix::PFVTCTL.at()), 1u | 1u << 30 | 3u << 7) << "who wants nothing goes to the agent";
  EXPECT_EQ(then.at(ix::VFTA.at(3)), ~0u);
  EXPECT_EQ(then.at(ix::PFMRCTL.at(0)), 0x302u);
  EXPECT_EQ(after(then, reconcile(k82599, CopyPlan{}, then, changes.claims)), now);
}

TEST(KernelCopies, WithoutRulesThe82599CopiesByPoolsOfAddresses) {
  const PfConfig config = kernel_config("{name: t, from: [0], to: 3}");
  const CopyPlan plan = plan_copies(k82599, config, false);
  const Words now = registers(k82599, plan,
                              {{ix::RAH.at(127), 1u << 31 | 0x0100},
                               {ix::MPSAR.at(254), 1},
                               {ix::RAH.at(126), 0x0200},
                               {ix::MPSAR.at(252), 1}});
  const Reconciled changes = reconcile(k82599, plan, now, {});
  EXPECT_THAT(changes.writes, ElementsAre(Pair(ix::MPSAR.at(254), 9u))) << "an entry that is not valid is nobody's";
  EXPECT_THAT(
      plan_copies(k82599, kernel_config("{name: t, port: true, to: 3, allow_port_scope: true}"), false).refusals,
      ElementsAre(HasSubstr("this 82599 keeps no mirror rule, without which one VF cannot get the whole port")));
}

class Claims : public testing::Test {
 protected:
  const CopyPlan plan_ = plan_copies(k82576, kernel_config("{name: t, from: [0], to: 3}"), false);
  const std::uint32_t rah_ = igb::RAH.at(23), vmolr_ = igb::VMOLR.at(3), vlvf_ = igb::VLVF.at(0);
  static std::uint32_t pools(std::uint32_t mask) { return 1u << 31 | mask << igb::Rah::pools_shift | 0x1234; }
  const Words start_ = registers(k82576, plan_, {{rah_, pools(1)}, {vlvf_, 1u << 31 | 1u << 12 | 100}});
  const Reconciled made_ = reconcile(k82576, plan_, start_, {});
  const Words there_ = after(start_, made_);
};

TEST_F(Claims, TheAgentJoinsAddressAndVlanOfTheTenant) {
  EXPECT_EQ(there_.at(rah_), pools(9));
  EXPECT_EQ(there_.at(vlvf_), 1u << 31 | 9u << 12 | 100);
  EXPECT_THAT(reconcile(k82576, plan_, there_, made_.claims).writes, IsEmpty()) << "again is nothing";
  EXPECT_EQ(reconcile(k82576, plan_, there_, made_.claims).claims, made_.claims);
}

TEST_F(Claims, WhatAResetTookIsSeenAsUndone) {
  Words reset = there_;
  reset[rah_] = pools(1);
  const Reconciled again = reconcile(k82576, plan_, reset, made_.claims);
  EXPECT_THAT(again.undone, ElementsAre(rah_));
  EXPECT_THAT(again.writes, ElementsAre(Pair(rah_, pools(9))));
}

TEST_F(Claims, ATenantsNewAddressIsFollowed) {
  Words more = there_;
  more[igb::RAH.at(5)] = pools(1);
  const Reconciled again = reconcile(k82576, plan_, more, made_.claims);
  EXPECT_THAT(again.undone, IsEmpty());
  EXPECT_THAT(again.writes, ElementsAre(Pair(igb::RAH.at(5), pools(9))));
}

TEST_F(Claims, AnEntryThatBecameTheAgentsOwnIsNotTakenFromIt) {
  Words reused = there_;
  reused[rah_] = pools(8);
  const Reconciled again = reconcile(k82576, plan_, reused, made_.claims);
  EXPECT_THAT(again.writes, IsEmpty());
  const Reconciled end = reconcile(k82576, CopyPlan{}, reused, made_.claims);
  EXPECT_THAT(end.writes, ElementsAre(Pair(vlvf_, 1u << 31 | 1u << 12 | 100))) << "only the VLAN was left of ours";
}

TEST_F(Claims, BitsThatTheDriverAddedMeanwhileStay) {
  Words more = there_;
  more[vlvf_] |= 1u << 13;  // VF 1 joined the VLAN
  const Reconciled end = reconcile(k82576, CopyPlan{}, more, made_.claims);
  EXPECT_THAT(end.writes, Contains(Pair(vlvf_, 1u << 31 | 3u << 12 | 100)));
}

TEST(KernelCopies, NamesOfRegisters) {
  EXPECT_EQ(register_name(k82576, igb::RAH.at(23)), "RAH[23]");
  EXPECT_EQ(register_name(k82599, ix::FCTRL.at()), "FCTRL");
  EXPECT_EQ(register_name(k82599, 0), "0x00000");
}

}  // namespace
}  // namespace vigia::pf
