// SPDX-License-Identifier: Apache-2.0
// Frames from the network: reference 82599, tables of 8.1 (acceptance), 8.2 (replication) and 8.3 (none).
#include "tests/softnic/pool_select_kit.h"

namespace vigia::softnic {
namespace {

using namespace kit;

constexpr auto kOk = Verdict::accepted;

TEST(StageA, RefusesByLength) {
  run_from_network({
      {"59 bytes are a runt", {}, sized(to(mac(1)), 59), Verdict::undersize, 0},
      {"60 bytes are the least", {}, sized(to(mac(1)), 60), kOk, pools({1})},
      {"MAXFRS counts the FCS", {}, sized(to(mac(1)), 1514), kOk, pools({1})},
      {"one byte over MAXFRS", {}, sized(to(mac(1)), 1515), Verdict::oversize, 0},
      {"a tag may add four bytes", {}, tagged(sized(to(mac(1)), 1518), 7), kOk, pools({1})},
      {"but not five", {}, tagged(sized(to(mac(1)), 1519), 7), Verdict::oversize, 0},
      {"MAXFRS raised", [](auto& t) { t.max_frame = 9728; }, sized(to(mac(1)), 9724), kOk, pools({1})},
      {"a frame that was no frame", {}, L2Key{}, Verdict::undersize, 0},
  });
}

TEST(StageA, FiltersUnicast) {
  run_from_network({
      {"foreign address", {}, to(kForeign), Verdict::l2_filter, 0},
      {"RAR match", {}, to(mac(2)), kOk, pools({2})},
      {"RAR without AV", [](auto& t) { t.rar[2].valid = false; }, to(mac(2)), Verdict::l2_filter, 0},
      {"RAR 127",
       [](auto& t) {
         t.rar[127] = {true, kForeign, pools({5})};
       },
       to(kForeign), kOk, pools({5})},
      {"RAR match without pools is accepted",
       [](auto& t) {
         t.rar[9] = {true, kForeign, 0};
       },
       to(kForeign), kOk, 0},
      {"PFUTA", [](auto& t) { set_hash(t.uta, kForeign); }, to(kForeign), kOk, 0},
      {"PFUTA is not MTA", [](auto& t) { set_hash(t.mta, kForeign), t.multicast_filter = true; }, to(kForeign),
       Verdict::l2_filter, 0},
      {"FCTRL.UPE", [](auto& t) { t.fctrl_upe = true; }, to(kForeign), kOk, 0},
      {"FCTRL.MPE and BAM are not for unicast", [](auto& t) { t.fctrl_mpe = true; }, to(kForeign), Verdict::l2_filter,
       0},
      {"all zeros is an address like any other", {}, to(0), Verdict::l2_filter, 0},
  });
}

TEST(StageA, FiltersMulticastAndBroadcast) {
  run_from_network({
      {"group", {}, to(kGroup), Verdict::l2_filter, 0},
      {"group in a RAR",
       [](auto& t) {
         t.rar[9] = {true, kGroup, pools({3})};
       },
       to(kGroup), kOk, pools({3})},
      {"MTA with MFE", [](auto& t) { set_hash(t.mta, kGroup), t.multicast_filter = true; }, to(kGroup), kOk, 0},
      {"MTA without MFE", [](auto& t) { set_hash(t.mta, kGroup); }, to(kGroup), Verdict::l2_filter, 0},
      {"FCTRL.MPE", [](auto& t) { t.fctrl_mpe = true; }, to(kGroup), kOk, 0},
      {"FCTRL.UPE is not for groups", [](auto& t) { t.fctrl_upe = true; }, to(kGroup), Verdict::l2_filter, 0},
      {"broadcast with BAM", {}, to(kBroadcast), kOk, 0},
      {"broadcast without BAM", [](auto& t) { t.fctrl_bam = false, t.fctrl_upe = true; }, to(kBroadcast),
       Verdict::l2_filter, 0},
      {"broadcast with MPE", [](auto& t) { t.fctrl_bam = false, t.fctrl_mpe = true; }, to(kBroadcast), kOk, 0},
      {"broadcast in MTA only",
       [](auto& t) {
         t.fctrl_bam = false, t.multicast_filter = true;
         t.mta.fill(~0u);
       },
       to(kBroadcast), Verdict::l2_filter, 0},
  });
}

// The four address windows of the hash, reference 4.4.
TEST(StageA, HashesByMulticastOffset) {
  const std::uint64_t group = 0xabcd'0000'0001;  // bytes 4 and 5: cd ab
  const unsigned value[] = {0xabc, 0x579, 0xaf3, 0xbcd};
  for (std::uint8_t offset = 0; offset < 4; ++offset) {
    SCOPED_TRACE(int{offset});
    FilterTables t = port();
    t.multicast_filter = true;
    t.multicast_offset = offset;
    t.mta.fill(~0u);
    set_vid(t.mta, value[offset]);  // all on; the next line turns that one off
    t.mta[value[offset] / 32] ^= 1u << value[offset] % 32;
    t.index();
    EXPECT_EQ(select_from_network(t, to(group)).verdict, Verdict::l2_filter);
    t.mta.fill(0);
    set_vid(t.mta, value[offset]);
    EXPECT_EQ(select_from_network(t, to(group)).verdict, Verdict::accepted);
  }
}

TEST(StageA, FiltersVlans) {
  const auto filter = [](FilterTables& t) {
    t.vlan_filter = true;
    set_vid(t.vfta, 100);
    t.aupe = ~PoolMask{0};
    t.vlvf[0] = {true, 100, ~PoolMask{0}};
  };
  const auto with_cfi = [filter](bool value) {
    return [filter, value](FilterTables& t) { filter(t), t.cfi_check = true, t.cfi = value; };
  };
  constexpr std::uint16_t kCfi = 0x1000;
  run_from_network({
      {"VFE off: any VID", {}, tagged(to(mac(1)), 101), kOk, pools({1})},
      {"VFE off: CFI unchecked", [](auto& t) { t.cfi_check = true, t.cfi = true; }, tagged(to(mac(1)), 101), kOk,
       pools({1})},
      {"in VFTA", filter, tagged(to(mac(1)), 100), kOk, pools({1})},
      {"not in VFTA", filter, tagged(to(mac(1)), 101), Verdict::vlan_filter, 0},
      {"priority does not count", filter, tagged(to(mac(1)), 0xe000 | 100), kOk, pools({1})},
      {"untagged passes", filter, to(mac(1)), kOk, pools({1})},
      {"CFI set, 0 wanted", with_cfi(false), tagged(to(mac(1)), kCfi | 100), Verdict::vlan_filter, 0},
      {"CFI clear, 0 wanted", with_cfi(false), tagged(to(mac(1)), 100), kOk, pools({1})},
      {"CFI set, 1 wanted", with_cfi(true), tagged(to(mac(1)), kCfi | 100), kOk, pools({1})},
      {"CFI clear, 1 wanted", with_cfi(true), tagged(to(mac(1)), 100), Verdict::vlan_filter, 0},
      {"address before VLAN", filter, tagged(to(kForeign), 101), Verdict::l2_filter, 0},
  });
}

TEST(StageA, MarksInexactMatches) {
  FilterTables t = port();
  set_hash(t.uta, kForeign);
  set_hash(t.uta, mac(1));
  set_hash(t.mta, kGroup);
  t.multicast_filter = t.fctrl_upe = t.fctrl_mpe = true;
  t.index();
  EXPECT_TRUE(select_from_network(t, to(kForeign)).inexact);
  EXPECT_TRUE(select_from_network(t, to(kGroup)).inexact);
  EXPECT_FALSE(select_from_network(t, to(mac(1))).inexact);
  EXPECT_FALSE(select_from_network(t, to(kBroadcast)).inexact);
  EXPECT_FALSE(select_from_network(t, to(0x9999'0000'0002)).inexact) << "promiscuous only";
}

TEST(WithoutVt, EverythingAcceptedGoesToPoolZero) {
  const auto off = [](FilterTables& t) {
    t.vt = false;
    t.receive_enable = 0;
    t.mirror[0] = {.uplink = true, .destination = 3};
  };
  run_from_network({
      {"own", off, to(mac(3)), kOk, pools({0})},
      {"broadcast", off, to(kBroadcast), kOk, pools({0})},
      {"foreign", off, to(kForeign), Verdict::l2_filter, 0},
  });
}

TEST(StageB, Step1And2ExactMatchAndReceiveEnable) {
  run_from_network({
      {"one pool", {}, to(mac(0)), kOk, pools({0})},
      {"pools of equal RARs united",
       [](auto& t) {
         t.rar[50] = {true, mac(0), pools({7, 63})};
       },
       to(mac(0)), kOk, pools({0, 7, 63})},
      {"VFRE off", [](auto& t) { t.receive_enable = ~pools({0}); }, to(mac(0)), kOk, 0},
      {"VFRE off leaves room for the hash",
       [](auto& t) {
         t.receive_enable = ~pools({0});
         set_hash(t.uta, mac(0));
         t.rope = pools({4});
       },
       to(mac(0)), kOk, pools({4})},
  });
}

TEST(StageB, Step3Broadcast) {
  const auto bam = [](FilterTables& t) { t.bam = pools({1, 3}); };
  run_from_network({
      {"BAM pools", bam, to(kBroadcast), kOk, pools({1, 3})},
      {"no BAM pool", {}, to(kBroadcast), kOk, 0},
      {"unicast", bam, to(mac(0)), kOk, pools({0})},
      {"group", [bam](auto& t) { bam(t), t.fctrl_mpe = true; }, to(kGroup), kOk, 0},
      {"BAM pool with VFRE off", [bam](auto& t) { bam(t), t.receive_enable = ~pools({3}); }, to(kBroadcast), kOk,
       pools({1})},
  });
}

TEST(StageB, Step4UnicastHash) {
  const auto rope = [](FilterTables& t) { t.fctrl_upe = true, t.rope = pools({2}), set_hash(t.uta, kForeign); };
  run_from_network({
      // Seen on hardware (8.2): UTA + ROPE delivers a chosen foreign address while the port is promiscuous.
      {"hit", rope, to(kForeign), kOk, pools({2})},
      {"miss", rope, to(0x9999'0000'0002), kOk, 0},
      {"hit, ROPE off", [rope](auto& t) { rope(t), t.rope = 0; }, to(kForeign), kOk, 0},
      {"list not empty", [rope](auto& t) { rope(t), set_hash(t.uta, mac(0)); }, to(mac(0)), kOk, pools({0})},
      {"not for groups", [rope](auto& t) { rope(t), set_hash(t.uta, kGroup), t.fctrl_mpe = true; }, to(kGroup), kOk, 0},
  });
}

TEST(StageB, Step5And6Multicast) {
  const auto rompe = [](FilterTables& t) {
    t.multicast_filter = t.fctrl_mpe = true, t.rompe = pools({2}), set_hash(t.mta, kGroup);
  };
  const auto mpe = [](FilterTables& t) { t.fctrl_mpe = true, t.mpe = pools({1}); };
  run_from_network({
      {"MTA hit", rompe, to(kGroup), kOk, pools({2})},
      {"MTA miss", rompe, to(kGroup ^ 1ull << 47), kOk, 0},
      {"MTA hit, MFE off", [rompe](auto& t) { rompe(t), t.multicast_filter = false; }, to(kGroup), kOk, 0},
      {"list not empty",
       [rompe](auto& t) {
         rompe(t), t.rar[9] = {true, kGroup, pools({3})};
       },
       to(kGroup), kOk, pools({3})},
      {"MPE", mpe, to(kGroup), kOk, pools({1})},
      {"MPE beside ROMPE", [rompe, mpe](auto& t) { rompe(t), mpe(t); }, to(kGroup), kOk, pools({1, 2})},
      {"MPE beside an exact match",
       [mpe](auto& t) {
         mpe(t), t.rar[9] = {true, kGroup, pools({3})};
       },
       to(kGroup), kOk, pools({1, 3})},
      {"MPE is not for unicast", mpe, to(mac(0)), kOk, pools({0})},
      // Seen on hardware (8.2): switching a VF's BAM bit off stops its broadcasts.
      {"nor for broadcast", mpe, to(kBroadcast), kOk, 0},
  });
}

TEST(StageB, Step8Vlan) {
  const auto vlan = [](FilterTables& t) {
    t.vlan_filter = true;
    set_vid(t.vfta, 100);
    set_vid(t.vfta, 200);
    t.vlvf[5] = {true, 100, pools({1, 2})};
    t.vlvf[63] = {true, 4095, pools({1})};
    t.aupe = pools({0});
    t.bam = pools({0, 1, 2, 3});
  };
  run_from_network({
      {"member", vlan, tagged(to(mac(1)), 100), kOk, pools({1})},
      {"not a member", vlan, tagged(to(mac(3)), 100), kOk, 0},
      {"VID without entry", vlan, tagged(to(mac(1)), 200), kOk, 0},
      {"entry without VI_EN", [vlan](auto& t) { vlan(t), t.vlvf[5].valid = false; }, tagged(to(mac(1)), 100), kOk, 0},
      {"entry 63, VID 4095", [vlan](auto& t) { vlan(t), set_vid(t.vfta, 4095); }, tagged(to(mac(1)), 4095), kOk,
       pools({1})},
      {"two entries for a VID",
       [vlan](auto& t) {
         vlan(t), t.vlvf[9] = {true, 100, pools({3})};
       },
       tagged(to(mac(3)), 100), kOk, pools({3})},
      {"broadcast narrowed", vlan, tagged(to(kBroadcast), 100), kOk, pools({1, 2})},
      {"VLAN alone chooses no pool", [vlan](auto& t) { vlan(t), t.fctrl_upe = true; }, tagged(to(kForeign), 100), kOk,
       0},
      {"untagged with AUPE", vlan, to(mac(0)), kOk, pools({0})},
      {"untagged without AUPE", vlan, to(mac(1)), kOk, 0},
      {"untagged broadcast", vlan, to(kBroadcast), kOk, pools({0})},
      {"VFE off: step left out", [vlan](auto& t) { vlan(t), t.vlan_filter = false; }, tagged(to(mac(3)), 100), kOk,
       pools({3})},
      {"VFE off: AUPE not asked", [vlan](auto& t) { vlan(t), t.vlan_filter = false; }, to(mac(3)), kOk, pools({3})},
  });
}

TEST(StageB, Step9DefaultPool) {
  const auto use = [](FilterTables& t) { t.default_pool_disabled = false, t.default_pool = 6, t.fctrl_upe = true; };
  run_from_network({
      {"empty list", use, to(kForeign), kOk, pools({6})},
      {"DIS_DEF_POOL", [use](auto& t) { use(t), t.default_pool_disabled = true; }, to(kForeign), kOk, 0},
      {"list not empty", use, to(mac(1)), kOk, pools({1})},
      {"emptied by the VLAN step", [use](auto& t) { use(t), t.vlan_filter = true; }, to(mac(1)), kOk, pools({6})},
      {"default pool with VFRE off", [use](auto& t) { use(t), t.receive_enable = ~pools({6}); }, to(kForeign), kOk, 0},
      {"asked before the last VFRE: a list of dead pools is not empty",
       [use](auto& t) { use(t), t.bam = pools({3}), t.receive_enable = ~pools({3}); }, to(kBroadcast), kOk, 0},
  });
}

TEST(StageB, Step10And12EtherType) {
  const auto use = [](FilterTables& t) { t.etqf[3] = {true, true, 0x88f7, 9}; };
  const L2Key ptp = typed(to(mac(1)), 0x88f7);
  run_from_network({
      {"replaces the list", use, ptp, kOk, pools({9})},
      {"another EtherType", use, to(mac(1)), kOk, pools({1})},
      {"not enabled", [use](auto& t) { use(t), t.etqf[3].enabled = false; }, ptp, kOk, pools({1})},
      {"no pool enable", [use](auto& t) { use(t), t.etqf[3].to_pool = false; }, ptp, kOk, pools({1})},
      {"the lowest of two",
       [use](auto& t) {
         use(t), t.etqf[1] = {true, true, 0x88f7, 8};
       },
       ptp, kOk, pools({8})},
      {"VFRE off", [use](auto& t) { use(t), t.receive_enable = ~pools({9}); }, ptp, kOk, 0},
      {"does not help at stage A", use, typed(to(kForeign), 0x88f7), Verdict::l2_filter, 0},
  });
}

TEST(WithoutReplication, OnePoolAtMost) {
  const auto single = [](FilterTables& t) {
    t.replication = false;
    t.fctrl_upe = t.fctrl_mpe = t.multicast_filter = true;
    t.bam = t.mpe = t.rompe = pools({1, 2});
    t.rope = pools({5, 6});
    t.default_pool = 4;
    t.default_pool_disabled = false;
    t.mirror[0] = {.uplink = true, .destination = 3};
  };
  const auto with = [single](auto more) { return [single, more](FilterTables& t) { single(t), more(t); }; };
  run_from_network({
      {"exact match", single, to(mac(1)), kOk, pools({1})},
      {"exact match, VFRE off", with([](auto& t) { t.receive_enable = ~pools({1}); }), to(mac(1)), kOk, pools({4})},
      {"several pools of a RAR", with([](auto& t) {
         t.rar[1].pools = pools({2, 7});
       }),
       to(mac(1)), kOk, pools({2})},
      {"unicast hash", with([](auto& t) { set_hash(t.uta, kForeign); }), to(kForeign), kOk, pools({5})},
      {"foreign", single, to(kForeign), kOk, pools({4})},
      {"foreign, no default pool", with([](auto& t) { t.default_pool_disabled = true; }), to(kForeign), kOk, 0},
      {"broadcast", single, to(kBroadcast), kOk, pools({4})},
      {"multicast hash is not asked", with([](auto& t) { set_hash(t.mta, kGroup); }), to(kGroup), kOk, pools({4})},
      {"multicast in a RAR", with([](auto& t) {
         t.rar[9] = {true, kGroup, pools({3})};
       }),
       to(kGroup), kOk, pools({3})},
      {"VLAN step", with([](auto& t) { t.vlan_filter = true; }), to(mac(1)), kOk, pools({4})},
      {"VLAN step picks the member", with([](auto& t) {
         t.vlan_filter = true, t.aupe = pools({7}), t.rar[1].pools = pools({2, 7});
       }),
       to(mac(1)), kOk, pools({7})},
      {"EtherType", with([](auto& t) {
         t.etqf[0] = {true, true, 0x0800, 11};
       }),
       to(mac(1)), kOk, pools({11})},
      {"default pool with VFRE off", with([](auto& t) { t.receive_enable = ~pools({4}); }), to(kForeign), kOk, 0},
  });
}

TEST(Tables, NeverIndexedSelectNothing) {
  FilterTables t = port();
  t.vlan_filter = true;
  t.vfta.fill(~0u);
  t.vlvf[0] = {true, 0, ~PoolMask{0}};
  EXPECT_EQ(select_from_network(t, to(mac(0))).verdict, Verdict::l2_filter);
  t.fctrl_upe = true;
  EXPECT_EQ(select_from_network(t, tagged(to(mac(0)), 0)).pools, 0u);
}

TEST(Tables, AllAddressSlotsTakenIsStillFound) {
  FilterTables t = port();
  for (unsigned n = 0; n < 128; ++n) t.rar[n] = {true, std::uint64_t{n} << 40 | 2, PoolMask{1} << n % 64};
  t.index();
  for (unsigned n = 0; n < 128; ++n) {
    EXPECT_EQ(select_from_network(t, to(std::uint64_t{n} << 40 | 2)).pools, PoolMask{1} << n % 64) << n;
  }
  EXPECT_EQ(select_from_network(t, to(std::uint64_t{128} << 40 | 2)).verdict, Verdict::l2_filter);
}

}  // namespace
}  // namespace vigia::softnic
