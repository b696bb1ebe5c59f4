// SPDX-License-Identifier: Apache-2.0
// The generator kernel on a host that is a folder and two maps: settings, copies, drift, administrators, crashes.
#include "pfdriver/kernel/manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "pfdriver/control.h"
#include "tests/pfdriver/fake_host.h"
#include "tests/temp_dir.h"

namespace vigia::pf {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace igb = hw::igb::pf;

constexpr std::string_view kPort =
    "pf:\n  generator: kernel\n  vfs: 4\n  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\", name: web}\n"
    "    - {index: 1, mac: \"02:00:00:00:00:02\", vlan: 100, port_vlan: true, rate_mbps: 50}\n"
    "    - {index: 3, mac: \"02:00:00:00:00:04\", name: agent, trust: true}\n";
constexpr std::string_view kTap = "  taps: [{name: t, from: [0], to: 3, direction: rx}]\n";

PfConfig parse(const std::string& text) {
  auto config = parse_config(text, "pf.yaml");
  EXPECT_TRUE(config) << config.error().text;
  return *config;
}

class KernelManagerTest : public testing::Test {
 protected:
  Result<Done> start(const std::string& text = std::string(kPort) + std::string(kTap)) {
    auto started = KernelManager::start(host_.ways(), parse(text), journal());
    if (!started) return started.error();
    manager_ = std::move(*started);
    return Done{};
  }
  std::filesystem::path journal() const { return dir_ / "journal"; }
  std::uint32_t rah(unsigned vf) { return host_.words[igb::RAH.at(23 - vf)]; }
  static bool pool(std::uint32_t rah, unsigned vf) { return (rah >> (igb::Rah::pools_shift + vf) & 1) != 0; }

  vigia::test::TempDir dir_;
  test::FakeHost host_{dir_ / "sys"};
  std::unique_ptr<KernelManager> manager_;
};

TEST_F(KernelManagerTest, MakesVfsOnAPortThatIsUpAndProbesThemLast) {
  auto text = std::string(kPort);
  text.insert(text.find("  vfs"), "  host_drivers: true\n");
  auto started = start(text);
  ASSERT_TRUE(started) << started.error().text;
  EXPECT_TRUE(host_.vfs_made_while_up);
  EXPECT_EQ(host_.autoprobe_when_made, "0");
  EXPECT_THAT(host_.probes, ElementsAre("0000:01:10.0", "0000:01:10.2", "0000:01:10.4", "0000:01:10.6"));
  EXPECT_EQ(host_.link.vfs[0].mac.text(), "02:00:00:00:00:01");
  EXPECT_EQ(host_.link.vfs[1].vlan, 100);
  EXPECT_EQ(host_.link.vfs[1].rate_mbps, 50u);
  EXPECT_EQ(host_.link.vfs[3].trust, true);
  EXPECT_THAT(manager_->plan(manager_->config()).lines, IsEmpty());
}

TEST_F(KernelManagerTest, AVfWithoutADriverOfTheHostIsAnErrorThatTakesAllBack) {
  host_.no_vf_driver = true;
  auto text = std::string(kPort);
  text.insert(text.find("  vfs"), "  host_drivers: true\n");
  const auto started = start(text);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, HasSubstr("VF 0 driver: no driver of this host took it; load the VF's driver"));
  EXPECT_EQ(host_.get("sriov_numvfs"), "0");
  EXPECT_EQ(host_.get("sriov_drivers_autoprobe"), "1");
  EXPECT_FALSE(host_.link.up);
}

TEST_F(KernelManagerTest, WhatADriverIgnoresOrRefusesIsAnErrorThatTakesAllBack) {
  host_.ignore_spoof = true;
  auto text = std::string(kPort);
  text.replace(text.find("name: web"), 9, "spoof_check: false");
  auto started = start(text);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text,
              HasSubstr("VF 0 spoof check: wrote off, read back on; driver igb ignores it, or somebody else sets it"));
  EXPECT_EQ(host_.get("sriov_numvfs"), "0");
  host_.ignore_spoof = false;
  host_.fail_on = true;
  started = start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, HasSubstr("VF 3 trust to on: set VF: Operation not supported; the "));
  EXPECT_EQ(host_.get("sriov_numvfs"), "0");
}

TEST_F(KernelManagerTest, CopiesByPoolBitsAndTakesThemAway) {
  ASSERT_TRUE(start());
  EXPECT_TRUE(pool(rah(0), 3) && pool(rah(0), 0));
  EXPECT_FALSE(pool(rah(1), 3));
  EXPECT_EQ(rah(3) & igb::Rah::pools_mask, 1u << (igb::Rah::pools_shift + 3));
  const auto scopes = manager_->plan(manager_->config()).scopes;
  ASSERT_EQ(scopes.size(), 1u);
  EXPECT_THAT(scopes[0],
              HasSubstr("copy -> VF 3 (agent): every frame to an address of VF 0 (web), from the network or"));
  ASSERT_TRUE(manager_->revert());
  EXPECT_FALSE(pool(rah(0), 3));
  EXPECT_TRUE(pool(rah(0), 0));
  EXPECT_TRUE(pool(rah(3), 3)) << "the agent's own address stays its own";
}

TEST_F(KernelManagerTest, OverScopeIsRefusedWithTheAlternative) {
  const auto refusal = [&](const std::string& tap) {
    return start(std::string(kPort) + "  taps: [{name: t, " + tap + "}]\n").error();
  };
  EXPECT_THAT(refusal("from: [0], to: 3, direction: tx").text,
              HasSubstr("tap t: this 82576 keeps no mirror rule (what is written to one reads back as 0), and its "
                        "filters copy only what is received; set direction: rx, or capture in the guest"));
  EXPECT_EQ(refusal("from: [0], to: 3, direction: both").exit_status(), 2);
  EXPECT_THAT(refusal("port: true, to: 3").text, HasSubstr("set allow_port_scope: true to accept that"));
  EXPECT_THAT(refusal("port: true, to: 3, direction: both, allow_port_scope: true").text,
              HasSubstr("set direction: rx"));
  EXPECT_EQ(host_.get("sriov_numvfs"), "0") << "refused before anything is touched";
  EXPECT_EQ(host_.vf_sets, 0u);
}

TEST_F(KernelManagerTest, TheWholePortByHashesAndBack) {
  ASSERT_TRUE(start(std::string(kPort)));
  host_.words[igb::VMOLR.at(0)] |= Accept::multicast_hash;
  host_.words[igb::MTA.at(5)] = 0x10;
  const auto before = host_.words;
  auto config = parse(std::string(kPort) + "  taps: [{name: t, port: true, to: 3, allow_port_scope: true}]\n");
  auto applied = manager_->apply(config);
  ASSERT_TRUE(applied) << applied.error().text;
  EXPECT_TRUE(pool(rah(0), 3) && pool(rah(1), 3));
  EXPECT_EQ(host_.words[igb::UTA.at(127)], ~0u);
  EXPECT_EQ(host_.words[igb::MTA.at(5)], ~0u);
  EXPECT_EQ(host_.words[igb::VMOLR.at(3)] & Accept::all, Accept::all);
  EXPECT_EQ(host_.words[igb::VMOLR.at(0)] & Accept::multicast_hash, 0u);
  ASSERT_TRUE(manager_->revert());
  for (const auto& [offset, value] : before) EXPECT_EQ(host_.words[offset], value) << std::hex << offset;
  EXPECT_EQ(host_.words[igb::UTA.at(127)], 0u);
}

TEST_F(KernelManagerTest, UsesMirrorRulesWhereTheyHold) {
  host_.has_rules = true;
  ASSERT_TRUE(start(std::string(kPort) + "  taps: [{name: t, from: [0, 1], to: 3, direction: rx}]\n"));
  EXPECT_EQ(host_.words[igb::VMRCTL.at(0)], 0x301u);
  EXPECT_EQ(host_.words[igb::VMRVM.at(0)], 3u);
  EXPECT_FALSE(pool(rah(0), 3)) << "no replication beside a rule";
  const PortView view = manager_->show();
  ASSERT_EQ(view.rules.size(), 1u);
  EXPECT_EQ(view.rules[0], view.wanted_rules[0]);
  manager_->stop();
  EXPECT_EQ(host_.words[igb::VMRCTL.at(0)], 0u);
}

TEST_F(KernelManagerTest, AResetOfATenantIsDriftSetRightAndCounted) {
  ASSERT_TRUE(start());
  for (unsigned i = 1; i <= 20; ++i) {
    host_.words[igb::VFRE.at()] &= ~1u;
    manager_->service();
    host_.reset_vf(0);
    EXPECT_FALSE(pool(rah(0), 3));
    manager_->service();
    EXPECT_TRUE(pool(rah(0), 3));
    EXPECT_EQ(manager_->totals().drifts, i);
  }
  EXPECT_EQ(manager_->totals().vf_resets, 20u);
  manager_->service();
  EXPECT_EQ(manager_->totals().drifts, 20u);
  EXPECT_EQ(manager_->show().drifts, 20u);
  EXPECT_LE(manager_->patience(), std::chrono::milliseconds(1000));
}

TEST_F(KernelManagerTest, AnAdministratorsChangeIsReportedAndTheCopyFollowsIt) {
  ASSERT_TRUE(start());
  host_.link.vfs[0].mac = *hw::Mac::parse("02:00:00:00:00:99");
  host_.link.vfs[1].vlan = 200;
  host_.reset_vf(0);
  host_.event = true;
  manager_->service();
  EXPECT_EQ(host_.link.vfs[0].mac.text(), "02:00:00:00:00:99") << "left as the administrator wants it";
  EXPECT_TRUE(pool(rah(0), 3)) << "the tap is of the tenant, whatever its address";
  EXPECT_EQ(manager_->totals().overruled, 2u);
  EXPECT_THAT(manager_->show().overruled, ElementsAre(Overruled{"VF 0 MAC", "02:00:00:00:00:01", "02:00:00:00:00:99"},
                                                      Overruled{"VF 1 port VLAN", "100", "200"}));
  const auto again = parse_show(show_json(manager_->show(), manager_->config()));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->overruled.size(), 2u);
  EXPECT_EQ(again->generator, GeneratorKind::kernel);
  host_.event = true;
  manager_->service();
  EXPECT_EQ(manager_->totals().overruled, 2u) << "told once";
  ASSERT_TRUE(manager_->apply(manager_->config()));
  EXPECT_EQ(host_.link.vfs[0].mac.text(), "02:00:00:00:00:01") << "asked for, so done";
  EXPECT_THAT(manager_->show().overruled, IsEmpty());
}

TEST_F(KernelManagerTest, LockedRegistersAreRefusedWithTheRemedyOnlyWhenTapsNeedThem) {
  host_.locked = true;
  ASSERT_TRUE(start(std::string(kPort)));
  const auto plan = manager_->plan(parse(std::string(kPort) + std::string(kTap)));
  ASSERT_EQ(plan.refusals.size(), 1u);
  EXPECT_THAT(plan.refusals[0], HasSubstr("CONFIG_IO_STRICT_DEVMEM): boot with iomem=relaxed"));
  EXPECT_THAT(explain_refusal(EPERM, "x", "none [integrity] confidentiality").text, HasSubstr("locked down"));
  EXPECT_THAT(explain_refusal(EACCES, "x", "").text, HasSubstr("as root?"));
}

TEST_F(KernelManagerTest, ARegisterThatDoesNotStickIsAnErrorAndNothingIsLeft) {
  ASSERT_TRUE(start(std::string(kPort)));
  host_.swallow = igb::RAH.at(23);
  const auto applied = manager_->apply(parse(std::string(kPort) + std::string(kTap)));
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().text, HasSubstr("write RAH[23]: wrote "));
  EXPECT_THAT(applied.error().text, HasSubstr("the device or its driver does not keep it"));
  EXPECT_THAT(manager_->config().taps, IsEmpty());
}

// kill -9: after each number of writes to registers the process is gone; repair leaves the port as the driver had it.
TEST_F(KernelManagerTest, KilledAnywhereThenRepaired) {
  ASSERT_TRUE(start(std::string(kPort)));
  host_.words[igb::VMOLR.at(0)] |= Accept::multicast_hash;
  const auto before = host_.words;
  const auto config = parse(std::string(kPort) + "  taps: [{name: t, port: true, to: 3, allow_port_scope: true}]\n");
  for (unsigned writes = 0; writes < 270; writes += 7) {
    host_.writes_left = writes;
    (void)manager_->apply(config);
    const std::string text = hw::read_small_file(journal());
    manager_.reset();
    std::ofstream(journal()) << text;
    host_.writes_left.reset();
    const auto repaired = repair_kernel_port(host_.ways(), journal());
    ASSERT_TRUE(repaired) << repaired.error().text;
    for (const auto& [offset, value] : before) ASSERT_EQ(host_.words[offset], value) << writes << std::hex << offset;
    ASSERT_TRUE(start(std::string(kPort)));
  }
}

// The same while the copies are being taken away.
TEST_F(KernelManagerTest, KilledWhileRevertingThenRepaired) {
  const auto config = parse(std::string(kPort) + "  taps: [{name: t, port: true, to: 3, allow_port_scope: true}]\n");
  ASSERT_TRUE(start(std::string(kPort)));
  host_.words[igb::VMOLR.at(0)] |= Accept::multicast_hash;
  const auto before = host_.words;
  for (unsigned writes = 0; writes < 270; writes += 27) {
    ASSERT_TRUE(manager_->apply(config));
    host_.writes_left = writes;
    // Killed: nothing is remembered after the last write that got through.
    const auto file = journal();
    std::string first;
    host_.on_last_write = [&] { first = hw::read_small_file(file); };
    (void)manager_->revert();
    host_.on_last_write = nullptr;
    manager_.reset();
    if (!first.empty()) std::ofstream(file) << first;
    host_.writes_left.reset();
    const auto repaired = repair_kernel_port(host_.ways(), file);
    ASSERT_TRUE(repaired) << repaired.error().text;
    for (const auto& [offset, value] : before) ASSERT_EQ(host_.words[offset], value) << writes << std::hex << offset;
    ASSERT_TRUE(start(std::string(kPort)));
  }
}

TEST_F(KernelManagerTest, TheJournalKnowsOfSettingsBeforeTheyAreMade) {
  host_.journal = journal();
  ASSERT_TRUE(start(std::string(kPort)));
  const auto record = parse_record(host_.journal_when_set, "journal");
  ASSERT_TRUE(record) << record.error().text;
  EXPECT_TRUE(record->applying);
  EXPECT_THAT(record->settings, Contains(Setting{SettingKind::vfs, 0, "0", "4"}));
  EXPECT_TRUE(KernelJournal(journal()).load()->empty());
}

TEST_F(KernelManagerTest, AKilledManagersCopiesAreTakenAwayByRepairAndByTheNext) {
  ASSERT_TRUE(start());
  manager_.reset();  // no stop(): killed
  EXPECT_TRUE(pool(rah(0), 3));
  const auto repaired = repair_kernel_port(host_.ways(), journal());
  ASSERT_TRUE(repaired) << repaired.error().text;
  EXPECT_THAT(*repaired, ElementsAre(HasSubstr("registers of 0000:01:00.0 hold nothing of ours any more")));
  EXPECT_FALSE(pool(rah(0), 3));
  EXPECT_EQ(host_.get("sriov_numvfs"), "4") << "guests use them";
  EXPECT_THAT(*repair_kernel_port(host_.ways(), journal()), IsEmpty());
  ASSERT_TRUE(start());
  manager_.reset();
  ASSERT_TRUE(start(std::string(kPort)));
  EXPECT_FALSE(pool(rah(0), 3));
}

TEST_F(KernelManagerTest, InterruptedSettingsAreTakenBack) {
  KernelRecord record{test::FakeHost::kPf, true, {}, {}, false};
  record.settings = {{SettingKind::port_up, 0, "down", "up"},
                     {SettingKind::vfs, 0, "0", "4"},
                     {SettingKind::vf_mac, 0, "unknown", "02:00:00:00:00:01"}};
  ASSERT_TRUE(KernelJournal(journal()).store(record));
  host_.link.up = true;
  host_.put(host_.pf() / "sriov_numvfs", "4");
  const auto repaired = repair_kernel_port(host_.ways(), journal());
  ASSERT_TRUE(repaired) << repaired.error().text;
  EXPECT_EQ(host_.get("sriov_numvfs"), "0");
  EXPECT_FALSE(host_.link.up);
  EXPECT_TRUE(KernelJournal(journal()).load()->empty());
}

TEST_F(KernelManagerTest, ForeignJournalsAreRefused) {
  std::ofstream(journal()) << "{\"vigia_pf_journal\":1}";
  EXPECT_EQ(start().error().exit_status(), 2);
  KernelRecord record{"0000:02:00.0", false, {}, {}, false};
  ASSERT_TRUE(KernelJournal(journal()).store(record));
  EXPECT_THAT(start().error().text, HasSubstr("the journal is of 0000:02:00.0, not of 0000:01:00.0"));
  const auto round = parse_record(record_json(record), "j");
  ASSERT_TRUE(round);
  EXPECT_EQ(*round, record);
}

TEST_F(KernelManagerTest, SpeaksOverTheControlSocketLikeNative) {
  ASSERT_TRUE(start());
  EXPECT_THAT(answer_control(*manager_, R"({"command":"status"})"), HasSubstr(R"("drifts":0)"));
  EXPECT_THAT(answer_control(*manager_, R"({"command":"show"})"), HasSubstr(R"("generator":"kernel")"));
  const auto amended = answer_control(*manager_, R"({"command":"amend","change":{"remove_taps":["t"]}})");
  EXPECT_THAT(amended, HasSubstr(R"("ok":true)"));
  EXPECT_FALSE(pool(rah(0), 3));
}

class SwitchdevTest : public testing::Test {
 protected:
  vigia::test::TempDir dir_;
  test::FakeHost host_{dir_ / "sys", "0x1592", "ice"};
};

TEST_F(SwitchdevTest, TapsAreMirrorsOfRepresentorsMadeByTheNic) {
  host_.add_representors(4);
  host_.filters.push_back({"eth0_2", Hook::ingress, "eth0_3", 4000});  // left by a killed one
  auto text = std::string(kPort) + "  taps: [{name: t, from: [0], to: 3, direction: both}]\n";
  auto started = KernelManager::start(host_.ways(), parse(text), dir_ / "journal");
  ASSERT_TRUE(started) << started.error().text;
  KernelManager& manager = **started;
  EXPECT_THAT(host_.filters, ElementsAre(MirrorFilter{"eth0_0", Hook::egress, "eth0_3", 4000, 0, 3},
                                         MirrorFilter{"eth0_0", Hook::ingress, "eth0_3", 4001, 0, 3}));
  EXPECT_THAT(manager.show().mirrors, ElementsAre(PortMirror{0, 3, Direction::rx}, PortMirror{0, 3, Direction::tx}));
  EXPECT_THAT(manager.show().scopes,
              ElementsAre(HasSubstr("tc -> VF 3 (agent) (eth0_3): every frame that VF 0 (web) receives"),
                          HasSubstr("VF 0 (web) sends, by its interface eth0_0")));
  host_.filters.pop_back();
  host_.event = true;
  manager.service();
  EXPECT_EQ(host_.filters.size(), 1u) << "an administrator is not fought";
  EXPECT_THAT(manager.show().overruled, ElementsAre(Overruled{"mirror eth0_0 ingress to eth0_3", "there", "removed"}));
  manager.stop();
  EXPECT_THAT(host_.filters, IsEmpty());
}

TEST_F(SwitchdevTest, ANicThatDoesNotMirrorIsAnError) {
  host_.add_representors(4);
  host_.no_offload = true;
  const auto started = KernelManager::start(host_.ways(), parse(std::string(kPort) + std::string(kTap)), {});
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, HasSubstr("mirror: Operation not supported"));
}

TEST_F(SwitchdevTest, InLegacyModeTheFirmwaresFiltersAreNobodys) {
  const auto started = KernelManager::start(host_.ways(), parse(std::string(kPort) + std::string(kTap)), {});
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, HasSubstr("devlink dev eswitch set pci/0000:01:00.0 mode switchdev"));
}

TEST_F(KernelManagerTest, TheDeviceIsGoneWhenItsFolderIs) {
  ASSERT_TRUE(start());
  std::filesystem::remove_all(host_.pf());
  host_.event = true;
  manager_->service();
  EXPECT_FALSE(manager_->alive());
}

}  // namespace
}  // namespace vigia::pf
