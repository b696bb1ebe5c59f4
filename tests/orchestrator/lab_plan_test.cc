// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/lab_files.h"
#include "orchestrator/lab_rate.h"
#include "orchestrator/lab_setup.h"
#include "temp_captures.h"

namespace vigia::orch {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LabSpec example() {
  LabSpec spec;
  spec.file = "/lab/lab.yaml";
  spec.vfs = 4;
  spec.traffic.file = "trace.pcap";
  TenantSpec web;
  web.name = "web", web.vf = 0, web.mac = {{2, 0, 0, 0, 0, 1}}, web.match = "tcp port 80";
  TenantSpec blue;
  blue.name = "blue", blue.vf = 1, blue.mac = {{2, 0, 0, 0, 0, 2}}, blue.vlan = 10, blue.reply = Reply::swap;
  spec.tenants = {web, blue};
  AgentSpec agent;
  agent.name = "agent", agent.vf = 3, agent.mac = {{2, 0, 0, 0, 0, 3}};
  agent.tap = TapSpec{{"web"}, false, {}, TapDirection::rx, false};
  spec.agents = {agent};
  return spec;
}
const LabPaths kPaths{"/out", "/run/s", "/bin"};

TEST(LabCommands, AreWhatTheProgramsTake) {
  const LabCommands c = lab_commands(example(), kPaths);
  EXPECT_EQ(shell_line(c.softnic),
            "/bin/vigia-softnic --dir /run/s --vfs 4 --wire pcap:/out/wire.pcap,rate=max,loop=1 --start-when-ready 3 "
            "--counters /out/softnic.counters --timing none --doorbells map");
  EXPECT_EQ(shell_line(c.pf),
            "/bin/vigia-pf --device vfio-user:/run/s/pf.sock --config /out/pf.yaml --control /run/s/pf.control "
            "--ready-file /out/pf.ready");
  EXPECT_EQ(shell_line(c.tenants[1]),
            "/bin/vigia-capture tenant --device vfio-user:/run/s/vf1.sock --name blue --counters /out/blue.counters "
            "--ready-file /out/blue.ready --mtu 9000 --stats-json /out/blue.json --reply swap");
  EXPECT_EQ(shell_line(c.agents[0]),
            "VIGIA_RUN_DIR=/run/s /bin/vigia-capture run --device vfio-user:/run/s/vf3.sock --name agent --counters "
            "/out/agent.counters --ready-file /out/agent.ready --stats-json /out/agent.json --mtu 9000 --out "
            "/out/agent.pcapng --tap 'rx of web'");
}

TEST(LabCommands, OptionsOfAgents) {
  LabSpec spec = example();
  spec.agents[0].out = AgentOutput::raw;
  spec.agents[0].snaplen = 96;
  spec.agents[0].ring = "64M";
  spec.agents[0].poll = true;
  EXPECT_THAT(shell_line(lab_commands(spec, kPaths).agents[0]),
              HasSubstr("--raw /out/agent.raw --snaplen 96 --ring 64M --poll"));
  spec.agents[0].out = AgentOutput::none;
  EXPECT_THAT(shell_line(lab_commands(spec, kPaths).agents[0]), Not(HasSubstr("--out")));
  EXPECT_EQ(kPaths.capture(spec.agents[0]), "");
}

TEST(LabCommands, GeneratedTrafficGoesToTheFirstTenantOrToNobody) {
  LabSpec spec = example();
  spec.tenants[0].match.clear();
  spec.nobody = {{2, 0, 0, 0xff, 0xff, 0xfe}};
  spec.traffic = {"", "max", 1, GenSpec{64, 16, 1000, "3mpps"}};
  EXPECT_EQ(wire_spec(spec, kPaths), "gen:size=64,flows=16,count=1000,rate=3mpps,dst=02:00:00:00:00:01");
  spec.tenants.clear();
  EXPECT_THAT(wire_spec(spec, kPaths), HasSubstr("dst=02:00:00:ff:ff:fe"));
}

TEST(PfYaml, ReadsBackAsTheConfigItWasMadeFrom) {
  LabSpec spec = example();
  AgentSpec vlan = spec.agents[0];
  vlan.name = "vlan", vlan.vf = 2, vlan.mac = {{2, 0, 0, 0, 0, 4}};
  vlan.tap = TapSpec{{}, false, 10, TapDirection::rx, true};
  spec.agents.push_back(vlan);
  const pf::PfConfig config = pf_config(spec);
  const auto read = pf::parse_config(pf_yaml(config), "pf.yaml");
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(*read, pf::complete(config));
  EXPECT_EQ(config.taps[1].from, std::vector<unsigned>{1});  // who is in the VLAN
  EXPECT_EQ(config.taps[1].direction, pf::Direction::both);
}

TEST(PfYaml, WholePort) {
  LabSpec spec = example();
  spec.agents[0].tap = TapSpec{{}, true, {}, TapDirection::both, false};
  const auto read = pf::parse_config(pf_yaml(pf_config(spec)), "pf.yaml");
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_TRUE(read->taps[0].port);
}

TEST(SetUpLab, TapThatTheNicCannotDoIsRefusedBeforeAnythingExists) {
  const TempFolder dir;
  LabSpec spec = example();
  spec.agents[0].tap->direction = TapDirection::tx;
  const std::atomic<bool> go_on{false};
  const auto setup = set_up_lab(spec, dir / "out", go_on);
  ASSERT_FALSE(setup);
  EXPECT_EQ(setup.error().exit_status(), 2);
  EXPECT_THAT(setup.error().text, HasSubstr("allow_port_scope"));
  EXPECT_FALSE(std::filesystem::exists(dir / "out"));
}

TEST(SocketFolder, OwnFolderWhenItsPathsAreShortEnough) {
  const auto here = SocketFolder::choose("/short");
  ASSERT_TRUE(here);
  EXPECT_EQ(here->path(), "/short");
}

TEST(SocketFolder, MadeAndRemovedWhenTheyAreNot) {
  std::filesystem::path made;
  {
    const auto elsewhere = SocketFolder::choose("/" + std::string(100, 'x'));
    ASSERT_TRUE(elsewhere) << elsewhere.error().text;
    made = elsewhere->path();
    EXPECT_TRUE(std::filesystem::is_directory(made));
    EXPECT_LT((made / "vf62.sock").native().size(), 107u);
  }
  EXPECT_FALSE(std::filesystem::exists(made));
}

TEST(Rate, FormsAndWhatTheyMean) {
  using Kind = LabRate::Kind;
  const struct {
    const char* text;
    Kind kind;
    double value;
  } cases[] = {{"max", Kind::maximum, 1},      {"1x", Kind::original, 1},     {"2.5x", Kind::original, 2.5},
               {"10pps", Kind::packets, 10},   {"3kpps", Kind::packets, 3e3}, {"3mpps", Kind::packets, 3e6},
               {"100mbps", Kind::bits, 100e6}, {"10gbps", Kind::bits, 10e9},  {"5bps", Kind::bits, 5}};
  for (const auto& c : cases) {
    const auto rate = parse_rate(c.text);
    ASSERT_TRUE(rate) << c.text;
    EXPECT_EQ(rate->kind, c.kind) << c.text;
    EXPECT_DOUBLE_EQ(rate->value, c.value) << c.text;
  }
  for (const char* bad : {"", "x", "1", "-1x", "0x", "1X", "1 x", "maximum", "1e99x", "nanx", "infx", "1xx"}) {
    EXPECT_FALSE(parse_rate(bad)) << bad;
  }
}

TEST(Rate, PatienceFollowsIt) {
  using std::chrono::milliseconds;
  EXPECT_EQ(longest_silence(*parse_rate("max"), 9'000'000'000), milliseconds(0));
  EXPECT_EQ(longest_silence(*parse_rate("1x"), 9'000'000'000), milliseconds(9000));
  EXPECT_EQ(longest_silence(*parse_rate("3x"), 9'000'000'000), milliseconds(3000));
  EXPECT_EQ(longest_silence(*parse_rate("0.5pps"), 0), milliseconds(2000));
  EXPECT_GT(longest_silence(*parse_rate("1kbps"), 0), milliseconds(100'000));
  EXPECT_EQ(longest_silence(*parse_rate("1x"), ~0ull), milliseconds(86'400'000));
}

Manifest a_manifest() {
  Manifest m;
  m.pid = 1, m.vfs = 2, m.prepared = 10, m.unmatched = 3;
  m.softnic_pid = ::getpid(), m.pf_pid = 0, m.pf_fate = Fate::stopped;
  m.parties = {{"web", 0, false, 0, Fate::died, ""}, {"agent", 1, true, ::getpid(), Fate::running, "agent.pcapng"}};
  return m;
}

TEST(Manifest, ReadsBack) {
  const TempFolder dir;
  ASSERT_TRUE(write_manifest(dir.path(), a_manifest()));
  const auto read = read_manifest(dir.path());
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read->prepared, 10u);
  EXPECT_EQ(read->unmatched, 3u);
  EXPECT_EQ(read->pf_fate, Fate::stopped);
  ASSERT_EQ(read->parties.size(), 2u);
  EXPECT_EQ(read->parties[0].fate, Fate::died);
  EXPECT_TRUE(read->parties[1].agent);
  EXPECT_EQ(read->parties[1].capture, "agent.pcapng");
}

TEST(Manifest, ForeignFilesAreInputErrors) {
  const TempFolder dir;
  EXPECT_THAT(read_manifest(dir.path()).error().text, HasSubstr("holds no lab"));
  for (const char* text : {"", "{", "[]", "{}", "{\"version\": 2}", "{\"version\": 1, \"pid\": \"x\"}"}) {
    dir.write("lab.json", text);
    const auto read = read_manifest(dir.path());
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().exit_status(), 2) << text;
  }
}

TEST(ReadLedgerInput, WhoShouldRunAndDoesNotIsDead) {
  const TempFolder dir;
  Manifest m = a_manifest();
  m.softnic_pid = 0x7fffffff;  // beyond any pid_max
  const LedgerInput input = read_ledger_input(dir.path(), m);
  EXPECT_EQ(input.softnic_fate, Fate::died);
  EXPECT_EQ(input.parties[1].fate, Fate::running);
  EXPECT_FALSE(input.softnic);
  EXPECT_FALSE(input.parties[0].counters);
}

}  // namespace
}  // namespace vigia::orch
