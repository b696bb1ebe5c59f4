// SPDX-License-Identifier: Apache-2.0
// Mirror rules: reference 82599, section 9. The rows of 9.2 are results seen on real 82599s (S: Snabb's self-test,
// V: DPDK's test plans); here each is a test under its own name.
#include "tests/softnic/pool_select_kit.h"

namespace vigia::softnic {
namespace {

using namespace kit;

// Copies that each pool has got.
class Port {
 public:
  explicit Port(FilterTables tables) : tables_(std::move(tables)) { tables_.index(); }

  Selection receive(const L2Key& frame, unsigned times = 1) {
    Selection s;
    for (unsigned i = 0; i < times; ++i) count(s = select_from_network(tables_, frame));
    return s;
  }
  Selection send(unsigned pool, const L2Key& frame, unsigned times = 1) {
    Selection s;
    for (unsigned i = 0; i < times; ++i) count(s = select_from_pool(tables_, frame, pool));
    return s;
  }
  unsigned got(unsigned pool) const { return got_[pool]; }

 private:
  void count(const Selection& s) {
    EXPECT_EQ(s.verdict, Verdict::accepted);
    EXPECT_EQ(s.mirrored & ~s.pools, 0u);
    for (unsigned p = 0; p < 64; ++p) got_[p] += static_cast<unsigned>(s.pools >> p & 1);
  }
  FilterTables tables_;
  std::array<unsigned, 64> got_{};
};

FilterTables with_rule(MirrorRule rule) {
  FilterTables t = port();
  t.mirror[0] = rule;
  return t;
}
constexpr MirrorRule kVpme{.pool = true, .destination = 1, .sources = 0x1};
constexpr MirrorRule kUpme{.uplink = true, .destination = 1};
constexpr MirrorRule kDpme{.downlink = true, .destination = 1};

// Rows 1 and 2: pool 1 mirrors pool 0, pool 2 mirrors all pools; the copies in the pools are what the queue counters
// show.
TEST(Hardware, TwoPoolMirrorsGet51And102And102) {
  FilterTables t = port();
  t.rar[2].valid = t.rar[3].valid = false;
  t.mirror[0] = kVpme;
  t.mirror[1] = {.pool = true, .destination = 2, .sources = ~PoolMask{0}};
  Port p(t);
  p.receive(to(mac(0)), 51);
  p.receive(to(mac(1)), 51);
  EXPECT_EQ(p.got(0), 51u);
  EXPECT_EQ(p.got(1), 102u);
  EXPECT_EQ(p.got(2), 102u);
}

// Row 3.
TEST(Hardware, PoolMirrorOfVf0) {
  Port p(with_rule(kVpme));
  p.receive(to(mac(0)), 10);
  EXPECT_EQ(p.got(0), 10u);
  EXPECT_EQ(p.got(1), 10u);
}

// Row 4.
TEST(Hardware, UplinkMirror) {
  Port p(with_rule(kUpme));
  p.receive(to(mac(0)), 10);
  EXPECT_EQ(p.got(0), 10u);
  EXPECT_EQ(p.got(1), 10u);
}

// Row 5.
TEST(Hardware, DownlinkMirror) {
  Port p(with_rule(kDpme));
  p.send(0, to(kForeign), 16);
  EXPECT_EQ(p.got(1), 16u);
}

// Row 6.
TEST(Hardware, VlanMirror) {
  FilterTables t = with_rule({.vlan = true, .destination = 1, .vlan_entries = 1ull << 4});
  t.vlan_filter = true;
  set_vid(t.vfta, 3);
  t.vlvf[4] = {true, 3, pools({0})};
  Port p(t);
  p.receive(tagged(to(mac(0)), 3), 10);
  EXPECT_EQ(p.got(0), 10u);
  EXPECT_EQ(p.got(1), 10u);
}

// Row 7: two types in one rule.
TEST(Hardware, DownlinkAndUplinkInOneRule) {
  Port p(with_rule({.uplink = true, .downlink = true, .destination = 1}));
  p.send(0, to(kForeign), 16);
  EXPECT_EQ(p.got(1), 16u);
  p.receive(to(mac(0)), 10);
  EXPECT_EQ(p.got(1), 26u);
}

// Row 8: VF0 forwards by MAC swap; its VLAN's rule points at itself.
TEST(Hardware, AllTypesAtOnceCopyOncePerDirection) {
  FilterTables t = port();
  t.mirror = {kUpme, kDpme, kVpme, MirrorRule{.vlan = true, .destination = 0, .vlan_entries = 1}};
  t.vlvf[0] = {true, 3, pools({0})};
  Port p(t);
  p.receive(to(mac(0)));
  EXPECT_EQ(p.got(0), 1u);
  EXPECT_EQ(p.got(1), 1u) << "uplink and pool rule match, one copy";
  const Selection sent = p.send(0, to(kForeign));
  EXPECT_TRUE(sent.to_wire);
  EXPECT_EQ(p.got(0), 1u);
  EXPECT_EQ(p.got(1), 2u);
}

// Row 9: in MAC loopback what leaves by the port comes back as if from the network.
TEST(Hardware, MacLoopbackFrameToOneself) {
  FilterTables t = port();
  t.loopback = false;
  Port p(t);
  ASSERT_TRUE(p.send(0, to(mac(0))).to_wire);
  p.receive(to(mac(0)));
  EXPECT_EQ(p.got(0), 1u);
}

struct MirrorCase {
  std::string name;
  std::function<void(FilterTables&)> change;
  bool network;
  L2Key frame;  // local ones are sent by pool 0
  PoolMask pools, mirrored;
  unsigned rules;
};

void run(const std::vector<MirrorCase>& cases) {
  for (const MirrorCase& c : cases) {
    SCOPED_TRACE(c.name);
    FilterTables t = port();
    c.change(t);
    t.index();
    const Selection s = c.network ? select_from_network(t, c.frame) : select_from_pool(t, c.frame, 0);
    EXPECT_EQ(s.pools, c.pools);
    EXPECT_EQ(s.mirrored, c.mirrored);
    EXPECT_EQ(s.rules, c.rules);
  }
}

constexpr bool kNetwork = true, kLocal = false;

TEST(MirrorPool, FollowsTheSourcePools) {
  const auto rule = [](FilterTables& t) { t.mirror[2] = {.pool = true, .destination = 9, .sources = pools({1, 40})}; };
  run({
      {"source pool", rule, kNetwork, to(mac(1)), pools({1, 9}), pools({9}), 4},
      {"another pool", rule, kNetwork, to(mac(2)), pools({2}), 0, 0},
      {"second word of PFMRVM",
       [rule](auto& t) {
         rule(t), t.rar[9] = {true, kForeign, pools({40})};
       },
       kNetwork, to(kForeign), pools({9, 40}), pools({9}), 4},
      {"local traffic too", rule, kLocal, to(mac(1)), pools({1, 9}), pools({9}), 4},
      {"what a source sends is not what it receives",
       [](auto& t) { t.mirror[0] = {.pool = true, .destination = 9, .sources = pools({0})}; }, kLocal, to(kForeign), 0,
       0, 0},
      {"VPME off", [rule](auto& t) { rule(t), t.mirror[2].pool = false; }, kNetwork, to(mac(1)), pools({1}), 0, 0},
      {"no sources", [rule](auto& t) { rule(t), t.mirror[2].sources = 0; }, kNetwork, to(mac(1)), pools({1}), 0, 0},
      {"a source that VFRE switched off", [rule](auto& t) { rule(t), t.receive_enable = ~pools({1}); }, kNetwork,
       to(mac(1)), 0, 0, 0},
      {"a source outside the frame's VLAN",
       [rule](auto& t) {
         rule(t), t.vlan_filter = true, t.vfta.fill(~0u), t.vlvf[0] = {true, 5, pools({2})};
       },
       kNetwork, tagged(to(mac(1)), 5), 0, 0, 0},
      {"the default pool is a source",
       [](auto& t) {
         t.fctrl_upe = true, t.default_pool_disabled = false, t.default_pool = 4;
         t.mirror[0] = {.pool = true, .destination = 9, .sources = pools({4})};
       },
       kNetwork, to(kForeign), pools({4, 9}), pools({9}), 1},
  });
}

TEST(MirrorUplink, IsForAllAcceptedFramesOfTheNetwork) {
  const auto rule = [](FilterTables& t) { t.mirror[0] = {.uplink = true, .destination = 9}; };
  run({
      {"with a pool", rule, kNetwork, to(mac(1)), pools({1, 9}), pools({9}), 1},
      {"without any pool (82599)", [rule](auto& t) { rule(t), t.fctrl_upe = true; }, kNetwork, to(kForeign), pools({9}),
       pools({9}), 1},
      {"not what stage A drops", rule, kNetwork, to(kForeign), 0, 0, 0},
      {"not what VFTA drops", [rule](auto& t) { rule(t), t.vlan_filter = true; }, kNetwork, tagged(to(mac(1)), 5), 0, 0,
       0},
      {"not local unicast", rule, kLocal, to(mac(1)), pools({1}), 0, 0},
      {"not what leaves", rule, kLocal, to(kForeign), 0, 0, 0},
  });
}

TEST(MirrorDownlink, IsForWhatLeavesByThePort) {
  const auto rule = [](FilterTables& t) { t.mirror[3] = {.downlink = true, .destination = 9}; };
  run({
      {"leaves", rule, kLocal, to(kForeign), pools({9}), pools({9}), 8},
      {"broadcast leaves too", [rule](auto& t) { rule(t), t.bam = pools({2}); }, kLocal, to(kBroadcast), pools({2, 9}),
       pools({9}), 8},
      {"switched locally: never left", rule, kLocal, to(mac(1)), pools({1}), 0, 0},
      {"from the network", rule, kNetwork, to(mac(1)), pools({1}), 0, 0},
      {"the sender as destination gets its own frame",
       [](auto& t) { t.mirror[3] = {.downlink = true, .destination = 0}; }, kLocal, to(kForeign), pools({0}),
       pools({0}), 8},
      {"LBE off: nothing comes back", [rule](auto& t) { rule(t), t.loopback = false; }, kLocal, to(kForeign), 0, 0, 0},
      {"not what a spoof check dropped", [rule](auto& t) { rule(t), t.mac_antispoof = ~PoolMask{0}; }, kLocal,
       from(to(kForeign), mac(2)), 0, 0, 0},
  });
}

TEST(MirrorVlan, FollowsTheEntryNotTheVid) {
  const auto rule = [](FilterTables& t) {
    t.vlvf[33] = {true, 3, pools({1})};
    t.vlvf[3] = {true, 7, pools({1})};
    t.mirror[1] = {.vlan = true, .destination = 9, .vlan_entries = 1ull << 33};
  };
  run({
      {"entry 33 holds VID 3", rule, kNetwork, tagged(to(mac(1)), 3), pools({1, 9}), pools({9}), 2},
      {"priority bits do not matter", rule, kNetwork, tagged(to(mac(1)), 0xa003), pools({1, 9}), pools({9}), 2},
      {"bit 33 is not VID 33", rule, kNetwork, tagged(to(mac(1)), 33), pools({1}), 0, 0},
      {"another entry", rule, kNetwork, tagged(to(mac(1)), 7), pools({1}), 0, 0},
      {"entry switched off", [rule](auto& t) { rule(t), t.vlvf[33].valid = false; }, kNetwork, tagged(to(mac(1)), 3),
       pools({1}), 0, 0},
      {"a second entry of the VID",
       [rule](auto& t) {
         rule(t), t.vlvf[2] = {true, 3, 0};
       },
       kNetwork, tagged(to(mac(1)), 3), pools({1, 9}), pools({9}), 2},
      {"untagged, entry for VID 0", [rule](auto& t) { rule(t), t.vlvf[33].vid = 0; }, kNetwork, to(mac(1)), pools({1}),
       0, 0},
      {"local traffic too", rule, kLocal, tagged(to(mac(1)), 3), pools({1, 9}), pools({9}), 2},
      {"local traffic that leaves", rule, kLocal, tagged(to(kForeign), 3), pools({9}), pools({9}), 2},
      {"VLME off", [rule](auto& t) { rule(t), t.mirror[1].vlan = false; }, kNetwork, tagged(to(mac(1)), 3), pools({1}),
       0, 0},
  });
}

TEST(MirrorDestination, NeedsReceiveEnableAndNothingElse) {
  const auto rule = [](FilterTables& t) { t.mirror[0] = {.uplink = true, .destination = 9}; };
  run({
      {"VFRE of the destination off: fired, no copy", [rule](auto& t) { rule(t), t.receive_enable = ~pools({9}); },
       kNetwork, to(mac(1)), pools({1}), 0, 1},
      {"its VLAN membership is not asked",
       [rule](auto& t) {
         rule(t), t.vlan_filter = true, t.vfta.fill(~0u), t.vlvf[0] = {true, 5, pools({1})};
       },
       kNetwork, tagged(to(mac(1)), 5), pools({1, 9}), pools({9}), 1},
      {"pool 63", [](auto& t) { t.mirror[0] = {.uplink = true, .destination = 63}; }, kNetwork, to(mac(1)),
       pools({1, 63}), pools({63}), 1},
      {"replication off", [rule](auto& t) { rule(t), t.replication = false; }, kNetwork, to(mac(1)), pools({1}), 0, 0},
  });
}

TEST(MirrorRules, FormASetAndSeeTheListBeforeMirroring) {
  run({
      {"destination in the list already: fired, no second copy",
       [](auto& t) { t.mirror[0] = {.pool = true, .destination = 1, .sources = ~PoolMask{0}}; }, kNetwork, to(mac(1)),
       pools({1}), 0, 1},
      {"two rules, one destination", [](auto& t) { t.mirror[0] = kVpme, t.mirror[3] = kUpme; }, kNetwork, to(mac(0)),
       pools({0, 1}), pools({1}), 9},
      {"a mirror copy is no source for a later rule",
       [](auto& t) { t.mirror[0] = kVpme, t.mirror[1] = {.pool = true, .destination = 2, .sources = pools({1})}; },
       kNetwork, to(mac(0)), pools({0, 1}), pools({1}), 1},
      {"nor for an earlier one",
       [](auto& t) { t.mirror[1] = kVpme, t.mirror[0] = {.pool = true, .destination = 2, .sources = pools({1})}; },
       kNetwork, to(mac(0)), pools({0, 1}), pools({1}), 2},
      {"four rules, four copies",
       [](auto& t) {
         for (std::uint8_t r = 0; r < 4; ++r) {
           t.mirror[r] = {.uplink = true, .destination = static_cast<std::uint8_t>(20 + r)};
         }
       },
       kNetwork, to(mac(0)), pools({0, 20, 21, 22, 23}), pools({20, 21, 22, 23}), 15},
  });
}

}  // namespace
}  // namespace vigia::softnic
