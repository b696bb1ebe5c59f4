// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/ixgbe/bits.h"
#include "pfdriver/plan.h"
#include "pfdriver/show.h"

namespace vigia::pf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Lines = std::vector<std::string>;

PfConfig config(std::string_view text) {
  auto parsed = parse_config(text, "pf.yaml");
  EXPECT_TRUE(parsed) << parsed.error().text;
  return *parsed;
}

// Four VFs, web and dns as tenants, agent on VF 3; `vf` and `taps` in flow style.
PfConfig scene(std::string_view taps, std::string_view web = "", std::string_view dns = "",
               std::string_view port = "") {
  return config("pf:\n  vfs: 4\n" + std::string(port) +
                "  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\", name: web" + std::string(web) +
                "}\n    - {index: 1, mac: \"02:00:00:00:00:02\", name: dns" + std::string(dns) +
                "}\n    - {index: 3, name: agent}\n  taps:\n" + std::string(taps));
}

Plan fresh(const PfConfig& c) { return make_plan(capabilities_82599(), c, Current{}); }

struct Shape {
  const char* name;
  std::string taps, web, dns;
  Lines scopes;
  std::uint32_t mrctl;  // of rule 0
  std::uint64_t mrvm, mrvlan;
};

class Shapes : public testing::TestWithParam<Shape> {};

TEST_P(Shapes, ScopeInWordsAndRegisters) {
  const Shape& shape = GetParam();
  const PfConfig c = scene(shape.taps, shape.web, shape.dns);
  const Plan plan = fresh(c);
  EXPECT_THAT(plan.refusals, IsEmpty());
  EXPECT_EQ(plan.scopes, shape.scopes);
  const Image image = desired_image(capabilities_82599(), c, {}, plan_taps(capabilities_82599(), c, {}), Image{}).image;
  EXPECT_EQ(image.at(Field::mrctl, 0), shape.mrctl);
  EXPECT_EQ(image.pair(Field::mrvm, 0, 4), shape.mrvm);
  EXPECT_EQ(image.pair(Field::mrvlan, 0, 4), shape.mrvlan);
  EXPECT_EQ(decode(image, capabilities_82599(), c).scopes, shape.scopes) << "registers must say what the plan said";
}

const std::string kRx0 =
    "rule 0 -> VF 3 (agent): every frame that VF 0 (web) receives, from the network or from another VF of this port";
const std::string kDown =
    "rule 0 -> VF 3 (agent): every frame that any VF sends to the network; not what VFs send to each other inside the "
    "NIC";
const std::string kUp =
    "rule 0 -> VF 3 (agent): every frame that arrives from the network, whatever its address or VLAN";
const std::string kVlan100 =
    "rule 0 -> VF 3 (agent): every frame of VLAN 100 in both directions, received from the network or sent by VF 0 "
    "(web)";
const std::string kUntagged = "; what it sends without that tag is not copied",
                  kTagged = "; the NIC tags all that it sends";

INSTANTIATE_TEST_SUITE_P(
    Taps, Shapes,
    testing::Values(
        Shape{"None", "", "", "", {}, 0, 0, 0},
        Shape{"Rx", "    - {name: t, from: [0], to: 3}\n", "", "", {kRx0}, 0x301, 1, 0},
        Shape{"RxOfTwo",
              "    - {name: t, from: [0, 1], to: 3}\n",
              "",
              "",
              {"rule 0 -> VF 3 (agent): every frame that VF 0 (web), VF 1 (dns) receives, from the network or from "
               "another "
               "VF of this port"},
              0x301,
              3,
              0},
        Shape{"TxByOwnVlan",
              "    - {name: t, from: [0], to: 3, direction: tx}\n",
              ", vlan: 100",
              ", vlan: 200",
              {kVlan100 + kUntagged},
              0x308,
              0,
              1},
        Shape{"TxByPortVlan",
              "    - {name: t, from: [0], to: 3, direction: tx}\n",
              ", vlan: 100, port_vlan: true",
              "",
              {kVlan100 + kTagged},
              0x308,
              0,
              1},
        Shape{"TxByPort",
              "    - {name: t, from: [0], to: 3, direction: tx, allow_port_scope: true}\n",
              "",
              "",
              {kDown},
              0x304,
              0,
              0},
        Shape{"BothByVlan",
              "    - {name: t, from: [0], to: 3, direction: both}\n",
              ", vlan: 100",
              "",
              {kRx0, kVlan100 + kUntagged},
              0x309,
              1,
              1},
        Shape{"BothByPort",
              "    - {name: t, from: [0], to: 3, direction: both, allow_port_scope: true}\n",
              "",
              "",
              {kRx0, kDown},
              0x305,
              1,
              0},
        Shape{
            "VlanOfBothTapped",
            "    - {name: t, from: [0, 1], to: 3, direction: tx}\n",
            ", vlan: 100",
            ", vlan: 100",
            {"rule 0 -> VF 3 (agent): every frame of VLAN 100 in both directions, received from the network or sent by "
             "VF 0 (web), VF 1 (dns)" +
             kUntagged},
            0x308,
            0,
            1},
        Shape{"PortRx", "    - {name: t, port: true, to: 3}\n", "", "", {kUp}, 0x302, 0, 0},
        Shape{"PortTx", "    - {name: t, port: true, to: 3, direction: tx}\n", "", "", {kDown}, 0x304, 0, 0},
        Shape{"PortBoth", "    - {name: t, port: true, to: 3, direction: both}\n", "", "", {kUp, kDown}, 0x306, 0, 0},
        Shape{"SameAgentSharesARule",
              "    - {name: a, from: [0], to: 3}\n    - {name: b, port: true, to: 3, direction: tx}\n",
              "",
              "",
              {kRx0, kDown},
              0x305,
              1,
              0}),
    [](const auto& row) { return row.param.name; });

struct Refused {
  const char* name;
  std::string taps, web, dns, port, expected;
};
class TapRefusals : public testing::TestWithParam<Refused> {};

TEST_P(TapRefusals, NameTheAlternative) {
  const Refused& r = GetParam();
  const Plan plan = fresh(scene(r.taps, r.web, r.dns, r.port));
  EXPECT_THAT(plan.refusals, ElementsAre(r.expected));
  EXPECT_THAT(plan.changes, IsEmpty());
  const auto result = verdict(plan);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 2);
}

const std::string kAlternative =
    "; give each tapped VF a vlan of its own (then a VLAN rule copies just that), or set allow_port_scope: true (then "
    "VF 3 "
    "(agent) gets what every VF sends to the network)";

INSTANTIATE_TEST_SUITE_P(
    Taps, TapRefusals,
    testing::Values(
        Refused{"TxWithoutVlan", "    - {name: t, from: [0], to: 3, direction: tx}\n", "", "", "",
                "tap t: the 82599 cannot mirror what one VF sends, and VF 0 (web) has no VLAN" + kAlternative},
        Refused{"TxWithSharedVlan", "    - {name: t, from: [0], to: 3, direction: both}\n", ", vlan: 7", ", vlan: 7",
                "",
                "tap t: the 82599 cannot mirror what one VF sends, and VLAN 7 of VF 0 (web) is VF 1 (dns)'s too" +
                    kAlternative},
        Refused{"TxOfOneWithAndOneWithout", "    - {name: t, from: [0, 1], to: 3, direction: tx}\n", ", vlan: 7", "",
                "", "tap t: the 82599 cannot mirror what one VF sends, and VF 1 (dns) has no VLAN" + kAlternative},
        Refused{"TxWithoutLoopback", "    - {name: t, from: [0], to: 3, direction: tx}\n", ", vlan: 7", "",
                "  loopback: false\n",
                "tap t: with loopback: false nothing that a VF sends can be mirrored; set loopback: true, or use "
                "direction: "
                "rx"},
        Refused{"PortTxWithoutLoopback", "    - {name: t, port: true, to: 3, direction: both}\n", "", "",
                "  loopback: false\n",
                "tap t: with loopback: false nothing that leaves the port can be mirrored; set loopback: true, or use "
                "direction: rx"}),
    [](const auto& row) { return row.param.name; });

TEST(PlanOfGenerators, NativeRefusesAWishForAnother) {
  const auto config = parse_config("pf:\n  vfs: 2\n  generator: kernel\n", "pf.yaml");
  ASSERT_TRUE(config);
  const Plan plan = make_plan(capabilities_82599(), *config, Current{});
  ASSERT_THAT(plan.refusals, testing::SizeIs(1));
  EXPECT_THAT(plan.refusals[0],
              testing::HasSubstr("pf.generator: kernel is wanted, and this port is driven by native"));
}

TEST(Plan, FiveAgentsDoNotFitFourRules) {
  std::string text = "pf:\n  vfs: 6\n  taps:\n";
  for (int to = 1; to <= 5; ++to)
    text += "    - {name: t" + std::to_string(to) + ", from: [0], to: " + std::to_string(to) + "}\n";
  EXPECT_THAT(
      fresh(config(text)).refusals,
      ElementsAre("taps: 5 mirror rules are needed and the 82599 has 4, with one destination each; the taps go to "
                  "VF 1, VF 2, VF 3, VF 4, VF 5: let 4 or fewer agents receive them (taps with the same agent "
                  "share a rule)"));
}

TEST(Plan, ANicWithOneTypePerRuleNeedsMoreOfThem) {
  Capabilities nic = capabilities_82599();
  nic.mirror_types_combine = false;
  const PfConfig c = scene("    - {name: t, from: [0], to: 3, direction: both}\n", ", vlan: 100");
  EXPECT_EQ(plan_taps(nic, c, {}).rules.size(), 2u);
  EXPECT_EQ(plan_taps(capabilities_82599(), c, {}).rules.size(), 1u);
}

TEST(Plan, AVfThatJoinedTheVlanMakesTheRuleTooWide) {
  const PfConfig c = scene("    - {name: t, from: [0], to: 3, direction: tx}\n", ", vlan: 100");
  Current current;
  current.states.resize(4);
  current.states[2].vlans.insert(100);
  EXPECT_THAT(make_plan(capabilities_82599(), c, current).refusals,
              ElementsAre(HasSubstr("VLAN 100 of VF 0 (web) is VF 2's too")));
  EXPECT_THAT(reserved_vlans(c), ElementsAre(100));
}

TEST(Plan, AnotherNumberOfVfsNeedsARestart) {
  Current current;
  current.vfs = 2;
  EXPECT_THAT(make_plan(capabilities_82599(), scene(""), current).refusals,
              ElementsAre("pf.vfs: the port is up with 2 VFs; 4 need a restart of vigia-pf, which resets every VF"));
}

TEST(Plan, Warnings) {
  const auto warnings = [](const PfConfig& c) { return fresh(c).warnings; };
  EXPECT_THAT(warnings(scene("    - {name: t, from: [0, 1], to: 3}\n")), IsEmpty());
  EXPECT_THAT(
      warnings(scene("    - {name: t, from: [0], to: 3, direction: tx}\n", ", vlan: 100", ", spoof_check: false")),
      ElementsAre("tap t: a VLAN rule copies both directions of VLAN 100, not only what its members send",
                  "tap t: VF 1 (dns) may send frames tagged 100, which the rule would copy; spoof_check: true "
                  "prevents it"));
  EXPECT_THAT(
      warnings(scene("    - {name: t, port: true, to: 3, direction: both}\n    - {name: u, port: true, to: 2}\n")),
      ElementsAre(
          "tap t: VF 3 (agent) must not send to the network what it receives: it would get a copy of it, for ever",
          "VF 3 (agent) sees a frame twice that leaves the port and comes back to a tapped VF through the network; "
          "one that the NIC switches itself is copied once",
          HasSubstr("2 rules copy the whole port")));
}

// A whole-port tap opens the port, keeps tenants in their VLANs, and gives every frame a pool.
TEST(Plan, WholePortTap) {
  const PfConfig c = scene("    - {name: t, port: true, to: 3}\n", ", vlan: 100");
  const TapPlan taps = plan_taps(capabilities_82599(), c, {});
  const Image image = desired_image(capabilities_82599(), c, {}, taps, Image{}).image;
  namespace bits = hw::ixgbe;
  EXPECT_EQ(image.at(Field::fctrl), bits::Fctrl::upe | bits::Fctrl::mpe | bits::Fctrl::bam);
  EXPECT_EQ(image.at(Field::vtctl), bits::Pfvtctl::vt_ena | bits::Pfvtctl::rpl_en | 3u << bits::Pfvtctl::def_pl_shift);
  EXPECT_EQ(image.at(Field::vlnctrl), bits::Vlnctrl::vfe);
  for (unsigned i = 0; i < 128; ++i) EXPECT_EQ(image.at(Field::vfta, i), ~0u);
  EXPECT_EQ(image.at(Field::vlvf, 0), bits::Vlvf::vi_en | 100);
  EXPECT_EQ(image.pair(Field::vlvfb, 0, 1), 1u);

  const PfConfig to_pf = scene("    - {name: t, port: true, to: 3}\n", "", "", "  default_pool: pf\n");
  EXPECT_FALSE(plan_taps(capabilities_82599(), to_pf, {}).default_pool) << "every list is non-empty already";
}

TEST(Plan, VfsOnRegisters) {
  const PfConfig c = scene("", ", vlan: 100, port_vlan: true, rate_mbps: 1000", ", spoof_check: false",
                           "  mtu: 9000\n  vlan_filter: auto\n");
  const Image image = desired_image(capabilities_82599(), c, {}, {}, Image{}).image;
  namespace bits = hw::ixgbe;
  EXPECT_EQ(image.at(Field::ral, 127), 0x02u);
  EXPECT_EQ(image.at(Field::rah, 127), bits::Rah::av | 0x0100u);
  EXPECT_EQ(image.pair(Field::mpsar, 254, 1), 1u);
  EXPECT_EQ(image.at(Field::rah, 125), 0u) << "VF 2 chooses its own";
  EXPECT_EQ(image.at(Field::vmvir, 0), bits::Vmvir::vlana_default | 100);
  EXPECT_EQ(image.at(Field::vmolr, 0), bits::Vmolr::bam);
  EXPECT_EQ(image.at(Field::vmolr, 1), bits::Vmolr::bam | bits::Vmolr::aupe);
  EXPECT_EQ(image.at(Field::spoof, 0), 0x0d0du);
  EXPECT_EQ(image.at(Field::maxfrs), 9018u << 16);
  EXPECT_EQ(image.at(Field::hlreg0), bits::Hlreg0::jumboen);
  for (unsigned q = 0; q < 16; ++q) EXPECT_EQ(image.at(Field::queue_drop, q), 1u);
  EXPECT_EQ(image.at(Field::queue_drop, 16), 0u);
  EXPECT_EQ(image.at(Field::queue_rate, 3), 1u << 31 | 10u << 14);
  EXPECT_EQ(image.at(Field::queue_rate, 4), 0u);
  EXPECT_EQ(image.at(Field::vtctl) & bits::Pfvtctl::dis_def_pool, bits::Pfvtctl::dis_def_pool);
  const PortView view = decode(image, capabilities_82599(), c);
  EXPECT_EQ(view.vfs[0].rate_mbps, 1000.0);
  EXPECT_EQ(view.vfs[0].port_vlan, 100);
  EXPECT_TRUE(view.vfs[3].drop_when_full);
  EXPECT_FALSE(view.default_pool);
}

TEST(Plan, VlanEntriesStayWhereTheyAre) {
  const PfConfig c = scene("    - {name: t, from: [0], to: 3, direction: tx}\n", ", vlan: 300", ", vlan: 100");
  Image current;
  current.at(Field::vlvf, 5) = hw::ixgbe::Vlvf::vi_en | 300;
  current.at(Field::vlvf, 0) = hw::ixgbe::Vlvf::vi_en | 999;  // nobody's any more
  const TapPlan taps = plan_taps(capabilities_82599(), c, {});
  const Image image = desired_image(capabilities_82599(), c, {}, taps, current).image;
  EXPECT_EQ(image.at(Field::vlvf, 5), hw::ixgbe::Vlvf::vi_en | 300);
  EXPECT_EQ(image.at(Field::vlvf, 0), hw::ixgbe::Vlvf::vi_en | 100);
  EXPECT_EQ(image.pair(Field::mrvlan, 0, 4), 1u << 5);
}

TEST(Plan, SlotsThatRunOutAreMisfits) {
  PfConfig c = config("pf: {vfs: 1}\n");
  std::vector<VfState> states(1);
  for (std::uint16_t vid = 1; vid <= 65; ++vid) states[0].vlans.insert(vid);
  EXPECT_THAT(desired_image(capabilities_82599(), c, states, {}, Image{}).misfits,
              ElementsAre("VLAN 65: all 64 pool VLAN filters are in use"));
  states[0].vlans.clear();
  for (unsigned i = 0; i < 127; ++i) states[0].extra_macs.push_back(hw::Mac::unpack(0x0200 + (std::uint64_t{i} << 40)));
  EXPECT_THAT(desired_image(capabilities_82599(), c, states, {}, Image{}).misfits,
              ElementsAre(HasSubstr("no receive address left")));
}

TEST(Plan, OneAddressForTwoIsRefused) {
  Current current;
  current.states.resize(4);
  current.states[2].mac = hw::Mac::parse("02:00:00:00:00:01");
  EXPECT_THAT(
      make_plan(capabilities_82599(), scene(""), current).refusals,
      ElementsAre("VF 2: 02:00:00:00:00:01 is in use by another function; choose another, or reset the VF that took "
                  "it"));
}

TEST(Plan, PoolModes) {
  const Capabilities& nic = capabilities_82599();
  EXPECT_EQ(pool_mode(nic, 1).queues, 4u);
  EXPECT_EQ(pool_mode(nic, 31).queues, 4u);
  EXPECT_EQ(pool_mode(nic, 32).queues, 2u);
  EXPECT_EQ(pool_mode(nic, 63).queues, 2u);
  EXPECT_EQ(capabilities_of({0x8086, 0x10ed}), nullptr);
}

// Order of writing: an active rule whose masks change is off meanwhile; masks come before control; control is last.
TEST(Difference, MasksFirstControlLast) {
  Image a, b;
  a.at(Field::mrctl, 1) = 0x301;
  a.at(Field::mrvm, 1) = 1;
  b = a;
  b.at(Field::mrvm, 1) = 3;
  b.at(Field::fctrl) = 0x400;
  const std::vector<Change> expected{{{Field::mrctl, 1}, 0x301, 0},
                                     {{Field::fctrl, 0}, 0, 0x400},
                                     {{Field::mrvm, 1}, 1, 3},
                                     {{Field::mrctl, 1}, 0, 0x301}};
  EXPECT_EQ(difference(a, b), expected);
  EXPECT_THAT(difference(a, a), IsEmpty());
}

TEST(Difference, ARuleIsOffWhileItsVlanEntryChanges) {
  Image a, b;
  a.at(Field::mrctl, 0) = 0x308;
  a.at(Field::mrvlan, 0) = 4;
  a.at(Field::vlvf, 2) = hw::ixgbe::Vlvf::vi_en | 7;
  b = a;
  b.at(Field::vlvf, 2) = hw::ixgbe::Vlvf::vi_en | 8;
  const auto changes = difference(a, b);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes.front().cell.name(), "PFMRCTL[0]");
  EXPECT_EQ(changes.back().after, 0x308u);
}

TEST(Difference, AddressZeroIsRewrittenAfterPoolBindings) {
  Image a, b;
  b.at(Field::mpsar, 254) = 1;
  const auto changes = difference(a, b);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].cell.name(), "MPSAR[254]");
  EXPECT_EQ(changes[1].cell.name(), "RAL[0]");
  EXPECT_EQ(changes[2].cell.name(), "RAH[0]");
}

TEST(Plan, TextAndJson) {
  const Plan plan = fresh(scene("    - {name: t, from: [0], to: 3}\n"));
  const std::string text = plan_text(plan);
  EXPECT_THAT(text, HasSubstr(kRx0));
  EXPECT_THAT(text, HasSubstr("  PFMRCTL[0]       00000000 -> 00000301  types and destination of a mirror rule\n"));
  EXPECT_THAT(plan_json(plan), HasSubstr("\"applicable\":true"));
  Current same;
  same.image = desired_image(capabilities_82599(), scene(""), {}, {}, Image{}).image;
  EXPECT_EQ(plan_text(make_plan(capabilities_82599(), scene(""), same)), "nothing to change\n");
}

}  // namespace
}  // namespace vigia::pf
