// SPDX-License-Identifier: Apache-2.0
// Processes that are killed in the middle of a run: nobody else dies, files stay readable, the ledger says what
// happened.
#include <gmock/gmock.h>
#include <signal.h>

#include <thread>

#include "lab.h"

namespace vigia::system_test {
namespace {

using ::testing::HasSubstr;

// Long enough to be hit in the middle; so slow that a receive ring of 2048 outlasts a second without the CPU, on a busy
// machine and with sanitizers.
constexpr const char* kLongRun =
    "  vfs: 3\n"
    "  traffic: {gen: {size: 64, flows: 16, count: 12000, rate: 2kpps}}\n"
    "  tenants: [{name: web, vf: 0}]\n"
    "  agent: {name: agent, vf: 2, tap: {tenants: [web]}}\n";
constexpr std::uint64_t kFrames = 12000;

class DeathsTest : public LabTest {
 protected:
  // Runs the lab, kills that one in the middle.
  Result run_and_kill(const std::string& name) const {
    const auto lab = start_lab(kLongRun);
    ::kill(pid_of(name), SIGKILL);
    return finish_lab(*lab);
  }
  static void expect_only_death(const Result& r, const std::string& name) {
    ASSERT_TRUE(r.json.contains("died")) << r.json.dump(2) << r.err;
    EXPECT_EQ(r.status, 1);
    ASSERT_EQ(r.json["died"].size(), 1u) << r.json["died"].dump(2);
    EXPECT_EQ(r.json["died"][0]["name"], name);
    EXPECT_THAT(r.json["died"][0]["how"].get<std::string>(), HasSubstr("signal 9"));
    EXPECT_TRUE(r.json["ledger"]["balanced"]) << r.json["ledger"].dump(2);
  }
};

TEST_F(DeathsTest, Tenant) {
  const auto r = run_and_kill("web");
  expect_only_death(r, "web");
  // The agent goes on: it sees what the dead tenant's pool would have been given, as far as the rule still fires.
  EXPECT_GT(r.json["agent"]["frames"], 0);
  EXPECT_EQ(r.json["agent"]["lost"], 0);
  EXPECT_EQ(r.json["wire"]["frames"], kFrames);
  EXPECT_LT(r.json["tenants"][0]["frames"], kFrames);
  EXPECT_EQ(read_frames(out_ / "agent.pcapng").size(), r.json["agent"]["frames"]);
}

TEST_F(DeathsTest, Agent) {
  const auto r = run_and_kill("agent");
  expect_only_death(r, "agent");
  EXPECT_EQ(r.json["tenants"][0]["frames"], kFrames);  // the tenant notices nothing
  EXPECT_LT(r.json["agent"]["frames"], kFrames);
  EXPECT_GT(r.json["agent"]["lost"], 0);
  EXPECT_EQ(read_frames(out_ / "agent.pcapng").size(), r.json["agent"]["frames"]);  // what is there can be read
}

TEST_F(DeathsTest, PfManager) {
  const auto r = run_and_kill("pf");
  expect_only_death(r, "pf");
  EXPECT_EQ(r.json["wire"]["frames"], kFrames);
  EXPECT_EQ(read_frames(out_ / "agent.pcapng").size(), r.json["agent"]["frames"]);
  EXPECT_GT(r.json["agent"]["frames"], 0);
}

TEST_F(DeathsTest, Softnic) {
  const auto r = run_and_kill("softnic");
  expect_only_death(r, "softnic");
  EXPECT_LT(r.json["wire"]["frames"], kFrames);
  EXPECT_GT(r.json["agent"]["frames"], 0);
  EXPECT_THAT(r.json["ledger"]["first_loss"].get<std::string>(), HasSubstr("wire.not_sent"));
  EXPECT_EQ(read_frames(out_ / "agent.pcapng").size(), r.json["agent"]["frames"]);
}

TEST_F(DeathsTest, InterruptedRunHasTheLedgerOfItsPart) {
  const auto lab = start_lab(kLongRun);
  lab->signal(SIGINT);
  const auto r = finish_lab(*lab);
  ASSERT_TRUE(r.json.contains("ledger")) << r.json.dump(2) << r.err;
  EXPECT_EQ(r.status, 1);
  EXPECT_TRUE(r.json["ledger"]["balanced"]) << r.json["ledger"].dump(2);
  EXPECT_TRUE(r.json["died"].empty());
  EXPECT_LT(r.json["wire"]["frames"], kFrames);
  EXPECT_GT(r.json["agent"]["frames"], 0);
  EXPECT_THAT(r.json["problems"].dump(), HasSubstr("interrupted"));
}

TEST_F(DeathsTest, KilledOrchestratorTakesEverybodyWithIt) {
  const auto lab = start_lab(kLongRun);
  ASSERT_GE(processes_with(dir_.string()).size(), 5u);  // vigia, softnic, pf, web, agent
  lab->signal(SIGKILL);
  lab->wait();
  for (int i = 0; i < 200 && !processes_with(dir_.string()).empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  expect_nobody_left();
  // The folder alone still tells: nobody runs, so they are taken for dead. A process that is ending shows no command
  // line any more, but holds its files for a moment.
  nlohmann::json json;
  for (int i = 0; i < 50; ++i) {
    const auto ledger = run({program("vigia"), "ledger", out_, "--json"});
    json = nlohmann::json::parse(ledger.out, nullptr, false);
    ASSERT_TRUE(json.is_object()) << ledger.out << ledger.err;
    if (json["remarks"].dump().find("still running") == std::string::npos) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_THAT(json["remarks"].dump(), HasSubstr("agent died"));
}

TEST_F(DeathsTest, LedgerOfARunningLab) {
  const auto lab = start_lab(kLongRun);
  const auto ledger = run({program("vigia"), "ledger", out_});
  EXPECT_THAT(ledger.out, HasSubstr("is still running"));
  const auto r = finish_lab(*lab);
  EXPECT_EQ(r.status, 0) << r.err;
  const auto after = run({program("vigia"), "ledger", out_});
  EXPECT_EQ(after.status, 0) << after.out;
  EXPECT_THAT(after.out, HasSubstr("The ledger balances."));
}

TEST_F(DeathsTest, FolderOfARunningLabIsRefused) {
  const auto lab = start_lab(kLongRun);
  const auto second = run(lab_command());
  EXPECT_EQ(second.status, 2);
  EXPECT_THAT(second.err, HasSubstr("a lab is running there"));
  lab->signal(SIGINT);
  EXPECT_EQ(finish_lab(*lab).status, 1);
}

}  // namespace
}  // namespace vigia::system_test
