// SPDX-License-Identifier: Apache-2.0
// What a probe is told of its port, against what vfdriver reads of it.
#include "orchestrator/port_mirrors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/channel_frame.h"
#include "vfdriver/mirror_copies.h"

namespace vigia::orch {
namespace {

using ::testing::ElementsAre;

hw::Mac mac(unsigned last) { return {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(last)}}; }

// VFs 0 and 1 are tenants, 2 and 3 agents.
pf::PortView port() {
  pf::PortView view;
  for (unsigned vf = 0; vf < 4; ++vf) {
    pf::VfView& one = view.vfs.emplace_back();
    one.index = vf;
    one.macs = {mac(vf)};
  }
  view.vfs[1].vlans = {20, 30};
  view.vfs[1].port_vlan = 20;
  view.mirrors = {{0, 2, pf::Direction::rx}, {1, 2, pf::Direction::tx}, {1, 3, pf::Direction::rx}};
  return view;
}

vf::MirrorRules rules_of(const pf::PortView& view, unsigned vf) {
  auto rules = vf::parse_mirror_rules(mirrors_to(view, vf), "told", {}, {});
  EXPECT_TRUE(rules) << (rules ? "" : rules.error().text);
  return rules ? *rules : vf::MirrorRules{};
}

TEST(PortMirrors, EachAgentHearsOfItsOwn) {
  const vf::MirrorRules two = rules_of(port(), 2);
  EXPECT_EQ(two.vf, 2u);
  EXPECT_THAT(two.agent, ElementsAre(mac(2)));
  ASSERT_EQ(two.tenants.size(), 2u);
  EXPECT_THAT(two.tenants[0].macs, ElementsAre(mac(0)));
  EXPECT_TRUE(two.tenants[0].receives && !two.tenants[0].sends);
  EXPECT_TRUE(two.tenants[1].sends && !two.tenants[1].receives);
  EXPECT_THAT(two.tenants[1].vlans, ElementsAre(20, 30));
  EXPECT_EQ(two.tenants[1].port_vlan, 20);
  EXPECT_FALSE(two.once);

  const vf::MirrorRules three = rules_of(port(), 3);
  EXPECT_EQ(three.vf, 3u);
  ASSERT_EQ(three.tenants.size(), 1u);
  EXPECT_THAT(three.tenants[0].macs, ElementsAre(mac(1)));
  EXPECT_TRUE(rules_of(port(), 1).none()) << "a tenant";
}

TEST(PortMirrors, RulesOfANicAreTold) {
  pf::PortView view = port();
  view.mirrors.clear();
  view.rules.emplace_back().destination = 3;
  EXPECT_TRUE(rules_of(view, 3).once);
  EXPECT_TRUE(rules_of(view, 2).none());
}

// The largest port of an 82599, everything of it mirrored in both directions.
TEST(PortMirrors, AWholePortFitsIntoARequest) {
  pf::PortView view;
  for (unsigned vf = 0; vf < 64; ++vf) {
    pf::VfView& one = view.vfs.emplace_back();
    one.index = vf;
    one.macs = {mac(vf), mac(vf + 64)};
    one.port_vlan = 4094;
    one.vlans = {4094};
    for (const auto direction : {pf::Direction::rx, pf::Direction::tx}) view.mirrors.push_back({vf, 63, direction});
  }
  EXPECT_LT(mirrors_to(view, 63).size() + 100, hw::channel::kMaxRequest);
}

}  // namespace
}  // namespace vigia::orch
