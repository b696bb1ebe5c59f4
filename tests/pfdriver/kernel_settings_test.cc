// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/kernel/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pfdriver/kernel/family.h"
#include "tests/pfdriver/fake_host.h"
#include "tests/temp_dir.h"

namespace vigia::pf {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

PfConfig kernel_config(const std::string& more) {
  auto config = parse_config("pf:\n  generator: kernel\n  vfs: 2\n" + more, "pf.yaml");
  EXPECT_TRUE(config) << config.error().text;
  return *config;
}

KernelState port_with(unsigned vfs, const std::string& driver) {
  KernelState state;
  state.sriov = {{0x8086, 0x10c9}, driver, "eth0", 7, vfs, true, {}};
  state.link = {2, "eth0", true, true, 1500, std::vector<VfFacts>(vfs)};
  return state;
}

struct Row {
  const char *name, *driver, *yaml, *text;
};
class Refusals : public testing::TestWithParam<Row> {};
TEST_P(Refusals, InWords) {
  const Row& row = GetParam();
  const auto plan = plan_settings(kernel_config(row.yaml), port_with(0, row.driver), kernel_driver(row.driver));
  EXPECT_THAT(plan.refusals, Contains(HasSubstr(row.text)));
  EXPECT_THAT(plan.settings, IsEmpty());
}
INSTANTIATE_TEST_SUITE_P(
    Kernel, Refusals,
    testing::Values(
        Row{"DefaultPool", "igb", "  default_pool: pf\n", "pf.default_pool: the kernel's driver decides"},
        Row{"VlanFilter", "ixgbe", "  vlan_filter: off\n", "pf.vlan_filter: the kernel's driver always holds VFs"},
        Row{"Loopback", "ixgbe", "  loopback: false\n", "hwmode vepa"},
        Row{"Membership", "i40e", "  vf: [{index: 0, vlan: 5}]\n", "VF 0 has vlan: 5 without port_vlan: true"},
        Row{"LinkOnIgb", "igb", "  vf: [{index: 1, link: down}]\n", "VF 1: link: igb cannot set the link of a VF"},
        Row{"RateStep", "i40e", "  vf: [{index: 0, rate_mbps: 120}]\n",
            "rate_mbps: i40e rounds down to multiples of 50 Mb/s: write 100"},
        Row{"NoDriver", "", "", "the port has no driver: generator kernel needs Linux's own driver"}),
    [](const auto& row) { return row.param.name; });

TEST(KernelSettings, NumbersOfVfs) {
  auto config = kernel_config("");
  EXPECT_THAT(plan_settings(config, port_with(3, "igb"), kernel_driver("igb")).refusals,
              Contains(HasSubstr("the port has 3 VFs; Linux goes to 2 only by way of none")));
  config.vfs = 8;
  config = complete(config);
  EXPECT_THAT(plan_settings(config, port_with(0, "igb"), kernel_driver("igb")).refusals,
              testing::ElementsAre(HasSubstr("the device has 7 VFs at most, 8 are wanted"),
                                   HasSubstr("igb makes 7 VFs at most")));
}

TEST(KernelSettings, ADriverThatIsNotInTheTableIsToldAndReadBack) {
  const auto plan = plan_settings(kernel_config(""), port_with(0, "newnic"), kernel_driver("newnic"));
  EXPECT_THAT(plan.refusals, IsEmpty());
  EXPECT_THAT(plan.warnings, Contains(HasSubstr("driver newnic is not in vigia's table")));
}

TEST(KernelSettings, WordsBecomeChangesAndBack) {
  EXPECT_EQ(vf_change(SettingKind::vf_mac, "02:00:00:00:00:01")->mac->text(), "02:00:00:00:00:01");
  EXPECT_EQ(vf_change(SettingKind::vf_vlan, "none")->vlan, 0);
  EXPECT_EQ(vf_change(SettingKind::vf_rate, "250")->rate_mbps, 250u);
  EXPECT_EQ(vf_change(SettingKind::vf_link, "down")->link, VfLink::down);
  EXPECT_EQ(vf_change(SettingKind::vf_trust, "on")->trust, true);
  for (const auto& [kind, text] : std::vector<std::pair<SettingKind, const char*>>{{SettingKind::vf_mac, "02:00"},
                                                                                   {SettingKind::vf_vlan, "4095"},
                                                                                   {SettingKind::vf_vlan, "1x"},
                                                                                   {SettingKind::vf_rate, ""},
                                                                                   {SettingKind::vf_link, "sideways"},
                                                                                   {SettingKind::vf_trust, "maybe"},
                                                                                   {SettingKind::vfs, "4"}}) {
    EXPECT_FALSE(vf_change(kind, text)) << text;
  }
  for (unsigned k = 0; k <= static_cast<unsigned>(SettingKind::vf_driver); ++k) {
    const auto kind = static_cast<SettingKind>(k);
    EXPECT_EQ(parse_setting_kind(word(kind)), kind);
  }
}

TEST(KernelSriov, FindsByAddressAndByInterface) {
  vigia::test::TempDir dir;
  test::FakeHost host(dir / "sys");
  for (const char* spec : {"pci:0000:01:00.0", "pci:01:00.0", "eth0", "netdev:eth0"}) {
    const auto found = Sriov::find(spec, dir / "sys");
    ASSERT_TRUE(found) << spec;
    EXPECT_EQ(found->address().text(), "0000:01:00.0");
  }
  const auto facts = Sriov::find("eth0", dir / "sys")->look();
  ASSERT_TRUE(facts) << facts.error().text;
  EXPECT_EQ(facts->interface, "eth0");
  EXPECT_EQ(facts->driver, "igb");
  EXPECT_EQ(facts->id.device, 0x10c9);
  for (const auto& [spec, text] :
       std::vector<std::pair<std::string, const char*>>{{"pci:nonsense", "'nonsense' is no PCI address"},
                                                        {"vfio:0000:01:00.0", "generator kernel takes pci:ADDRESS"},
                                                        {"", "or the name of the port's interface"},
                                                        {"eth9", "there is no interface eth9 of a PCI device"}}) {
    const auto refused = Sriov::find(spec, dir / "sys");
    ASSERT_FALSE(refused) << spec;
    EXPECT_THAT(refused.error().text, HasSubstr(text));
    EXPECT_EQ(refused.error().exit_status(), 2);
  }
  EXPECT_THAT(Sriov::find("pci:0000:09:00.0", dir / "sys")->look().error().text, HasSubstr("no such PCI device"));
  std::filesystem::remove(host.pf() / "sriov_totalvfs");
  EXPECT_THAT(Sriov::find("eth0", dir / "sys")->look().error().text, HasSubstr("has no SR-IOV"));
  const auto written = Sriov::find("pci:0000:09:00.0", dir / "sys")->set_vfs(2);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().text, HasSubstr("No such file or directory; the PF's driver may allow fewer VFs"));
}

TEST(KernelFamilies, NothingButTheAllowedRegistersMayBeWritten) {
  for (const hw::PciId id : {hw::PciId{0x8086, 0x10c9}, hw::PciId{0x8086, 0x1521}, hw::PciId{0x8086, 0x10fb},
                             hw::PciId{0x8086, 0x1528}, hw::PciId{0x8086, 0x1563}}) {
    const Family* family = family_of(id);
    ASSERT_NE(family, nullptr);
    EXPECT_EQ(family->find(0), nullptr) << "CTRL";
    for (const FilterEntry& entry : family->addresses) {
      for (const PoolBits& bits : entry.pools) {
        const AllowedRegister* row = family->find(bits.offset);
        ASSERT_NE(row, nullptr);
        EXPECT_EQ(row->mask >> bits.shift & 0xff, 0xffu);
      }
    }
    for (const RuleRegisters& rule : family->rules) EXPECT_NE(family->find(rule.control), nullptr);
  }
  EXPECT_EQ(family_of({0x8086, 0x1572}), nullptr) << "X710: the firmware's";
}

TEST(KernelFamiliesDeathTest, AnyOtherRegisterIsABrokenInvariant) {
  vigia::test::TempDir dir;
  test::FakeHost host(dir / "sys");
  AllowedRegisters registers(host.bar, *family_of({0x8086, 0x10c9}));
  host.words[hw::igb::pf::RAH.at(1)] = 0x8004'1234;
  registers.write(hw::igb::pf::RAH.at(1), 0x000c'ffff);
  EXPECT_EQ(host.words[hw::igb::pf::RAH.at(1)], 0x800c'1234u) << "only the pools";
  EXPECT_DEATH(registers.write(0, 1), "invariant broken");
}

}  // namespace
}  // namespace vigia::pf
