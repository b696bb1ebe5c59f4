// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "pfdriver/control.h"
#include "tests/pfdriver/fake_nic.h"
#include "tests/temp_dir.h"

namespace vigia::pf {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
namespace mbx = hw::ixgbe::mbx;
namespace reg = hw::ixgbe::pf;
namespace bits = hw::ixgbe;

constexpr std::string_view kPort =
    "pf:\n  vfs: 4\n  vf:\n    - {index: 0, mac: \"02:00:00:00:00:01\", name: web, vlan: 100}\n"
    "    - {index: 3, name: agent}\n";
constexpr std::string_view kTap = "  taps:\n    - {name: t, from: [0], to: 3, direction: both}\n";

class ManagerTest : public testing::Test {
 protected:
  void start(const std::string& text = std::string(kPort) + std::string(kTap)) {
    auto config = parse_config(text, "pf.yaml");
    ASSERT_TRUE(config) << config.error().text;
    auto started = Manager::start(nic_, *config, dir_ / "journal", true);
    ASSERT_TRUE(started) << started.error().text;
    manager_ = std::move(*started);
  }
  mbx::Message ask(unsigned vf, const mbx::Message& message) {
    nic_.vf_sends(vf, message);
    manager_->service();
    EXPECT_TRUE(nic_.vf_has_message(vf));
    const mbx::Message reply = nic_.vf_reads(vf);
    nic_.vf_acks(vf);
    manager_->service();
    return reply;
  }
  void reset(unsigned vf) { EXPECT_NE(ask(vf, {mbx::word0(mbx::Id::reset)})[0], 1u); }
  json control(const json& request) { return json::parse(answer_control(*manager_, request.dump())); }

  vigia::test::TempDir dir_;
  test::FakeNic nic_;
  std::unique_ptr<Manager> manager_;
};

TEST_F(ManagerTest, RefusesOtherDevicesAndImpossibleTapsBeforeTouchingAnything) {
  auto config = parse_config("pf:\n  vfs: 2\n  taps: [{name: t, from: [0], to: 1, direction: tx}]\n", "pf.yaml");
  auto started = Manager::start(nic_, *config, {}, true);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().exit_status(), 2);
  EXPECT_THAT(started.error().text, HasSubstr("cannot mirror what one VF sends"));
  nic_.identity = {0x8086, 0x10ed};
  started = Manager::start(nic_, *config, {}, true);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().text,
            "fake:pf: device 8086:10ed is no physical function that vigia-pf drives itself (8086:10fb, the 82599); "
            "give it back to Linux's driver and use generator: kernel with pci:ADDRESS");
  EXPECT_TRUE(nic_.written.empty());
}

TEST_F(ManagerTest, StartAppliesTheConfigThenLetsVfsReset) {
  start();
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0x309u);
  EXPECT_EQ(nic_.written.back(), reg::CTRL_EXT.at());
  EXPECT_EQ(nic_.get(reg::PFVFRE.at(0)), 0u) << "VFs receive after their reset";
  EXPECT_EQ(nic_.queue_drop(12), 1u) << "the agent's queues drop";
}

TEST_F(ManagerTest, AVfsLifeOnRegisters) {
  start();
  reset(1);
  EXPECT_EQ(nic_.get(reg::PFVFRE.at(0)), 2u);
  EXPECT_EQ(nic_.get(reg::PFVFTE.at(0)), 2u);
  mbx::Message mac{mbx::word0(mbx::Id::set_mac_addr)};
  mbx::put_mac(mac, hw::Mac::unpack(0x770000000002));
  EXPECT_EQ(ask(1, mac)[0] & bits::mbx::kSuccess, bits::mbx::kSuccess);
  EXPECT_EQ(nic_.get(reg::RAL.at(126)), 2u);
  EXPECT_EQ(nic_.get(reg::RAH.at(126)), bits::Rah::av | 0x7700);
  EXPECT_EQ(nic_.get(reg::MPSAR.at(252)), 2u);
  EXPECT_EQ(ask(1, {mbx::word0(mbx::Id::set_vlan, 1), 5})[0], 0xa001'0004u);
  EXPECT_EQ(nic_.get(reg::PFVLVF.at(1)), bits::Vlvf::vi_en | 5);
  EXPECT_EQ(nic_.get(reg::PFVLVFB.at(2)), 2u);
  EXPECT_EQ(nic_.get(reg::VFTA.at(0)), 1u << 5);
  EXPECT_EQ(ask(1, {mbx::word0(mbx::Id::set_vlan, 1), 100})[0] & bits::mbx::kFailure, bits::mbx::kFailure)
      << "VLAN 100 is mirrored for web";

  nic_.vf_resets(1);
  manager_->service();
  EXPECT_EQ(nic_.get(reg::RAH.at(126)), 0u);
  EXPECT_EQ(nic_.get(reg::MPSAR.at(252)), 0u);
  EXPECT_EQ(nic_.get(reg::PFVLVF.at(1)), 0u);
  EXPECT_EQ(nic_.get(reg::VFTA.at(0)), 0u);
  EXPECT_EQ(nic_.get(reg::PFVFRE.at(0)), 0u);
  reset(1);
  EXPECT_EQ(nic_.get(reg::PFVFRE.at(0)), 2u) << "it restarts as often as it likes";
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0x309u);
  EXPECT_EQ(manager_->totals().vf_resets, 3u);
  EXPECT_EQ(manager_->totals().refusals, 1u);
}

TEST_F(ManagerTest, RevertKeepsWhatVfsWereGranted) {
  start(std::string(kPort) + "  taps:\n    - {name: p, port: true, to: 3}\n");
  reset(1);
  (void)ask(1, {mbx::word0(mbx::Id::set_vlan, 1), 5});
  EXPECT_EQ(nic_.get(reg::VFTA.at(0)), ~0u);
  ASSERT_TRUE(manager_->revert());
  EXPECT_EQ(nic_.get(reg::VFTA.at(0)), 1u << 5);
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0u);
  EXPECT_EQ(nic_.get(reg::FCTRL.at()), bits::Fctrl::bam);
  EXPECT_NE(nic_.get(reg::PFVTCTL.at()) & bits::Pfvtctl::dis_def_pool, 0u);
  EXPECT_EQ(nic_.get(reg::PFVFRE.at(0)), 2u);
}

TEST_F(ManagerTest, AFailedApplyKeepsTheOldConfig) {
  start(std::string(kPort));
  auto wanted = parse_config(std::string(kPort) + std::string(kTap), "pf.yaml");
  nic_.swallow = reg::PFMRCTL.at(0);
  const auto failed = manager_->apply(*wanted);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().text, HasSubstr("PFMRCTL[0]"));
  EXPECT_TRUE(manager_->config().taps.empty());
  EXPECT_EQ(nic_.get(reg::PFMRVM.at(0)), 0u);
  nic_.swallow.reset();
  const auto applied = manager_->apply(*wanted);
  ASSERT_TRUE(applied);
  EXPECT_FALSE(applied.value().changes.empty());
  EXPECT_TRUE(manager_->apply(*wanted).value().changes.empty());
}

TEST_F(ManagerTest, ShowReadsRegistersNotMemory) {
  start();
  nic_.set(reg::PFMRCTL.at(2), 0x104);  // somebody else's rule
  nic_.set(reg::PFVFRE.at(0), 4);
  const PortView view = manager_->show();
  EXPECT_TRUE(view.up && view.link);
  ASSERT_EQ(view.rules.size(), 2u);
  EXPECT_THAT(view.scopes.back(), HasSubstr("rule 2 -> VF 1: every frame that any VF sends to the network"));
  EXPECT_TRUE(view.vfs[2].receive);
  EXPECT_FALSE(view.vfs[1].receive);
  EXPECT_EQ(view.vfs[0].macs.at(0).text(), "02:00:00:00:00:01");
  EXPECT_THAT(show_text(view, manager_->config()),
              HasSubstr("VF 0 (web): receive off, transmit off, MAC 02:00:00:00:00:01, VLAN 100, spoof check on, drops "
                        "when full\n"));
}

TEST_F(ManagerTest, StopRevertsTellsVfsAndQuietensTheDevice) {
  start();
  reset(0);
  manager_->stop();
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0u);
  EXPECT_EQ(nic_.vf_reads(0)[0], 0x0000'0100u) << "a ping without CTS";
  EXPECT_EQ(nic_.get(reg::RXCTRL.at()), 0u);
  EXPECT_EQ(nic_.config[4] & 4u, 0u);
}

TEST_F(ManagerTest, LinkChangesArePinged) {
  start();
  reset(0);
  nic_.no_link = true;
  manager_->service();
  EXPECT_EQ(nic_.vf_reads(0)[0], 0x2000'0100u);
  nic_.dead = true;
  manager_->service();
  EXPECT_FALSE(manager_->alive());
}

TEST_F(ManagerTest, ControlRefusals) {
  start();
  for (const char* line :
       {"", "x", "[]", "{}", "{\"command\":1}", "{\"command\":\"fly\"}", "{\"command\":\"apply\"}",
        "{\"command\":\"plan\",\"config\":7}", "{\"command\":\"plan\",\"config\":\"\",\"file\":3}"}) {
    const json reply = json::parse(answer_control(*manager_, line));
    EXPECT_EQ(reply["ok"], false) << line;
    EXPECT_EQ(reply["status"], 2) << line;
    EXPECT_FALSE(reply["error"].get<std::string>().empty());
  }
}

TEST_F(ManagerTest, ControlCommands) {
  start(std::string(kPort));
  const std::string wanted = std::string(kPort) + std::string(kTap);
  json reply = control({{"command", "plan"}, {"config", wanted}, {"file", "x.yaml"}});
  EXPECT_EQ(reply["ok"], true);
  EXPECT_EQ(reply["data"]["rules"][0]["destination"], 3);
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0u) << "a plan changes nothing";
  EXPECT_EQ(control({{"command", "apply"}, {"config", wanted}})["ok"], true);
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0x309u);
  EXPECT_EQ(control({{"command", "show"}})["data"]["rules"].size(), 1u);
  EXPECT_EQ(control({{"command", "status"}})["data"]["vfs"], 4);
  EXPECT_EQ(control({{"command", "revert"}})["ok"], true);
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0u);
  reply = control({{"command", "apply"}, {"config", "pf: {vfs: 4, vfz: 1}"}, {"file", "x.yaml"}});
  EXPECT_EQ(reply["error"], "x.yaml:1: pf.vfz: unknown key; did you mean vfs?");
  reply = control({{"command", "apply"}, {"config", "pf: {vfs: 5}"}});
  EXPECT_EQ(reply["status"], 2);
  EXPECT_THAT(reply["error"].get<std::string>(), HasSubstr("need a restart of vigia-pf"));
}

TEST_F(ManagerTest, AnAmendmentIsMadeAndTakenBack) {
  start(std::string(kPort));
  const json tap{{"taps", json::array({{{"name", "vm:a"}, {"from", {0}}, {"to", 3}, {"direction", "both"}}})}};
  json reply = control({{"command", "amend"}, {"change", tap}, {"dry_run", true}});
  EXPECT_EQ(reply["ok"], true) << reply;
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0u) << "planned only";
  reply = control({{"command", "amend"}, {"change", tap}});
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0x309u);
  EXPECT_EQ(reply["data"]["undo"]["remove_taps"][0], "vm:a");
  EXPECT_EQ(control({{"command", "config"}})["data"]["taps"][0]["name"], "vm:a");
  EXPECT_EQ(control({{"command", "amend"}, {"change", reply["data"]["undo"]}})["ok"], true);
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0u);
  EXPECT_EQ(control({{"command", "config"}})["data"]["taps"].size(), 0u);
  EXPECT_EQ(control({{"command", "amend"}})["status"], 2);
  EXPECT_EQ(control({{"command", "amend"}, {"change", {{"taps", 1}}}})["status"], 2);
}

TEST(Control, SocketEndToEnd) {
  vigia::test::TempDir dir;
  const auto path = dir / "control";
  std::ofstream(dir / "file") << "kept";
  const auto echo = [](std::string_view line) { return "<" + std::string(line) + ">"; };
  EXPECT_FALSE(ControlServer::listen(dir / "file", echo)) << "a file that is no socket is left alone";
  EXPECT_FALSE(ControlServer::listen(dir / std::string(120, 'x'), echo));
  EXPECT_FALSE(ask_control(path, "x"));

  auto server = ControlServer::listen(path, echo);
  ASSERT_TRUE(server) << server.error().text;
  auto second = ControlServer::listen(path, echo);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().text, HasSubstr("another process serves it"));

  std::string big(300'000, 'a');
  Result<std::string> reply = work_error("not asked");
  std::atomic<bool> answered = false;
  std::thread client([&] {
    reply = ask_control(path, big);
    answered = true;
  });
  for (int i = 0; i < 2000 && !answered; ++i) {
    std::vector<pollfd> fds;
    (*server)->add_to(fds);
    ::poll(fds.data(), fds.size(), 5);
    (*server)->serve(fds);
  }
  client.join();
  ASSERT_TRUE(reply) << reply.error().text;
  EXPECT_EQ(*reply, "<" + big + ">");
  server->reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

// Seen with a Ctrl-C during `agent up`: the port had done what was asked, and the asker did not know.
TEST(Control, ASignalDoesNotEndAQuestion) {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) {};  // without SA_RESTART, as programs that want to end have it
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  vigia::test::TempDir dir;
  auto server = ControlServer::listen(dir / "control", [](std::string_view line) { return std::string(line); });
  ASSERT_TRUE(server) << server.error().text;
  Result<std::string> reply = work_error("not asked");
  std::thread client([&] { reply = ask_control(dir / "control", "x"); });
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::pthread_kill(client.native_handle(), SIGUSR1);
  }
  // Joinable still, so the signals had a thread to reach; only now is it answered.
  for (int i = 0; i < 20; ++i) {
    std::vector<pollfd> fds;
    (*server)->add_to(fds);
    ::poll(fds.data(), fds.size(), 5);
    (*server)->serve(fds);
  }
  client.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_TRUE(reply) << reply.error().text;
  EXPECT_EQ(*reply, "x");
}

}  // namespace
}  // namespace vigia::pf
