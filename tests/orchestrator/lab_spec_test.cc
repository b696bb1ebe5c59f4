// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/lab_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temp_captures.h"

namespace vigia::orch {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A folder with the captures that the labs below name.
class LabSpecTest : public ::testing::Test {
 protected:
  LabSpecTest() {
    write_capture(dir_ / "trace.pcap", {{ipv4_frame(kTcp, 80)}, {ipv4_frame(kTcp, 80)}});
    write_capture(dir_ / "raw-ip.pcap", {{"abc"}}, DLT_RAW);
    dir_.write("text.pcap", "this is no capture");
    write_capture(dir_ / "cut.pcap", {{ipv4_frame(kTcp, 80)}});
    std::filesystem::resize_file(dir_ / "cut.pcap", 40);
  }
  Result<LabSpec> parse(std::string_view text) { return parse_lab(text, dir_ / "lab.yaml"); }
  std::string fault(std::string_view text) {
    auto spec = parse(text);
    if (spec) return "accepted";
    EXPECT_EQ(spec.error().exit_status(), 2);
    return spec.error().text;
  }
  TempFolder dir_;
};

constexpr std::string_view kGood = R"(lab:
  vfs: 4
  traffic: {file: trace.pcap, rate: max}
  tenants:
    - {name: web, vf: 0, mac: "02:00:00:00:00:01", match: "tcp port 80"}
    - {name: dns, vf: 1, mac: "02:00:00:00:00:02", match: "udp port 53"}
  agent: {name: agent, vf: 3, tap: {tenants: [web], direction: rx}}
)";

std::string with(std::string_view from, std::string_view to) {
  std::string text(kGood);
  const auto at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

TEST_F(LabSpecTest, ReadsTheExample) {
  const auto spec = parse(kGood);
  ASSERT_TRUE(spec) << spec.error().text;
  EXPECT_EQ(spec->vfs, 4u);
  EXPECT_EQ(spec->mtu, 9000u);
  EXPECT_EQ(spec->traffic.rate, "max");
  ASSERT_EQ(spec->tenants.size(), 2u);
  EXPECT_EQ(spec->tenants[1].match, "udp port 53");
  ASSERT_EQ(spec->agents.size(), 1u);
  EXPECT_EQ(spec->agents[0].tap->tenants, std::vector<std::string>{"web"});
  EXPECT_EQ(spec->resolve("trace.pcap"), dir_ / "trace.pcap");
}

TEST_F(LabSpecTest, ReadsEverythingElse) {
  const auto spec = parse(R"(lab:
  vfs: 63
  mtu: 1500
  timing: 82599
  doorbells: trap
  traffic: {gen: {size: 128, flows: 7, count: 10, rate: 3mpps}}
  tenants: [{name: a, vf: 0, vlan: 10, reply: swap, send: trace.pcap}]
  agents:
    - {name: p, vf: 1, tap: {port: true, direction: both, allow_port_scope: true}, out: raw, snaplen: 96, ring: 64M}
    - {name: q, vf: 62, tap: {vlan: 10}, out: none, poll: true}
)");
  ASSERT_TRUE(spec) << spec.error().text;
  EXPECT_EQ(spec->timing, Timing::nic82599);
  EXPECT_EQ(spec->doorbells, Doorbells::trap);
  EXPECT_EQ(spec->traffic.gen->size, 128u);
  EXPECT_EQ(spec->tenants[0].reply, Reply::swap);
  EXPECT_TRUE(spec->agents[0].tap->port);
  EXPECT_EQ(spec->agents[0].tap->direction, TapDirection::both);
  EXPECT_EQ(spec->agents[1].tap->vlan, 10);
  EXPECT_EQ(spec->agents[1].out, AgentOutput::none);
}

TEST_F(LabSpecTest, MadeUpAddressesCollideWithNothing) {
  const auto spec = parse(R"(lab:
  vfs: 4
  traffic: {file: trace.pcap}
  tenants:
    - {name: a, vf: 0, mac: "02:00:00:ff:ff:fe"}
    - {name: b, vf: 1, mac: "02:00:00:fe:00:03"}
    - {name: c, vf: 2}
  agent: {name: agent, vf: 3}
)");
  ASSERT_TRUE(spec) << spec.error().text;
  EXPECT_EQ(spec->nobody.text(), "02:00:00:ff:ff:ff");
  EXPECT_EQ(spec->agents[0].mac.text(), "02:00:00:fe:00:04");
  EXPECT_EQ(spec->tenants[2].mac.text(), "02:00:00:fd:00:02");
}

struct Refusal {
  const char *name, *from, *to, *fault;
};
constexpr std::array kRefusals{
    Refusal{"unknown key", "rate: max", "raet: max", "lab.yaml:3: lab.traffic.raet: "},
    Refusal{"nearest key", "rate: max", "raet: max", "rate"},
    Refusal{"missing vfs", "  vfs: 4\n", "", "lab.vfs"},
    Refusal{"no VFs", "vfs: 4", "vfs: 0", "lab.yaml:2: lab.vfs: "},
    Refusal{"too many VFs", "vfs: 4", "vfs: 64", "lab.yaml:2: lab.vfs: "},
    Refusal{"VF out of range", "vf: 3", "vf: 4",
            "lab.yaml:7: lab.agent.vf: VF 4 does not exist; with lab.vfs 4 use 0..3"},
    Refusal{"VF used twice", "vf: 3", "vf: 1", "lab.agent.vf: VF 1 is \"dns\"'s already"},
    Refusal{"duplicate MAC", "00:00:02", "00:00:01",
            "lab.yaml:6: lab.tenants[1].mac: 02:00:00:00:00:01 is \"web\"'s already"},
    Refusal{"multicast MAC", "02:00:00:00:00:02", "03:00:00:00:00:02",
            "lab.tenants[1].mac: 03:00:00:00:00:02 is no address of a station"},
    Refusal{"no MAC", "02:00:00:00:00:02", "02:00:00:00:00", "lab.yaml:6: lab.tenants[1].mac: "},
    Refusal{"duplicate name", "name: dns", "name: web", "lab.tenants[1].name: \"web\" is taken"},
    Refusal{"name of a file of ours", "name: dns", "name: softnic", "lab.tenants[1].name: \"softnic\" is taken"},
    Refusal{"name with a slash", "name: dns", "name: ../dns",
            "lab.tenants[1].name: \"../dns\": use at most 32 letters"},
    Refusal{"tap to itself", "[web]", "[agent]", "lab.yaml:7: lab.agent.tap.tenants: \"agent\" would tap itself"},
    Refusal{"tap of unknown tenant", "[web]", "[wbe]", "there is no tenant \"wbe\"; did you mean \"web\"?"},
    Refusal{"tap of nothing", "tenants: [web], ", "",
            "lab.agent.tap: say one of tenants: [..], port: true and vlan: N"},
    Refusal{"tap of two things", "tenants: [web]", "tenants: [web], port: true", "lab.agent.tap: say one of"},
    Refusal{"tap of a VLAN that nobody has", "tenants: [web], direction: rx", "vlan: 7",
            "lab.agent.tap.vlan: no tenant is in VLAN 7"},
    Refusal{"direction", "direction: rx", "direction: up", "lab.agent.tap.direction"},
    Refusal{"filter", "udp port 53", "udp prot 53", "lab.yaml:6: lab.tenants[1].match: filter \"udp prot 53\": "},
    Refusal{"rate", "rate: max", "rate: fast", "lab.traffic.rate: \"fast\": use max"},
    Refusal{"rate without a unit", "rate: max", "rate: 10", "lab.traffic.rate: \"10\": use max"},
    Refusal{"rate of zero", "rate: max", "rate: 0x", "lab.traffic.rate: \"0x\": use max"},
    Refusal{"missing file", "trace.pcap", "gone.pcap", "gone.pcap: No such file or directory"},
    Refusal{"folder as file", "trace.pcap", ".", "is a folder"},
    Refusal{"file that is no capture", "trace.pcap", "text.pcap", "unknown file format"},
    Refusal{"truncated capture", "trace.pcap", "cut.pcap", "record 1: truncated dump file"},
    Refusal{"link type", "trace.pcap", "raw-ip.pcap", "has link type 12 (RAW), not Ethernet"},
    Refusal{"no traffic", "  traffic: {file: trace.pcap, rate: max}\n", "", "lab.traffic"},
    Refusal{"two kinds of traffic", "rate: max", "gen: {size: 64}", "lab.traffic: say one of file: FILE and gen: {..}"},
    Refusal{"sent file", "vf: 1,", "vf: 1, send: gone.pcap,", "lab.tenants[1].send: "},
    Refusal{"agent and agents", "  agent:", "  agents: [{name: x, vf: 2}]\n  agent:", "agent is given too"},
    Refusal{"jumbo beyond the NIC", "vfs: 4", "vfs: 4\n  mtu: 9711", "lab.mtu"},
    Refusal{"no lab", "lab:", "lba:", "lab"},
    Refusal{"no YAML", "lab:", "lab: [", "lab.yaml:"},
};

TEST_F(LabSpecTest, RefusesWithFileLineKeyAndWhatToDo) {
  for (const Refusal& r : kRefusals) EXPECT_THAT(fault(with(r.from, r.to)), HasSubstr(r.fault)) << r.name;
}

TEST_F(LabSpecTest, ListsEveryFaultAtOnce) {
  std::string text = with("rate: max", "raet: max");
  text.replace(text.find("[web]"), 5, "[wbe]");
  text.replace(text.find("vf: 1"), 5, "vf: 9");
  const std::string all = fault(text);
  EXPECT_THAT(all, HasSubstr("raet"));
  EXPECT_THAT(all, HasSubstr("wbe"));
  EXPECT_THAT(all, HasSubstr("VF 9"));
}

TEST_F(LabSpecTest, OneMissingKeyIsOneFault) {
  const std::string all = fault(with("name: dns, vf: 1,", "name: dns,"));
  EXPECT_THAT(all, HasSubstr("lab.tenants[1]"));
  EXPECT_THAT(all, Not(HasSubstr("does not exist")));
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 0) << all;
}

TEST_F(LabSpecTest, NobodyAtAllIsRefused) {
  EXPECT_THAT(fault("lab:\n  vfs: 1\n  traffic: {file: trace.pcap}\n"), HasSubstr("nobody would receive anything"));
}

TEST(ExplainLab, NamesEveryKey) {
  const std::string text = explain_lab();
  for (const char* key : {"vfs:",   "mtu:",  "timing:", "doorbells:", "traffic:",         "file:", "rate:",    "loop:",
                          "gen:",   "size:", "flows:",  "count:",     "tenants:",         "name:", "vf:",      "mac:",
                          "match:", "vlan:", "reply:",  "send:",      "agent:",           "out:",  "snaplen:", "ring:",
                          "poll:",  "tap:",  "port:",   "direction:", "allow_port_scope:"}) {
    EXPECT_THAT(text, HasSubstr(key));
  }
}

}  // namespace
}  // namespace vigia::orch
