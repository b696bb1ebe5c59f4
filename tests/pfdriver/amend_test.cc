// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/amend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vigia::pf {
namespace {

using testing::HasSubstr;

PfConfig port() {
  auto config = parse_config(
      "pf:\n  vfs: 4\n  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\", name: web, vlan: 100}\n"
      "  taps:\n    - {name: old, from: [0], to: 3}\n",
      "pf.yaml");
  return *config;
}

Amendment change(std::string_view text) {
  auto parsed = parse_amendment(text, "change");
  EXPECT_TRUE(parsed) << parsed.error().text;
  return *parsed;
}

TEST(Amend, Refusals) {
  struct Row {
    const char *text, *sentence;
  };
  for (const auto& [text, sentence] : {
           Row{"{vf: [{index: 4}]}", "VF 4 does not exist: the port has 4 VFs, 0..3"},
           Row{"{vf: [{index: 1, mac: \"02:00:00:00:00:01\"}]}", "is the MAC of pf.vf[0] too"},
           Row{"{vf: [{index: 1, port_vlan: true}]}", "the VF has no vlan"},
           Row{"{taps: [{name: t, from: [3], to: 3}]}", "would be tapped to itself"},
           Row{"{taps: [{name: t, from: [9], to: 3}]}", "VF 9 does not exist"},
       }) {
    const auto amended = amend(port(), change(text));
    ASSERT_FALSE(amended) << text;
    EXPECT_EQ(amended.error().exit_status(), 2);
    EXPECT_THAT(amended.error().text, HasSubstr(sentence));
  }
  for (const char* text : {"[]", "{vf: 3}", "{vf: [{idx: 1}]}", "{taps: [{from: [0]}]}", "{tabs: []}"}) {
    const auto parsed = parse_amendment(text, "change");
    EXPECT_FALSE(parsed) << text;
  }
}

TEST(Amend, ReplacesOneVfAndAddsATap) {
  const Amendment wish = change(
      "{\"vf\": [{\"index\": 1, \"mac\": \"02:00:00:00:00:02\", \"trust\": true, \"name\": \"dns \\\"x\\\"\"}],"
      " \"taps\": [{\"name\": \"vm:a\", \"from\": [0, 1], \"to\": 2, \"direction\": \"both\"}]}");
  const auto amended = amend(port(), wish);
  ASSERT_TRUE(amended) << amended.error().text;
  EXPECT_EQ(amended->vf[1].name, "dns \"x\"");
  EXPECT_TRUE(amended->vf[1].trust);
  EXPECT_EQ(amended->vf[0], port().vf[0]);
  ASSERT_EQ(amended->taps.size(), 2u);
  EXPECT_EQ(amended->taps[1].from, (std::vector<unsigned>{0, 1}));
  EXPECT_EQ(amended->taps[1].direction, Direction::both);
}

TEST(Amend, UndoRestores) {
  for (const char* text : {
           "{vf: [{index: 0, trust: true}]}",
           "{vf: [{index: 2, mac: \"02:00:00:00:00:09\", vlan: 7, rate_mbps: 10, spoof_check: false}]}",
           "{taps: [{name: new, from: [0], to: 2}]}",
           "{taps: [{name: old, port: true, to: 1, direction: both}]}",
           "{remove_taps: [old, absent]}",
           "{remove_taps: [old], taps: [{name: old, from: [1], to: 2}]}",
           "{}",
       }) {
    const Amendment wish = change(text);
    const auto amended = amend(port(), wish);
    ASSERT_TRUE(amended) << text << amended.error().text;
    const auto back = amend(*amended, undo_of(port(), wish));
    ASSERT_TRUE(back) << text << back.error().text;
    EXPECT_EQ(*back, port()) << text;
  }
}

TEST(Amend, JsonIsReadAsItIsWritten) {
  const Amendment wish = change(
      "{vf: [{index: 2, mac: \"02:00:00:00:00:09\", vlan: 7, port_vlan: true, trust: true, spoof_check: false, "
      "rate_mbps: 500, name: \"a: [b]\"}], taps: [{name: t, port: true, to: 1, direction: tx, allow_port_scope: true}],"
      " remove_taps: [x, y]}");
  EXPECT_EQ(change(amendment_json(wish)), wish);
  const auto config = nlohmann::json::parse(config_json(port()));
  EXPECT_EQ(config["vf"].size(), 4u);
  EXPECT_EQ(config["taps"][0]["name"], "old");
}

}  // namespace
}  // namespace vigia::pf
