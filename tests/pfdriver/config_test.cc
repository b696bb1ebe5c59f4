// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "pfdriver/config.h"
#include "pfdriver/yaml_fields.h"

namespace vigia::pf {
namespace {

using testing::HasSubstr;

std::string refusal(std::string_view text) {
  const auto config = parse_config(text, "pf.yaml");
  if (config) return "accepted";
  EXPECT_EQ(config.error().exit_status(), 2);
  return config.error().text;
}

struct Case {
  const char* name;
  std::string text, expected;
};

class ConfigRefusals : public testing::TestWithParam<Case> {};

TEST_P(ConfigRefusals, NameFileLineKeyAndRemedy) { EXPECT_EQ(refusal(GetParam().text), GetParam().expected); }

INSTANTIATE_TEST_SUITE_P(
    Config, ConfigRefusals,
    testing::Values(
        Case{"Empty", "",
             "pf.yaml:1: the file is empty\npf.yaml:1: has no key pf; `vigia pf explain` prints the schema"},
        Case{"NotYaml", "pf: [", "pf.yaml:1: not YAML: end of sequence flow not found"},
        Case{"List", "- a\n",
             "pf.yaml:1: the file must be a mapping of keys to values\n"
             "pf.yaml:1: has no key pf; `vigia pf explain` prints the schema"},
        Case{"NoVfs", "pf:\n  mtu: 1500\n", "pf.yaml:1: pf.vfs: is missing; it is 1..63"},
        Case{"VfsZero", "pf:\n  vfs: 0\n", "pf.yaml:2: pf.vfs: 0 is not a whole number from 1 to 63"},
        Case{"Vfs64", "pf:\n  vfs: 64\n", "pf.yaml:2: pf.vfs: 64 is not a whole number from 1 to 63"},
        Case{"VfsNegative", "pf: {vfs: -1}\n", "pf.yaml:1: pf.vfs: -1 is not a whole number from 1 to 63"},
        Case{"VfsText", "pf: {vfs: four}\n", "pf.yaml:1: pf.vfs: four is not a whole number from 1 to 63"},
        Case{"VfsList", "pf: {vfs: [4]}\n", "pf.yaml:1: pf.vfs: must be one value, not a list or a mapping"},
        Case{"VfsEmpty", "pf:\n  vfs:\n", "pf.yaml:2: pf.vfs: has no value"},
        Case{"VfsTwice", "pf:\n  vfs: 2\n  vfs: 3\n", "pf.yaml:3: pf.vfs: the key is there twice; keep one"},
        Case{"MtuBelow", "pf: {vfs: 1, mtu: 67}\n", "pf.yaml:1: pf.mtu: 67 is not a whole number from 68 to 9710"},
        Case{"MtuAbove", "pf: {vfs: 1, mtu: 9711}\n", "pf.yaml:1: pf.mtu: 9711 is not a whole number from 68 to 9710"},
        Case{"UnknownNear", "pf:\n  vfs: 2\n  vfss: 3\n", "pf.yaml:3: pf.vfss: unknown key; did you mean vfs?"},
        Case{"UnknownFar", "pf: {vfs: 2}\nsomething: 1\n", "pf.yaml:2: something: unknown key; known here: pf"},
        Case{"UnknownInVf", "pf:\n  vfs: 2\n  vf:\n    - {index: 0, vlna: 3}\n",
             "pf.yaml:4: pf.vf[0].vlna: unknown key; did you mean vlan?"},
        Case{"Choice", "pf: {vfs: 1, default_pool: dorp}\n", "pf.yaml:1: pf.default_pool: dorp is none of: drop, pf"},
        Case{"Boolean", "pf: {vfs: 1, loopback: 1}\n", "pf.yaml:1: pf.loopback: 1 is neither true nor false"},
        Case{"VfOutOfRange", "pf:\n  vfs: 2\n  vf:\n    - {index: 2}\n",
             "pf.yaml:4: pf.vf[0].index: VF 2 does not exist: pf.vfs is 2, so VFs are 0..1"},
        Case{"VfTwice", "pf:\n  vfs: 2\n  vf:\n    - {index: 1}\n    - {index: 1}\n",
             "pf.yaml:5: pf.vf[1].index: VF 1 is described in pf.vf[0] already; merge the two"},
        Case{"MacBad", "pf:\n  vfs: 1\n  vf:\n    - {index: 0, mac: \"02:00\"}\n",
             "pf.yaml:4: pf.vf[0].mac: 02:00 is no MAC address, as \"02:00:00:00:00:01\" is"},
        Case{"MacMulticast", "pf:\n  vfs: 1\n  vf:\n    - {index: 0, mac: \"03:00:00:00:00:01\"}\n",
             "pf.yaml:4: pf.vf[0].mac: 03:00:00:00:00:01 is no unicast address; take one like 02:00:00:00:00:01"},
        Case{"MacTwice",
             "pf:\n  vfs: 2\n  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\"}\n"
             "    - index: 1\n      mac: \"02:00:00:00:00:01\"\n",
             "pf.yaml:6: pf.vf[1].mac: 02:00:00:00:00:01 is the MAC of pf.vf[0] too; give each VF its own"},
        Case{"PortVlanAlone", "pf:\n  vfs: 1\n  vf:\n    - {index: 0, port_vlan: true}\n",
             "pf.yaml:4: pf.vf[0].port_vlan: is true but the VF has no vlan; say which one with vlan: 1..4094"},
        Case{"VlanRange", "pf:\n  vfs: 1\n  vf:\n    - {index: 0, vlan: 4095}\n",
             "pf.yaml:4: pf.vf[0].vlan: 4095 is not a whole number from 1 to 4094"},
        Case{"VlanWithoutFilter", "pf:\n  vfs: 1\n  vlan_filter: off\n  vf:\n    - {index: 0, vlan: 5}\n",
             "pf.yaml:5: pf.vf[0].vlan: has no effect with vlan_filter: off; use auto or on"},
        Case{"RateBelow", "pf:\n  vfs: 1\n  vf:\n    - {index: 0, rate_mbps: 9}\n",
             "pf.yaml:4: pf.vf[0].rate_mbps: 9 is below what the limiter can do; 0 or 10..10000"},
        Case{"NameTwice", "pf:\n  vfs: 2\n  vf:\n    - {index: 0, name: a}\n    - {index: 1, name: a}\n",
             "pf.yaml:5: pf.vf[1].name: \"a\" is the name of pf.vf[0] too"},
        Case{"HostDriversAlone", "pf:\n  vfs: 1\n  host_drivers: true\n",
             "pf.yaml:3: pf.host_drivers: is for generator: kernel, the only one beside which the host drives VFs"},
        Case{"LinkOnNative", "pf:\n  vfs: 1\n  vf:\n    - {index: 0, link: down}\n",
             "pf.yaml:4: pf.vf[0].link: is for generator: kernel; the others leave the VF's link to the port"},
        Case{"InterfaceOnKernel", "pf:\n  vfs: 1\n  generator: kernel\n  vf:\n    - {index: 0, interface: tap0}\n",
             "pf.yaml:5: pf.vf[0].interface: is for generator: tc; VFs have no need of it"},
        Case{"TcWithoutInterface", "pf:\n  vfs: 1\n  generator: tc\n  vf:\n    - {index: 0}\n",
             "pf.yaml:5: pf.vf[0].interface: is missing: with generator: tc each entry names an interface of the host"},
        Case{"TcWithoutEntries", "pf:\n  vfs: 2\n  generator: tc\n  vf:\n    - {index: 0, interface: a}\n",
             "pf.yaml:4: pf.vf: generator: tc wants one entry for each of pf.vfs, with its interface"},
        Case{"TcInterfaceTwice",
             "pf:\n  vfs: 2\n  generator: tc\n  vf:\n    - {index: 0, interface: a}\n    - {index: 1, interface: a}\n",
             "pf.yaml:6: pf.vf[1].interface: \"a\" is the interface of pf.vf[0] too"},
        Case{"TcWithVlan", "pf:\n  vfs: 1\n  generator: tc\n  vf:\n    - {index: 0, interface: a, vlan: 5}\n",
             "pf.yaml:5: pf.vf[0].index: with generator: tc an entry has index, name, interface and mac only; VLAN and "
             "the rest are the guest's and the bridge's business"},
        Case{"TapToItself", "pf:\n  vfs: 2\n  taps:\n    - {name: t, from: [0, 1], to: 1}\n",
             "pf.yaml:4: pf.taps[0].from[1]: VF 1 would be tapped to itself; send the copies to another VF"},
        Case{"TapToNobody", "pf:\n  vfs: 2\n  taps:\n    - {name: t, from: [0], to: 2}\n",
             "pf.yaml:4: pf.taps[0].to: VF 2 does not exist: pf.vfs is 2, so VFs are 0..1"},
        Case{"TapFromNobody", "pf:\n  vfs: 2\n  taps:\n    - {name: t, from: [7], to: 1}\n",
             "pf.yaml:4: pf.taps[0].from[0]: VF 7 does not exist: pf.vfs is 2, so VFs are 0..1"},
        Case{"TapFromTwice", "pf:\n  vfs: 2\n  taps:\n    - {name: t, from: [0, 0], to: 1}\n",
             "pf.yaml:4: pf.taps[0].from[1]: VF 0 is named twice"},
        Case{"TapOfNothing", "pf:\n  vfs: 2\n  taps:\n    - {name: t, to: 1}\n",
             "pf.yaml:4: pf.taps[0].from: names no tenant; list VFs, as in [0, 1], or say port: true"},
        Case{"TapOfBoth", "pf:\n  vfs: 2\n  taps:\n    - {name: t, port: true, from: [0], to: 1}\n",
             "pf.yaml:4: pf.taps[0].from: a tap is of the whole port or of tenants; remove port: true or from"},
        Case{"TapNameTwice",
             "pf:\n  vfs: 3\n  taps:\n    - {name: t, from: [0], to: 1}\n    - {name: t, from: [0], to: 2}\n",
             "pf.yaml:5: pf.taps[1].name: \"t\" is the name of pf.taps[0] too"},
        Case{"TapNoName", "pf:\n  vfs: 2\n  taps:\n    - {from: [0], to: 1}\n",
             "pf.yaml:4: pf.taps[0].name: is missing; it is text"}),
    [](const auto& row) { return row.param.name; });

TEST(Config, ListsEveryFaultByLine) {
  EXPECT_EQ(refusal("pf:\n  vfs: 99\n  loopback: maybe\n  vf:\n    - {index: 0, trsut: true}\n  mtu: 1\n"),
            "pf.yaml:2: pf.vfs: 99 is not a whole number from 1 to 63\n"
            "pf.yaml:3: pf.loopback: maybe is neither true nor false\n"
            "pf.yaml:5: pf.vf[0].trsut: unknown key; did you mean trust?\n"
            "pf.yaml:6: pf.mtu: 1 is not a whole number from 68 to 9710");
}

TEST(Config, RefusesHugeTexts) {
  EXPECT_THAT(refusal(std::string((1u << 20) + 1, '#')), HasSubstr("larger than 1 MiB"));
}

TEST(Config, RefusesAFileThatIsNotThere) {
  const auto config = load_config("/nonexistent/pf.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().exit_status(), 2);
  EXPECT_EQ(config.error().text, "/nonexistent/pf.yaml: cannot be read; check the path and its permissions");
  EXPECT_FALSE(load_config("/"));
}

TEST(Config, DefaultsAndOneEntryPerVf) {
  const auto config = parse_config("pf:\n  vfs: 3\n  vf:\n  taps:\n", "pf.yaml");
  ASSERT_TRUE(config) << config.error().text;
  PfConfig expected;
  expected.vfs = 3;
  EXPECT_EQ(*config, complete(expected));
  EXPECT_EQ(config->vf.size(), 3u);
  EXPECT_TRUE(config->vf[2].spoof_check);
  EXPECT_FALSE(config->filters_vlans());
}

TEST(Config, ReadsEverything) {
  const auto config = parse_config(R"(
pf:
  vfs: 4
  mtu: 9000
  default_pool: pf
  vlan_filter: on
  loopback: false
  vf:
    - {index: 2, mac: "02:00:00:00:00:03", vlan: 100, port_vlan: true, trust: true, spoof_check: false, rate_mbps: 500, name: web}
  taps:
    - {name: t1, from: [0, 2], to: 3, direction: both, allow_port_scope: true}
    - {name: p1, port: true, to: 1, direction: tx}
)",
                                   "pf.yaml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->mtu, 9000u);
  EXPECT_EQ(config->default_pool, DefaultPool::pf);
  EXPECT_EQ(config->vlan_filter, VlanFilter::on);
  EXPECT_FALSE(config->loopback);
  const VfConfig& vf = config->vf[2];
  EXPECT_EQ(vf.title(), "VF 2 (web)");
  EXPECT_EQ(vf.mac, hw::Mac::parse("02:00:00:00:00:03"));
  EXPECT_EQ(vf.vlan, 100);
  EXPECT_TRUE(vf.port_vlan && vf.trust && !vf.spoof_check);
  EXPECT_EQ(vf.rate_mbps, 500u);
  ASSERT_EQ(config->taps.size(), 2u);
  EXPECT_EQ(config->taps[0].from, (std::vector<unsigned>{0, 2}));
  EXPECT_TRUE(config->taps[0].wants_rx() && config->taps[0].wants_tx() && config->taps[0].allow_port_scope);
  EXPECT_TRUE(config->taps[1].port && !config->taps[1].wants_rx());
}

// The explanation is of the parser's own table: each key that it prints is accepted, and so are the printed defaults.
TEST(Config, ExplanationNamesEveryKey) {
  const std::string text = explain_config();
  for (const char* key : {"vfs:",  "mtu:",       "default_pool:", "vlan_filter:",      "loopback:",  "index:", "mac:",
                          "vlan:", "port_vlan:", "trust:",        "spoof_check:",      "rate_mbps:", "name:",  "port:",
                          "from:", "to:",        "direction:",    "allow_port_scope:", "vf:",        "taps:"}) {
    EXPECT_THAT(text, HasSubstr(key));
  }
  EXPECT_THAT(text, HasSubstr("68..9710"));
  EXPECT_THAT(text, HasSubstr("(default: 1500)"));
}

TEST(Yaml, NearestWord) {
  const std::vector<std::string> known{"vlan", "vlan_filter", "trust", "spoof_check"};
  EXPECT_EQ(yaml::nearest("vlna", known), "vlan");
  EXPECT_EQ(yaml::nearest("spoofcheck", known), "spoof_check");
  EXPECT_EQ(yaml::nearest("zzzzzzzz", known), "");
  EXPECT_EQ(yaml::nearest("x", known), "");
}

TEST(Yaml, NumbersTextsAndNestedMaps) {
  auto document = yaml::Document::parse("a: 1.5\nb: [x, y]\nc: {d: 7}\ne: [1, [2]]\n", "f");
  ASSERT_TRUE(document);
  yaml::Map root = document->root();
  EXPECT_EQ(root.number("a", 0, 2), 1.5);
  EXPECT_EQ(root.texts("b"), (std::vector<std::string>{"x", "y"}));
  auto c = root.map("c");
  ASSERT_TRUE(c);
  EXPECT_EQ(c->integer("d", 0, 9), 7u);
  EXPECT_EQ(c->path_of("d"), "c.d");
  EXPECT_FALSE(root.integers("e", 0, 9));
  EXPECT_FALSE(root.map("a"));
  EXPECT_FALSE(root.number("missing", 0, 1));
  root.finish();
  EXPECT_EQ(document->faults(),
            (std::vector<std::string>{"f:1: a: must be a mapping of keys to values", "f:4: e[1]: must be one value"}));
}

}  // namespace
}  // namespace vigia::pf
