// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/ledger.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "hw/accounts.h"
#include "orchestrator/ledger_print.h"

namespace vigia::orch {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A lab of two VFs: tenant web on vf0, the agent on vf1, 100 frames, 10 of them to nobody; every line holds.
LedgerInput good_run() {
  LedgerInput in;
  in.vfs = 2;
  in.prepared = 100;
  in.unmatched = 10;
  in.softnic.emplace();
  for (const std::string& name : hw::accounts::softnic_names(2)) (*in.softnic)[name] = 0;
  auto& s = *in.softnic;
  s["wire.sent"] = 100, s["wire.sent_bytes"] = 6000, s["wire.accepted"] = 90, s["wire.filtered_l2"] = 10;
  s["switch.routed"] = 90, s["switch.copies"] = 180, s["switch.mirror_copies"] = 90;
  s["vf0.copies"] = 90, s["vf0.written"] = 90;
  s["vf1.copies"] = 90, s["vf1.mirror_copies"] = 90, s["vf1.written"] = 90;
  Counters web, agent;
  for (const std::string& name : hw::accounts::capture_names()) web[name] = agent[name] = 0;
  web["engine.taken"] = agent["engine.taken"] = 90;
  agent["engine.appended"] = agent["store.read"] = agent["store.stored"] = 90;
  in.parties = {{"web", 0, false, Fate::stopped, web}, {"agent", 1, true, Fate::stopped, agent, 90}};
  return in;
}

const Line& line_of(const Ledger& ledger, int stage, std::string_view left) {
  for (const Line& line : ledger.lines) {
    if (line.stage == stage && line.left.account.starts_with(left)) return line;
  }
  ADD_FAILURE() << "no line of stage " << stage << " for " << left;
  return ledger.lines.front();
}

TEST(Ledger, GoodRunBalances) {
  const Ledger ledger = make_ledger(good_run());
  for (const Line& line : ledger.lines) EXPECT_EQ(line.verdict, Verdict::holds) << line.where << line.left.account;
  EXPECT_TRUE(ledger.balanced);
  EXPECT_THAT(ledger.unknown, IsEmpty());
  EXPECT_THAT(ledger.remarks, IsEmpty());
  EXPECT_EQ(ledger.first_loss, "No stage loses a frame.");
}

TEST(Ledger, AccountsHoldFramesOnly) {
  const Ledger ledger = make_ledger(good_run());
  EXPECT_FALSE(ledger.accounts.contains("wire.sent_bytes"));
  EXPECT_FALSE(ledger.accounts.contains("wire.held_ns"));
  EXPECT_FALSE(ledger.accounts.contains("wire.done"));
  EXPECT_EQ(ledger.accounts.at("agent.store.stored"), 90u);
}

// Each way of losing a frame: one frame moves from where it should be into the account; every line still holds, and
// the sentence names that account.
struct LossCase {
  const char* name;
  void (*provoke)(LedgerInput&);
  const char* sentence;
};

void take_from_agent(LedgerInput& in, const char* account) {
  auto& a = *in.parties[1].counters;
  a[account] = 1;
  const std::string_view name = account;
  for (const char* later : {"engine.taken", "engine.appended", "store.read", "store.stored"}) {
    const std::string_view l = later;
    const bool before_engine = name == "engine.left_in_ring";
    const bool in_engine = name.starts_with("engine.") && !before_engine;
    const bool in_store = name == "store.disk_dropped";
    if (l == "engine.taken" && !before_engine) continue;
    if (l == "engine.appended" && !before_engine && !in_engine) continue;
    if (l == "store.read" && in_store) continue;
    a[later] -= 1;
  }
  *in.parties[1].in_file -= 1;
}

// One frame of the agent's copies goes to a pool account instead of its memory.
void take_from_pool(LedgerInput& in, const char* account) {
  (*in.softnic)[std::string("vf1.") + account] = 1;
  (*in.softnic)["vf1.written"] -= 1;
  for (const char* later : {"engine.taken", "engine.appended", "store.read", "store.stored"}) {
    (*in.parties[1].counters)[later] -= 1;
  }
  *in.parties[1].in_file -= 1;
}

// The wire carried one frame more, and it ended in that account.
void extra_on_wire(LedgerInput& in, const char* account, bool accepted = false) {
  *in.prepared += 1;
  (*in.softnic)["wire.sent"] += 1;
  if (accepted) (*in.softnic)["wire.accepted"] += 1;
  (*in.softnic)[account] += 1;
}

constexpr std::array kLosses{
    LossCase{"not sent", [](LedgerInput& in) { *in.prepared += 1; },
             "The traffic is the first stage that loses: wire.not_sent = 1"},
    LossCase{"oversize", [](LedgerInput& in) { extra_on_wire(in, "wire.filtered_oversize"); },
             "wire.filtered_oversize = 1 frames. Dropped: longer"},
    LossCase{"vlan", [](LedgerInput& in) { extra_on_wire(in, "wire.filtered_vlan"); }, "wire.filtered_vlan = 1"},
    LossCase{"receiver off", [](LedgerInput& in) { extra_on_wire(in, "wire.filtered_disabled"); },
             "wire.filtered_disabled = 1"},
    LossCase{"missed", [](LedgerInput& in) { extra_on_wire(in, "wire.missed"); }, "wire.missed = 1"},
    LossCase{"more filtered than meant", [](LedgerInput& in) { extra_on_wire(in, "wire.filtered_l2"); },
             "unmatched = 1 frames"},
    LossCase{"no pool", [](LedgerInput& in) { extra_on_wire(in, "switch.no_pool", true); }, "unmatched = 1 frames"},
    LossCase{"no descriptor", [](LedgerInput& in) { take_from_pool(in, "no_descriptor"); },
             "vf1 (agent) is the first stage that loses: vf1.no_descriptor = 1"},
    LossCase{"queue disabled", [](LedgerInput& in) { take_from_pool(in, "queue_disabled"); }, "vf1.queue_disabled = 1"},
    LossCase{"dma fault", [](LedgerInput& in) { take_from_pool(in, "dma_fault"); }, "vf1.dma_fault = 1"},
    LossCase{"left in ring", [](LedgerInput& in) { take_from_agent(in, "engine.left_in_ring"); },
             "agent.engine.left_in_ring = 1"},
    LossCase{"shed", [](LedgerInput& in) { take_from_agent(in, "engine.shed"); }, "agent.engine.shed = 1"},
    LossCase{"ring full", [](LedgerInput& in) { take_from_agent(in, "engine.ring_full"); },
             "agent.engine.ring_full = 1"},
    LossCase{"lapped", [](LedgerInput& in) { take_from_agent(in, "store.lapped"); }, "agent.store.lapped = 1"},
    LossCase{"unread", [](LedgerInput& in) { take_from_agent(in, "store.unread"); }, "agent.store.unread = 1"},
    LossCase{"disk dropped", [](LedgerInput& in) { take_from_agent(in, "store.disk_dropped"); },
             "agent.store.disk_dropped = 1"},
};

TEST(Ledger, EachLossHasItsAccountAndItsSentence) {
  for (const LossCase& c : kLosses) {
    LedgerInput in = good_run();
    c.provoke(in);
    const Ledger ledger = make_ledger(in);
    EXPECT_TRUE(ledger.balanced) << c.name << "\n" << ledger_text(ledger);
    EXPECT_THAT(ledger.first_loss, HasSubstr(c.sentence)) << c.name;
  }
}

// The agent captures on two queues, each with a store: 50 frames in one, 40 in the other. Sums as readers make them.
LedgerInput on_two_queues() {
  LedgerInput in = good_run();
  auto& a = *in.parties[1].counters;
  for (const std::string& name : hw::accounts::capture_names(2, 2)) a[name] = 0;
  for (const char* name : {"engine@0.taken", "engine@0.appended", "store@0.read", "store@0.stored"}) a[name] = 50;
  for (const char* name : {"engine@1.taken", "engine@1.appended", "store@1.read", "store@1.stored"}) a[name] = 40;
  return in;
}

TEST(Ledger, EachQueueHasItsLines) {
  const Ledger ledger = make_ledger(on_two_queues());
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_EQ(ledger.first_loss, "No stage loses a frame.");
  const std::string text = ledger_text(ledger);
  EXPECT_THAT(text, HasSubstr("90 agent.engine.taken = 50 agent.engine@0.taken + 40 agent.engine@1.taken"));
  EXPECT_THAT(text, HasSubstr("agent@1      40 agent.engine@1.taken = 40 agent.engine@1.appended"));
  EXPECT_EQ(line_of(ledger, 6, "agent.engine@0.appended").where, "agent@0");
  EXPECT_EQ(line_of(ledger, 7, "agent.store@1.read").right.front().frames, 40u);
  EXPECT_EQ(ledger.accounts.at("agent.engine@1.taken"), 40u);
  EXPECT_EQ(ledger.accounts.at("agent.engine.taken"), 90u);
}

// Two faults that cancel out in the sums do not in the queues' own lines.
TEST(Ledger, AQueueThatDoesNotAddUpIsAnErrorAlsoWhereTheSumDoes) {
  LedgerInput in = on_two_queues();
  auto& a = *in.parties[1].counters;
  a["engine@0.appended"] = 49, a["engine@1.appended"] = 41;
  const Ledger ledger = make_ledger(in);
  EXPECT_FALSE(ledger.balanced);
  EXPECT_EQ(line_of(ledger, 5, "agent.engine.taken").verdict, Verdict::holds);
  EXPECT_EQ(line_of(ledger, 5, "agent.engine@0.taken").missing, 1);
  EXPECT_EQ(line_of(ledger, 5, "agent.engine@1.taken").missing, -1);
  EXPECT_THAT(ledger.remarks, Contains(HasSubstr("agent@0: agent.engine@0.taken and the sum of its accounts differ")));
}

TEST(Ledger, ALossOnOneQueueNamesIt) {
  LedgerInput in = on_two_queues();
  take_from_agent(in, "engine.ring_full");
  auto& a = *in.parties[1].counters;
  a["engine@1.ring_full"] = 1;
  for (const char* name : {"engine@1.appended", "store@1.read", "store@1.stored"}) a[name] -= 1;
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_THAT(ledger.first_loss, HasSubstr("agent.engine.ring_full = 1 frames (queue 1: 1). Dropped: a lossless"));
}

TEST(Ledger, OfOneFileForAllQueuesOnlyEnginesHaveLines) {
  LedgerInput in = on_two_queues();
  std::erase_if(*in.parties[1].counters, [](const auto& account) { return account.first.starts_with("store@"); });
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  for (const Line& line : ledger.lines) EXPECT_FALSE(line.stage > 5 && line.where.find('@') != line.where.npos);
}

// A capture without a software NIC: 100 frames came to its port, which had room for 90.
LedgerInput alone() {
  LedgerInput in = good_run();
  in.nic = false;
  in.softnic.reset();
  in.prepared.reset();
  in.parties.erase(in.parties.begin());
  (*in.parties[0].counters)["port.offered"] = 100;
  (*in.parties[0].counters)["port.dropped"] = 10;
  return in;
}

TEST(Ledger, ACaptureOnItsOwnBeginsAtItsPort) {
  LedgerInput in = alone();
  Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_EQ(ledger.lines.front().left.account, "agent.port.offered");
  EXPECT_EQ(ledger.first_loss,
            "agent is the first stage that loses: agent.port.dropped = 10 frames. Dropped before the engine: the port "
            "had no room. The reader is too slow or its ring too small.");
  EXPECT_THAT(ledger.remarks, Contains(HasSubstr("before it comes to the port cannot be seen")));

  (*in.parties[0].counters)["port.offered"] = 90;
  (*in.parties[0].counters)["port.dropped"] = 0;
  EXPECT_EQ(make_ledger(in).first_loss, "No stage that can be seen loses a frame.");

  (*in.parties[0].counters)["port.offered"] = 93;
  ledger = make_ledger(in);
  EXPECT_FALSE(ledger.balanced);
  EXPECT_EQ(line_of(ledger, 4, "agent.port.offered").missing, 3) << "a port that lost frames and does not say so";
}

TEST(Ledger, WhatAPortDoesNotTellIsUnknownNotZero) {
  LedgerInput in = alone();
  in.parties[0].counters->erase("port.offered");
  Ledger ledger = make_ledger(in);
  EXPECT_EQ(line_of(ledger, 4, "agent.port.offered").verdict, Verdict::unknown);
  EXPECT_THAT(ledger.unknown, Contains("agent.port.offered"));
  EXPECT_THAT(ledger.first_loss, HasSubstr("agent.port.dropped = 10")) << "which it does tell";
  EXPECT_THAT(ledger_text(ledger), HasSubstr("? agent.port.offered = 10 agent.port.dropped"));

  in.parties[0].counters->erase("port.dropped");
  ledger = make_ledger(in);
  EXPECT_FALSE(ledger.balanced);
  EXPECT_EQ(ledger.first_loss, "No stage that can be seen loses a frame.");
}

TEST(Ledger, APortOnTheSoftwareNicThatCountsForItselfIsAStageOfItsOwn) {
  LedgerInput in = good_run();
  (*in.parties[1].counters)["port.offered"] = 90;
  (*in.parties[1].counters)["port.dropped"] = 0;
  EXPECT_TRUE(make_ledger(in).balanced);
  EXPECT_EQ(line_of(make_ledger(in), 4, "agent.port.offered").verdict, Verdict::holds);
}

TEST(Ledger, FirstOfSeveralLossesIsNamed) {
  LedgerInput in = good_run();
  take_from_agent(in, "store.disk_dropped");
  take_from_pool(in, "no_descriptor");
  EXPECT_THAT(make_ledger(in).first_loss, HasSubstr("vf1.no_descriptor"));
}

TEST(Ledger, WhatIsLeftOutOnWishIsNotLost) {
  LedgerInput in = good_run();
  take_from_agent(in, "engine.duplicate");
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_EQ(ledger.first_loss, make_ledger(good_run()).first_loss);
  EXPECT_THAT(ledger.remarks, testing::Contains(HasSubstr("agent left out 1 frames on wish")));
  EXPECT_EQ(lost_for_agent(in, in.parties[1]), lost_for_agent(good_run(), good_run().parties[1]));
}

// An agent that was told of the mirrors says whether they explain what it left out.
TEST(Ledger, DuplicatesAgainstWhatTheMirrorsMake) {
  struct Row {
    std::uint64_t predicted, unpredicted, missing, open;
    const char* says;
  };
  const Row rows[] = {
      {2, 0, 0, 0, "agent: the mirrors predict 2 of 2 duplicates, and every copy that they predict came"},
      {0, 2, 0, 0, "agent: the mirrors predict 0 of 2 duplicates; the other 2 came twice over the wire"},
      {2, 0, 7, 0, "2 of 2 duplicates; 7 predicted copies did not come: a mirror is gone"},
      {1, 1, 3, 4, "1 of 2 duplicates; the other 1 came twice"},
      {1, 1, 3, 4, "; 3 predicted copies did not come"},
      {1, 1, 3, 4, "; of 4 more it is not known"},
  };
  for (const Row& row : rows) {
    LedgerInput in = good_run();
    take_from_agent(in, "engine.duplicate");
    take_from_agent(in, "engine.duplicate");
    auto& a = *in.parties[1].counters;
    a["engine.duplicate"] = 2;
    a["engine.copy_predicted"] = row.predicted, a["engine.copy_unpredicted"] = row.unpredicted;
    a["engine.copy_missing"] = row.missing, a["engine.copy_open"] = row.open;
    const Ledger ledger = make_ledger(in);
    EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
    EXPECT_THAT(ledger.remarks, Contains(HasSubstr(row.says)));
    EXPECT_THAT(ledger.remarks, testing::Not(Contains(HasSubstr("on wish"))));
    EXPECT_EQ(ledger.accounts.at("agent.engine.copy_missing"), row.missing);
    a["engine.copy_predicted"] += 1;
    EXPECT_FALSE(make_ledger(in).balanced) << "each duplicate is one or the other";
  }
}

TEST(Ledger, EveryAccountOfTheLinesIsNeeded) {
  // One frame that appears in a single account without leaving another must be noticed, whichever account it is.
  const LedgerInput good = good_run();
  const auto unbalanced = [](const LedgerInput& in) { return !make_ledger(in).balanced; };
  for (const auto& [name, value] : *good.softnic) {
    const bool of_a_line = name.find("_bytes") == name.npos && name.find("_ns") == name.npos && name != "wire.done" &&
                           name != "wire.padded" && name != "wire.zero_filled" &&
                           name != "tx.wire_refused";  // a part of what left the port
    LedgerInput in = good;
    (*in.softnic)[name] = value + 1;
    EXPECT_EQ(unbalanced(in), of_a_line) << name;
  }
  for (const auto& [name, value] : *good.parties[1].counters) {
    LedgerInput in = good;
    (*in.parties[1].counters)[name] = value + 1;
    const bool of_a_line =
        name.find("_bytes") == name.npos && name != "engine.marked" && name != "engine.damaged";  // parts of others
    EXPECT_EQ(unbalanced(in), of_a_line) << name;
  }
  LedgerInput in = good;
  in.parties[1].in_file = 89;
  EXPECT_TRUE(unbalanced(in));
}

TEST(Ledger, DisagreementIsSaidWithItsNumber) {
  LedgerInput in = good_run();
  (*in.softnic)["wire.accepted"] = 88;
  const Ledger ledger = make_ledger(in);
  EXPECT_EQ(line_of(ledger, 1, "wire.sent").verdict, Verdict::fails);
  EXPECT_EQ(line_of(ledger, 1, "wire.sent").missing, 2);
  EXPECT_THAT(ledger.remarks, Contains(HasSubstr("wire: wire.sent and the sum of its accounts differ by 2 frames")));
}

TEST(Ledger, WhatCannotBeSeenIsUnknownNotZero) {
  LedgerInput in = good_run();
  in.softnic.reset();
  const Ledger ledger = make_ledger(in);
  EXPECT_FALSE(ledger.balanced);
  EXPECT_EQ(line_of(ledger, 1, "wire.sent").verdict, Verdict::unknown);
  EXPECT_EQ(line_of(ledger, 4, "vf1.written").verdict, Verdict::unknown);
  EXPECT_EQ(line_of(ledger, 5, "agent.engine.taken").verdict, Verdict::holds);  // the agent's own lines can be judged
  EXPECT_THAT(ledger.unknown, Contains("wire.sent"));
  EXPECT_FALSE(ledger.accounts.contains("wire.sent"));
  EXPECT_THAT(ledger_text(ledger), HasSubstr("? wire.sent"));
  EXPECT_TRUE(ledger_json(ledger)["lines"][1]["left"]["wire.sent"].is_null());
  EXPECT_EQ(ledger.first_loss, "No stage that can be seen loses a frame.");
}

TEST(Ledger, PartyWithoutCountersIsUnknown) {
  LedgerInput in = good_run();
  in.parties[0].counters.reset();
  const Ledger ledger = make_ledger(in);
  EXPECT_EQ(line_of(ledger, 4, "vf0.written").verdict, Verdict::unknown);
  EXPECT_EQ(line_of(ledger, 4, "vf1.written").verdict, Verdict::holds);
  EXPECT_THAT(ledger.remarks, Contains(HasSubstr("the counters of web cannot be seen")));
}

TEST(Ledger, KilledTenantGetsAnAccountForWhatWasInFlight) {
  LedgerInput in = good_run();
  in.parties[0].fate = Fate::died;
  (*in.parties[0].counters)["engine.taken"] = 40;
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_EQ(ledger.accounts.at("web.in_flight_at_death"), 50u);
  EXPECT_THAT(ledger.first_loss, HasSubstr("web.in_flight_at_death = 50"));
  EXPECT_THAT(ledger.remarks, Contains(HasSubstr("web died")));
}

TEST(Ledger, KilledAgentIsAccountedStageByStage) {
  LedgerInput in = good_run();
  auto& a = *in.parties[1].counters;
  in.parties[1].fate = Fate::died;
  a["engine.taken"] = 80, a["engine.appended"] = 78, a["store.read"] = 60, a["store.stored"] = 55;
  in.parties[1].in_file = 50;
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_EQ(ledger.accounts.at("agent.in_flight_at_death"), 10u);
  EXPECT_EQ(ledger.accounts.at("agent.in_engine_at_death"), 2u);
  EXPECT_EQ(ledger.accounts.at("agent.unread_at_death"), 18u);
  EXPECT_EQ(ledger.accounts.at("agent.in_store_at_death"), 5u);
  EXPECT_EQ(ledger.accounts.at("agent.unwritten_at_death"), 5u);
  EXPECT_EQ(lost_for_agent(in, in.parties[1]), 40u);
}

TEST(Ledger, SameNumbersOfALivingAgentDoNotBalance) {
  LedgerInput in = good_run();
  (*in.parties[1].counters)["engine.taken"] = 80;
  EXPECT_FALSE(make_ledger(in).balanced);
}

TEST(Ledger, FileBehindCountersOfKilledAgentIsBookedAhead) {
  LedgerInput in = good_run();
  in.parties[1].fate = Fate::died;
  in.parties[1].in_file = 92;  // the kernel had two frames that the counter had not
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_EQ(ledger.accounts.at("agent.unbooked_at_death"), 2u);
}

TEST(Ledger, KilledSoftnicMayOweOneTurnOfItsLoopNotMore) {
  LedgerInput in = good_run();
  in.softnic_fate = Fate::died;
  (*in.softnic)["vf1.written"] = 80;  // the agent took ten that softnic had not booked
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  EXPECT_EQ(ledger.accounts.at("softnic.unbooked_at_death"), 10u);   // written to memory, not yet counted
  EXPECT_EQ(ledger.accounts.at("softnic.in_flight_at_death"), 10u);  // copies decided, not counted as written

  // Bounds on both sides: more than a loop turn and a packet buffer can hold is a fault of its own.
  LedgerInput lost = good_run();
  lost.softnic_fate = Fate::died;
  (*lost.softnic)["wire.sent"] = *(lost.prepared = 90000);
  EXPECT_EQ(line_of(make_ledger(lost), 1, "wire.sent").verdict, Verdict::fails);
  LedgerInput invented = good_run();
  invented.softnic_fate = Fate::died;
  (*invented.parties[1].counters)["engine.taken"] = 90 + 1025;
  EXPECT_EQ(line_of(make_ledger(invented), 4, "vf1.written").verdict, Verdict::fails);
  (*invented.parties[1].counters)["engine.taken"] = 90 + 1024;
  EXPECT_EQ(line_of(make_ledger(invented), 4, "vf1.written").verdict, Verdict::holds);
}

TEST(Ledger, EmptyLabHasNoLinesOfParties) {
  LedgerInput in;
  in.softnic.emplace();
  for (const std::string& name : hw::accounts::softnic_names(0)) (*in.softnic)[name] = 0;
  EXPECT_TRUE(make_ledger(in).balanced);
}

TEST(LedgerText, ShowsNumbersAndLeavesZerosOut) {
  LedgerInput in = good_run();
  (*in.softnic)["wire.sent"] = 1234567;
  const std::string text = ledger_text(make_ledger(in));
  EXPECT_THAT(text, HasSubstr("1,234,567 wire.sent = 90 wire.accepted + 10 wire.filtered_l2"));
  EXPECT_THAT(text, Not(HasSubstr("wire.missed")));
  EXPECT_THAT(text, HasSubstr("does not"));
  EXPECT_THAT(text, HasSubstr("The ledger does NOT balance."));
}

TEST(LedgerText, GroupsDigits) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(12345678901234567890ull), "12,345,678,901,234,567,890");
}

TEST(Ledger, AgentWithoutAStoreHasNoLinesOfOne) {
  LedgerInput in = good_run();
  in.parties[1].stores = false;
  in.parties[1].in_file.reset();
  auto& a = *in.parties[1].counters;
  a["store.read"] = a["store.stored"] = 0;
  const Ledger ledger = make_ledger(in);
  EXPECT_TRUE(ledger.balanced) << ledger_text(ledger);
  for (const Line& line : ledger.lines) EXPECT_TRUE(line.stage < 6 || line.stage == 8);
  EXPECT_EQ(lost_for_agent(in, in.parties[1]), 0u);
}

TEST(LostForAgent, NeedsBothSides) {
  LedgerInput in = good_run();
  EXPECT_EQ(lost_for_agent(in, in.parties[1]), 0u);
  in.softnic->erase("vf1.copies");
  EXPECT_EQ(lost_for_agent(in, in.parties[1]), std::nullopt);
}

}  // namespace
}  // namespace vigia::orch
