// SPDX-License-Identifier: Apache-2.0
// Frames that a pool transmits: reference 82599, table of 8.5.
#include "tests/softnic/pool_select_kit.h"

namespace vigia::softnic {
namespace {

using namespace kit;

struct LocalCase {
  std::string name;
  std::function<void(FilterTables&)> change;
  L2Key frame;  // sent by pool 0
  Verdict verdict;
  bool to_wire;
  PoolMask pools;
};

void run(const std::vector<LocalCase>& cases) {
  for (const LocalCase& c : cases) {
    SCOPED_TRACE(c.name);
    FilterTables t = port();
    if (c.change) c.change(t);
    t.index();
    const Selection s = select_from_pool(t, c.frame, 0);
    EXPECT_EQ(s.verdict, c.verdict);
    EXPECT_EQ(s.to_wire, c.to_wire);
    EXPECT_EQ(s.pools, c.pools);
  }
}

constexpr auto kOk = Verdict::accepted;

TEST(LocalSwitch, RefusesByTransmitEnableAndLength) {
  run({
      {"PFVFTE off", [](auto& t) { t.transmit_enable = ~pools({0}); }, to(kForeign), Verdict::transmit_disabled, false,
       0},
      {"PFVFTE of others off", [](auto& t) { t.transmit_enable = pools({0}); }, to(kForeign), kOk, true, 0},
      {"9.5 KB with FCS", {}, sized(to(kForeign), kMaxTransmitBytes - 4), kOk, true, 0},
      {"over 9.5 KB", {}, sized(to(kForeign), kMaxTransmitBytes - 3), Verdict::oversize, false, 0},
  });
}

TEST(LocalSwitch, Step0AntiSpoof) {
  const auto macas = [](FilterTables& t) { t.mac_antispoof = pools({0}); };
  const auto both = [](FilterTables& t) {
    t.mac_antispoof = t.vlan_antispoof = pools({0});
    t.vlvf[2] = {true, 100, pools({0, 1})};
    t.vlvf[3] = {true, 200, pools({1})};
  };
  const L2Key spoofed = from(to(kForeign), mac(1)), nobody = from(to(kForeign), 0x7777'0000'0002);
  run({
      {"MACAS: another pool's address", macas, spoofed, Verdict::mac_spoofed, false, 0},
      {"MACAS: nobody's address", macas, nobody, Verdict::mac_spoofed, false, 0},
      {"MACAS: own address", macas, to(kForeign), kOk, true, 0},
      {"MACAS: own RAR without AV", [macas](auto& t) { macas(t), t.rar[0].valid = false; }, to(kForeign),
       Verdict::mac_spoofed, false, 0},
      {"MACAS: a second RAR of the sender",
       [macas](auto& t) {
         macas(t), t.rar[1].pools = pools({0, 1});
       },
       spoofed, kOk, true, 0},
      {"MACAS off", {}, spoofed, kOk, true, 0},
      {"MACAS of others", [](auto& t) { t.mac_antispoof = ~pools({0}); }, spoofed, kOk, true, 0},
      {"VLANAS: foreign VLAN", both, tagged(to(kForeign), 200), Verdict::vlan_spoofed, false, 0},
      {"VLANAS: VID without entry", both, tagged(to(kForeign), 300), Verdict::vlan_spoofed, false, 0},
      {"VLANAS: own VLAN", both, tagged(to(kForeign), 100), kOk, true, 0},
      {"VLANAS: untagged passes", both, to(kForeign), kOk, true, 0},
      {"VLANAS off", [both](auto& t) { both(t), t.vlan_antispoof = 0; }, tagged(to(kForeign), 200), kOk, true, 0},
      {"VLANAS needs MACAS", [both](auto& t) { both(t), t.mac_antispoof = 0; }, tagged(to(kForeign), 200), kOk, true,
       0},
      {"spoof checks work without loopback", [macas](auto& t) { macas(t), t.loopback = false; }, spoofed,
       Verdict::mac_spoofed, false, 0},
  });
}

constexpr std::uint32_t kInsert = 1u << 30, kNever = 2u << 30;

TEST(LocalSwitch, Step0bPortVlan) {
  const auto insert = [](FilterTables& t) { t.vmvir[0] = kInsert | 0x6000 | 100; };
  const auto never = [](FilterTables& t) { t.vmvir[0] = kNever; };
  run({
      {"VLANA 1: the inserted tag", insert, tagged(to(kForeign), 0x6000 | 100), kOk, true, 0},
      {"VLANA 1: another tag", insert, tagged(to(kForeign), 101), Verdict::tag_refused, false, 0},
      {"VLANA 1: nothing was inserted", insert, to(kForeign), Verdict::tag_refused, false, 0},
      {"VLANA 2: tagged", never, tagged(to(kForeign), 100), Verdict::tag_refused, false, 0},
      {"VLANA 2: untagged", never, to(kForeign), kOk, true, 0},
      {"VLANA 0: tagged", [](auto& t) { t.vmvir[0] = 100; }, tagged(to(kForeign), 7), kOk, true, 0},
      {"another pool's PFVMVIR", [](auto& t) { t.vmvir[1] = kNever; }, tagged(to(kForeign), 100), kOk, true, 0},
  });
}

TEST(PortVlanRule, DecidesBeforeTheTagIsInserted) {
  FilterTables t = port();
  EXPECT_EQ(port_vlan(t, to(mac(1)), 5), PortVlan::unchanged);
  EXPECT_EQ(port_vlan(t, tagged(to(mac(1)), 1), 5), PortVlan::unchanged);
  t.vmvir[5] = kInsert | 100;
  EXPECT_EQ(port_vlan(t, to(mac(1)), 5), PortVlan::insert);
  EXPECT_EQ(port_vlan(t, tagged(to(mac(1)), 100), 5), PortVlan::refuse);
  t.vmvir[5] = kNever | 100;
  EXPECT_EQ(port_vlan(t, to(mac(1)), 5), PortVlan::unchanged);
  EXPECT_EQ(port_vlan(t, tagged(to(mac(1)), 100), 5), PortVlan::refuse);
}

TEST(LocalSwitch, OffEverythingLeaves) {
  const auto lbe_off = [](FilterTables& t) { t.loopback = false, t.bam = ~PoolMask{0}; };
  const auto vt_off = [](FilterTables& t) { t.vt = false, t.transmit_enable = 0; };
  run({
      {"LBE off, local unicast", lbe_off, to(mac(1)), kOk, true, 0},
      {"LBE off, broadcast", lbe_off, to(kBroadcast), kOk, true, 0},
      {"VT off", vt_off, to(mac(1)), kOk, true, 0},
  });
}

TEST(LocalSwitch, Step1To3ExactMatchStaysInside) {
  run({
      {"local unicast", {}, to(mac(1)), kOk, false, pools({1})},
      {"foreign unicast", {}, to(kForeign), kOk, true, 0},
      {"VFRE off: not a match, leaves", [](auto& t) { t.receive_enable = ~pools({1}); }, to(mac(1)), kOk, true, 0},
      {"match without pools: leaves",
       [](auto& t) {
         t.rar[9] = {true, kForeign, 0};
       },
       to(kForeign), kOk, true, 0},
      {"stage A is not asked", [](auto& t) { t.max_frame = 1518; }, sized(to(mac(1)), 9000), kOk, false, pools({1})},
      {"no default pool for local unicast", [](auto& t) { t.default_pool_disabled = false; }, to(kForeign), kOk, true,
       0},
      {"no EtherType filter",
       [](auto& t) {
         t.etqf[0] = {true, true, 0x0800, 9};
       },
       to(mac(1)), kOk, false, pools({1})},
  });
}

TEST(LocalSwitch, Step4To8Classes) {
  const auto hashes = [](FilterTables& t) {
    set_hash(t.uta, kForeign), set_hash(t.mta, kGroup);
    t.rope = pools({2}), t.rompe = pools({3}), t.multicast_filter = true;
  };
  run({
      {"broadcast",
       [](auto& t) {
         t.bam = pools({1, 2});
       },
       to(kBroadcast), kOk, true, pools({1, 2})},
      {"broadcast, BAM off", {}, to(kBroadcast), kOk, true, 0},
      {"unicast hash: delivered and sent", hashes, to(kForeign), kOk, true, pools({2})},
      {"unicast hash, list not empty", [hashes](auto& t) { hashes(t), set_hash(t.uta, mac(1)); }, to(mac(1)), kOk,
       false, pools({1})},
      {"multicast hash", hashes, to(kGroup), kOk, true, pools({3})},
      {"multicast hash, MFE off", [hashes](auto& t) { hashes(t), t.multicast_filter = false; }, to(kGroup), kOk, true,
       0},
      {"multicast promiscuous", [hashes](auto& t) { hashes(t), t.mpe = pools({1}); }, to(kGroup), kOk, true,
       pools({1, 3})},
      {"multicast in a RAR leaves too",
       [](auto& t) {
         t.rar[9] = {true, kGroup, pools({3})};
       },
       to(kGroup), kOk, true, pools({3})},
  });
}

TEST(LocalSwitch, Step9SenderIsLeftOut) {
  const auto bam = [](FilterTables& t) { t.bam = pools({0, 1}); };
  run({
      {"own broadcast", bam, to(kBroadcast), kOk, true, pools({1})},
      {"own broadcast with LLE", [bam](auto& t) { bam(t), t.own_loopback = pools({0}); }, to(kBroadcast), kOk, true,
       pools({0, 1})},
      {"LLE of another", [bam](auto& t) { bam(t), t.own_loopback = ~pools({0}); }, to(kBroadcast), kOk, true,
       pools({1})},
      {"to its own address: nowhere", {}, to(mac(0)), kOk, false, 0},
      {"to its own address with LLE", [](auto& t) { t.own_loopback = pools({0}); }, to(mac(0)), kOk, false, pools({0})},
  });
}

TEST(LocalSwitch, Step10Vlan) {
  const auto vlan = [](FilterTables& t) {
    t.vlan_filter = true;
    t.vlvf[0] = {true, 100, pools({0, 1})};
    t.aupe = pools({2});
    t.bam = pools({0, 1, 2, 3});
  };
  run({
      {"member; VFTA is not asked", vlan, tagged(to(mac(1)), 100), kOk, false, pools({1})},
      {"not a member: neither there nor on the wire", vlan, tagged(to(mac(2)), 100), kOk, false, 0},
      {"untagged with AUPE", vlan, to(mac(2)), kOk, false, pools({2})},
      {"untagged without AUPE", vlan, to(mac(1)), kOk, false, 0},
      {"broadcast in its VLAN", vlan, tagged(to(kBroadcast), 100), kOk, true, pools({1})},
      {"VFE off", [vlan](auto& t) { vlan(t), t.vlan_filter = false; }, tagged(to(mac(2)), 100), kOk, false, pools({2})},
  });
}

TEST(LocalSwitch, WithoutReplicationOnePoolAtMost) {
  const auto single = [](FilterTables& t) { t.replication = false, t.bam = t.mpe = ~PoolMask{0}; };
  run({
      {"unicast", single, to(mac(1)), kOk, false, pools({1})},
      {"several pools of a RAR",
       [single](auto& t) {
         single(t), t.rar[1].pools = pools({2, 3});
       },
       to(mac(1)), kOk, false, pools({2})},
      {"broadcast leaves only", single, to(kBroadcast), kOk, true, 0},
      {"nothing is mirrored", [single](auto& t) { single(t), t.mirror[0] = {.downlink = true, .destination = 3}; },
       to(kForeign), kOk, true, 0},
  });
}

}  // namespace
}  // namespace vigia::softnic
