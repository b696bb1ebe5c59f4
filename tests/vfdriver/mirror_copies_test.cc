// SPDX-License-Identifier: Apache-2.0
// What mirrors predict, as tables; and how a table of duplicates keeps count of it.
#include "vfdriver/mirror_copies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/duplicates.h"

namespace vigia::vf {
namespace {

using hw::Mac;
using ::testing::HasSubstr;

constexpr Mac mac(std::uint8_t last) { return {{2, 0, 0, 0, 0, last}}; }
constexpr Mac kWeb = mac(1), kDb = mac(2), kMail = mac(3), kAgent = mac(9), kOutside = mac(0x77);
constexpr Mac kAll{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, kGroup{{0x33, 0x33, 0, 0, 0, 1}};

MirroredTenant tenant(const Mac& own, bool sends, bool receives) { return {{own}, {}, {}, sends, receives}; }

// web and db are mirrored in both directions, mail in what it receives.
MirrorRules three() {
  return {{tenant(kWeb, true, true), tenant(kDb, true, true), tenant(kMail, false, true)}, {kAgent}, false};
}

TEST(MirrorCopies, OfMirrorsThatEachMakeACopy) {
  struct Row {
    const char* what;
    Mac from, to;
    Copies copies;
  };
  const Row rows[] = {
      {"both ends are mirrored", kWeb, kDb, {2, 2}},
      {"and back", kDb, kWeb, {2, 2}},
      {"to one that is mirrored in what it receives", kWeb, kMail, {2, 2}},
      {"from one whose sending is not mirrored", kMail, kWeb, {1, 1}},
      {"to the outside", kWeb, kOutside, {1, 1}},
      {"from the outside", kOutside, kWeb, {1, 1}},
      {"neither end: not by a mirror", kOutside, mac(0x55), {1, 1}},
      {"broadcast of a mirrored tenant: itself, two receivers, perhaps the agent's own", kWeb, kAll, {3, 4}},
      {"broadcast of one whose sending is not mirrored", kMail, kAll, {2, 3}},
      {"broadcast from the outside", kOutside, kAll, {3, 4}},
      {"multicast: who has joined is not known", kWeb, kGroup, {1, 4}},
      {"multicast from the outside", kOutside, kGroup, {1, 4}},
      {"to the agent itself", kWeb, kAgent, {1, 2}},
      {"to the agent from the outside", kOutside, kAgent, {1, 1}},
      {"to itself: nobody else gets it", kWeb, kWeb, {1, 1}},
  };
  for (const Row& row : rows) {
    const Copies got = copies_of(three(), {row.to, row.from, {}});
    EXPECT_EQ(got, row.copies) << row.what << ": " << +got.least << ".." << +got.most;
  }
}

TEST(MirrorCopies, RulesOfANicMakeOneCopyWhateverMatches) {
  const MirrorRules rules{{}, {kAgent}, true};
  for (const Mac& to : {kWeb, kAll, kGroup, kAgent}) {
    EXPECT_EQ(copies_of(rules, {to, kDb, {}}), (Copies{1, 1})) << to.text();
  }
}

TEST(MirrorCopies, Vlans) {
  MirrorRules rules{{tenant(kWeb, true, true), tenant(kDb, true, true), tenant(kMail, true, true)}, {}, false};
  rules.tenants[0].vlans = {10, 20};  // tags itself
  rules.tenants[1].vlans = {20};
  rules.tenants[2].vlans = {30}, rules.tenants[2].port_vlan = 30;  // never sees a tag
  struct Row {
    const char* what;
    Mac from, to;
    std::optional<std::uint16_t> vlan;
    Copies copies;
  };
  const Row rows[] = {
      {"both are members", kWeb, kDb, 20, {2, 2}},
      {"the receiver is not: it never gets it", kWeb, kDb, 10, {1, 1}},
      {"broadcast in a VLAN of two", kWeb, kAll, 20, {2, 3}},
      {"broadcast in a VLAN of one", kWeb, kAll, 10, {1, 2}},
      {"from outside with the tag", kOutside, kDb, 20, {1, 1}},
      {"tagged, to one that gets it without: another length, no duplicate", kOutside, kMail, 30, {1, 1}},
      {"between port VLANs that differ", kMail, kWeb, {}, {1, 1}},
      {"broadcast out of a port VLAN", kMail, kAll, {}, {1, 2}},
      {"untagged from outside, whose tag may have been taken off", kOutside, kMail, {}, {1, 1}},
      {"untagged broadcast from outside", kOutside, kAll, {}, {2, 4}},
  };
  for (const Row& row : rows) {
    const Copies got = copies_of(rules, {row.to, row.from, row.vlan});
    EXPECT_EQ(got, row.copies) << row.what << ": " << +got.least << ".." << +got.most;
  }
}

TEST(MirrorCopies, AddressesOfAFrame) {
  std::vector<std::byte> frame = frame_of(0, 60);
  const auto put = [&](std::size_t at, std::initializer_list<int> bytes) {
    for (const int b : bytes) frame[at++] = static_cast<std::byte>(b);
  };
  put(0, {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0});
  const auto plain = addresses_of(frame);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->destination, kDb);
  EXPECT_EQ(plain->source, kWeb);
  EXPECT_FALSE(plain->vlan);
  put(12, {0x81, 0, 0xe0, 20});
  EXPECT_EQ(addresses_of(frame)->vlan, 20) << "priority is no part of it";
  put(12, {0x88, 0xa8, 0, 7});
  EXPECT_EQ(addresses_of(frame)->vlan, 7);
  put(12, {0x81, 0, 0xe0, 0});
  EXPECT_FALSE(addresses_of(frame)->vlan) << "VLAN 0 is a priority only";
  put(12, {0x81, 0, 0, 20});
  EXPECT_FALSE(addresses_of(std::span(frame).first(14))->vlan) << "cut before the tag's number";
  EXPECT_FALSE(addresses_of(std::span(frame).first(13)));
}

// --- The file -------------------------------------------------------------------------------------------------------

std::string port(const std::string& mirrors, const std::string& rules = "",
                 const std::string& db = "02:00:00:00:00:02") {
  return R"({"generator":"tc","vfs":[
    {"index":0,"macs":["02:00:00:00:00:01"],"vlans":[],"port_vlan":null},
    {"index":1,"macs":[)" +
         (db.empty() ? "" : "\"" + db + "\"") + R"(],"vlans":[20],"port_vlan":20},
    {"index":2,"macs":["02:00:00:00:00:09"],"vlans":[],"port_vlan":null}],
    "mirrors":[)" +
         mirrors + R"(],"rules":[)" + rules + "]}";
}
const std::string kWebBoth = R"({"from":0,"to":2,"direction":"rx"},{"from":0,"to":2,"direction":"tx"})";
const std::string kDbRx = R"({"from":1,"to":2,"direction":"rx"})", kToOther = R"({"from":1,"to":0,"direction":"rx"})";

TEST(MirrorRulesFile, WhatThePortHas) {
  const auto rules = parse_mirror_rules(port(kWebBoth + "," + kDbRx), "m.json", {}, {});
  ASSERT_TRUE(rules) << rules.error().text;
  ASSERT_EQ(rules->tenants.size(), 2u);
  EXPECT_EQ(rules->tenants[0].macs, std::vector{kWeb});
  EXPECT_TRUE(rules->tenants[0].sends && rules->tenants[0].receives);
  EXPECT_FALSE(rules->tenants[1].sends);
  EXPECT_EQ(rules->tenants[1].port_vlan, 20);
  EXPECT_EQ(rules->agent, std::vector{kAgent});
  EXPECT_FALSE(rules->once);

  const auto nic = parse_mirror_rules(port("", R"({"destination":2})"), "m.json", {}, {});
  ASSERT_TRUE(nic) << nic.error().text;
  EXPECT_TRUE(nic->once);
  EXPECT_TRUE(nic->tenants.empty());
}

TEST(MirrorRulesFile, WhichAgentOfSeveral) {
  const std::string two = port(kWebBoth + "," + kToOther);
  EXPECT_EQ(parse_mirror_rules(two, "m", 0u, {})->tenants.front().macs, std::vector{kDb});
  EXPECT_EQ(parse_mirror_rules(two, "m", {}, kAgent)->tenants.front().macs, std::vector{kWeb}) << "by its address";
  const auto unclear = parse_mirror_rules(two, "m.json", {}, kOutside);
  ASSERT_FALSE(unclear);
  EXPECT_EQ(unclear.error().exit_status(), 2);
  EXPECT_THAT(unclear.error().text, HasSubstr("m.json: copies go to VF 0, 2; say by --mirror-agent"));
}

TEST(MirrorRulesFile, NothingMirroredIsNoFaultOfTheText) {
  const auto nobody = parse_mirror_rules(port(""), "m.json", {}, {});
  ASSERT_TRUE(nobody) << nobody.error().text;
  EXPECT_TRUE(nobody->none());
  EXPECT_FALSE(nobody->vf);
  const auto another = parse_mirror_rules(port(kToOther), "m.json", 2u, {});
  ASSERT_TRUE(another) << another.error().text;
  EXPECT_TRUE(another->none());
  EXPECT_EQ(another->vf, 2u);
}

TEST(MirrorRulesFile, Refusals) {
  const std::pair<std::string, const char*> rows[] = {
      {"", "m.json: cannot be read, or is empty"},
      {"{", "m.json: not what `vigia pf show --json` of this version prints"},
      {"[]", "not what"},
      {"{}", "not what"},
      {R"({"vfs":[],"mirrors":[{"from":-1,"to":"x"}],"rules":[]})", "not what"},
      {port(kDbRx, "", ""), "m.json: the address of VF 1, which is mirrored, is not there; give it `mac`"},
      {R"({"vfs":[],"mirrors":[{"from":5,"to":2,"direction":"rx"}],"rules":[]})", "the address of VF 5"},
  };
  for (const auto& [text, says] : rows) {
    const auto rules = parse_mirror_rules(text, "m.json", {}, {});
    ASSERT_FALSE(rules) << text;
    EXPECT_EQ(rules.error().exit_status(), 2);
    EXPECT_THAT(rules.error().text, HasSubstr(says));
  }
  TempDir dir;
  const auto load = [&](const std::string& text, std::optional<unsigned> agent) {
    std::ofstream(dir / "m.json") << text;
    const auto rules = load_mirror_rules(dir / "m.json", agent, {});
    return rules ? "accepted" : rules.error().text;
  };
  EXPECT_THAT(load(port(""), {}), HasSubstr("m.json: nothing is mirrored; bring the tap up first"));
  EXPECT_THAT(load(port(kDbRx), 1u), HasSubstr("nothing is mirrored to VF 1; is it the agent's?"));
  EXPECT_THAT(load(port(kDbRx), 2u), "accepted");
  EXPECT_THAT(load_mirror_rules("/nonexistent/m.json", {}, {}).error().text, HasSubstr("cannot be read"));
}

// --- Prediction against what comes ----------------------------------------------------------------------------------

constexpr std::uint64_t kMs = 1'000'000;

class CopyCount : public ::testing::Test {
 protected:
  // Frame number n from web to db, or from the outside to db.
  bool comes(std::uint64_t n, std::uint64_t ms, const Mac& from = kWeb) {
    std::vector<std::byte> frame = frame_of(n, 80);
    std::memcpy(frame.data(), kDb.bytes.data(), 6);
    std::memcpy(frame.data() + 6, from.bytes.data(), 6);
    const RxSegment segment{frame.data(), 80, true};
    table_.foresee({&segment, 1});
    return table_.repeats(0, segment, 80, kMs * (1000 + ms));
  }
  void expect(std::array<std::uint64_t, 4> counts, const char* why = "") {
    const CopyCounts& c = table_.copies();
    EXPECT_EQ((std::array{c.predicted, c.unpredicted, c.missing, c.open}), counts) << why;
  }
  void settle(std::uint64_t ms) { table_.settle(kMs * (1000 + ms)); }

  CurrentMirrors rules_{three()};
  Duplicates table_{{.records = 16}, &rules_};  // two buckets, a window of 200 ms
};

TEST_F(CopyCount, EveryFrameTwiceIsWhatIsPredicted) {
  for (std::uint64_t n = 0; n < 100; ++n) {
    EXPECT_FALSE(comes(n, n));
    EXPECT_TRUE(comes(n, n));
  }
  settle(1000);
  expect({100, 0, 0, 0});
}

TEST_F(CopyCount, AThirdArrivalIsNotPredicted) {
  comes(1, 0), comes(1, 1), comes(1, 2), comes(1, 3);
  comes(2, 4, kOutside), comes(2, 5, kOutside);
  settle(1000);
  expect({1, 3, 0, 0});
}

TEST_F(CopyCount, ACopyThatDoesNotComeIsMissingOnceTheWindowIsOver) {
  comes(1, 0);
  comes(2, 1), comes(2, 2);
  comes(3, 3, kOutside);
  table_.look_back(kMs * 1150, 100);
  expect({1, 0, 0, 0}, "it may still come");
  table_.look_back(kMs * 1250, 100);
  expect({1, 0, 1, 0});
  table_.look_back(kMs * 1250, 100);
  settle(1000);
  expect({1, 0, 1, 0}, "counted once");
}

TEST_F(CopyCount, RulesThatChangeHoldForFramesThatComeThen) {
  comes(1, 0);
  rules_.set({});
  comes(1, 1);
  comes(2, 2), comes(2, 3);
  rules_.set(three());
  comes(3, 4), comes(3, 5);
  comes(2, 6);
  settle(1000);
  expect({2, 2, 0, 0}, "frame 2 came first when nothing was mirrored");
}

TEST_F(CopyCount, TheSameFrameLaterIsAnotherFrame) {
  EXPECT_FALSE(comes(1, 0));
  EXPECT_FALSE(comes(1, 300)) << "the window is over";
  expect({0, 0, 1, 0});
  EXPECT_TRUE(comes(1, 301));
  settle(1000);
  expect({1, 0, 1, 0});
}

TEST_F(CopyCount, WhatWasForgottenOrCutOffByTheEndIsOpen) {
  for (std::uint64_t n = 0; n < 17; ++n) comes(n, n);
  EXPECT_GE(table_.copies().open, 1u) << "17 frames, 16 records, all within the window";
  EXPECT_EQ(table_.copies().missing, 0u);
  settle(20);
  expect({0, 0, 0, 17});
}

TEST_F(CopyCount, WithoutMirrorsNothingIsCounted) {
  Duplicates plain({.records = 16});
  EXPECT_FALSE(plain.has_mirrors());
  const std::vector<std::byte> frame = frame_of(1, 80);
  const RxSegment segment{frame.data(), 80, true};
  plain.foresee({&segment, 1});
  EXPECT_FALSE(plain.repeats(0, segment, 80, 1));
  EXPECT_TRUE(plain.repeats(0, segment, 80, 2));
  EXPECT_EQ(plain.copies().predicted + plain.copies().unpredicted, 0u);
}

}  // namespace
}  // namespace vigia::vf
