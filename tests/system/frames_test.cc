// SPDX-License-Identifier: Apache-2.0
// The main job: the agent's file against what tcpdump says about the input, frame by frame, byte by byte.
#include <gmock/gmock.h>

#include "lab.h"

namespace vigia::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr const char* kWebMac = "02:00:00:00:00:01";
constexpr const char* kDnsMac = "02:00:00:00:00:02";
constexpr const char* kNobodysMac = "02:00:00:ff:ff:fe";

class FramesTest : public LabTest {
 protected:
  std::string traffic(const std::filesystem::path& file) const {
    return "  vfs: 4\n  traffic: {file: \"" + file.string() + "\"}\n";
  }
  // Balanced, status 0, the counts of wire and agent as they should be.
  static void expect_good(const Result& r, std::size_t agent_frames) {
    ASSERT_TRUE(r.json.contains("ledger")) << r.json.dump(2) << r.err;
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_TRUE(r.json["ledger"]["balanced"]) << r.json["ledger"].dump(2);
    EXPECT_EQ(r.json["agent"]["frames"], agent_frames);
    EXPECT_EQ(r.json["agent"]["lost"], 0);
    EXPECT_EQ(r.json["wire"]["frames"], r.json["wire"]["prepared"]);
    EXPECT_TRUE(r.json["died"].empty());
  }
  // One tenant with that filter, one agent that sees what it receives.
  void mirror_and_compare(const std::filesystem::path& file, const std::string& filter) const {
    const auto r = run_lab(traffic(file) + "  tenants: [{name: web, vf: 0, mac: \"" + kWebMac + "\", match: \"" +
                           filter + "\"}]\n  agent: {name: agent, vf: 3, tap: {tenants: [web], direction: rx}}\n");
    const auto expected = expected_frames(file, {filter, kWebMac});
    expect_good(r, expected.size());
    EXPECT_EQ(r.json["tenants"][0]["frames"], expected.size());
    expect_same_frames(out_ / "agent.pcapng", expected);
  }
};

TEST_F(FramesTest, DemoCapture) { mirror_and_compare(demo_capture(), "tcp port 80"); }

TEST_F(FramesTest, WebBrowsing) {
  VIGIA_DATA_FILE(file, "http/PcapPlusPlus__example.pcap");
  mirror_and_compare(file, "tcp port 80");
}

TEST_F(FramesTest, CutFramesAreZeroFilled) {
  VIGIA_DATA_FILE(file, "truncated/zeek__timestamp.pcap");
  mirror_and_compare(file, "tcp");
}

TEST_F(FramesTest, FragmentsShorterThanTheWireAllowsArePadded) {
  VIGIA_DATA_FILE(file, "frag/nfstream__ip_fragmented_garbage.pcap");
  mirror_and_compare(file, "ip[6:2] & 0x3fff != 0");
}

TEST_F(FramesTest, MixedInternet) {
  VIGIA_DATA_FILE(file, "mixed/mixed-internet.pcap");
  mirror_and_compare(file, "ip and tcp");
}

TEST_F(FramesTest, FramesBeyondTheMtuAreDroppedAndAccounted) {
  VIGIA_DATA_FILE(file, "jumbo/zeek__smb3_multichannel.pcap");
  const auto expected = expected_frames(file, {"", kWebMac});
  const auto all = expected_frames(file, {"", kWebMac}, 1u << 20);
  ASSERT_LT(expected.size(), all.size()) << "the capture holds nothing too long";
  const auto r =
      run_lab(traffic(file) + "  tenants: [{name: web, vf: 0, mac: \"" + kWebMac +
              "\", match: \"ether[0:1] >= 0\"}]\n" + "  agent: {name: agent, vf: 3, tap: {tenants: [web]}}\n");
  expect_good(r, expected.size());
  EXPECT_EQ(r.json["ledger"]["accounts"]["wire.filtered_oversize"], all.size() - expected.size());
  EXPECT_THAT(r.json["ledger"]["first_loss"].get<std::string>(), HasSubstr("wire.filtered_oversize"));
  expect_same_frames(out_ / "agent.pcapng", expected);
}

TEST_F(FramesTest, TwoAgentsOnTwoRules) {
  const auto file = demo_capture();
  const auto r =
      run_lab(traffic(file) + "  tenants:\n    - {name: web, vf: 0, mac: \"" + kWebMac +
              "\", match: \"tcp port 80\"}\n" + "    - {name: dns, vf: 1, mac: \"" + kDnsMac +
              "\", match: \"udp port 53\"}\n" + "  agents:\n    - {name: one, vf: 2, tap: {tenants: [web]}}\n" +
              "    - {name: two, vf: 3, tap: {tenants: [dns]}}\n");
  const auto web = expected_frames(file, {"tcp port 80", kWebMac}),
             dns = expected_frames(file, {"udp port 53", kDnsMac});
  expect_good(r, web.size());
  EXPECT_EQ(r.json["scope"].size(), 2u);
  EXPECT_EQ(r.json["unmatched"]["frames"], expected_frames(file, {}).size() - web.size() - dns.size());
  expect_same_frames(out_ / "one.pcapng", web);
  expect_same_frames(out_ / "two.pcapng", dns);
}

TEST_F(FramesTest, TwoTenantsOnOneRule) {
  const auto file = demo_capture();
  const auto r =
      run_lab(traffic(file) + "  tenants:\n    - {name: web, vf: 0, mac: \"" + kWebMac +
              "\", match: \"tcp port 80\"}\n" + "    - {name: dns, vf: 1, mac: \"" + kDnsMac +
              "\", match: \"udp port 53\"}\n" + "  agent: {name: agent, vf: 3, tap: {tenants: [web, dns]}}\n");
  EXPECT_EQ(r.json["scope"].size(), 1u);
  expect_good(r, expected_frames(file, {"tcp port 80 or udp port 53", ""}).size());
}

TEST_F(FramesTest, UplinkRuleShowsTheWholePort) {
  const auto file = demo_capture();
  const auto r =
      run_lab(traffic(file) + "  tenants: [{name: web, vf: 0, mac: \"" + kWebMac + "\", match: \"tcp port 80\"}]\n" +
              "  agent: {name: agent, vf: 3, tap: {port: true, direction: rx}}\n");
  auto expected = expected_frames(file, {"", kNobodysMac});
  // The tenant's frames are those that tcpdump picks; in the whole they keep their places.
  const auto web = expected_frames(file, {"tcp port 80", kNobodysMac});
  std::size_t next = 0;
  for (std::string& frame : expected) {
    if (next < web.size() && frame == web[next]) frame[3] = frame[4] = 0, frame[5] = 1, ++next;
  }
  ASSERT_EQ(next, web.size());
  expect_good(r, expected.size());
  expect_same_frames(out_ / "agent.pcapng", expected);
}

TEST_F(FramesTest, VlanRule) {
  const auto file = demo_capture();
  const std::string filter = "vlan 10 and tcp port 80";
  const auto r = run_lab(traffic(file) + "  tenants:\n    - {name: blue, vf: 0, vlan: 10, mac: \"" + kWebMac +
                         "\", match: \"" + filter + "\"}\n    - {name: dns, vf: 1, mac: \"" + kDnsMac +
                         "\", match: \"udp port 53\"}\n" + "  agent: {name: agent, vf: 3, tap: {vlan: 10}}\n");
  const auto expected = expected_frames(file, {filter, kWebMac});
  ASSERT_TRUE(r.json.contains("ledger")) << r.json.dump(2);
  EXPECT_TRUE(r.json["ledger"]["balanced"]);
  EXPECT_THAT(r.json["scope"].dump(), HasSubstr("VLAN 10"));
  expect_same_frames(out_ / "agent.pcapng", expected);
}

// The NIC cannot mirror what one VF sends, but it can mirror a VLAN that only that VF is in.
TEST_F(FramesTest, VlanRuleStandsInForWhatATenantWithAVlanSends) {
  const auto tagged = dir_ / "tagged.pcap";
  ASSERT_EQ(run({"tcpdump", "-r", demo_capture(), "-w", tagged, "vlan 10 and ip"}).status, 0);
  const auto r =
      run_lab("  vfs: 4\n  traffic: {file: \"" + demo_capture().string() + "\"}\n" +
              "  tenants:\n    - {name: blue, vf: 0, vlan: 10, mac: \"" + kWebMac + "\", send: \"" + tagged.string() +
              "\"}\n    - {name: dns, vf: 1, mac: \"" + kDnsMac + "\", match: \"udp port 53\"}\n" +
              "  agent: {name: agent, vf: 3, tap: {tenants: [blue], direction: tx}}\n");
  auto expected = expected_frames(tagged, {});
  for (std::string& frame : expected) frame.replace(6, 6, std::string("\x02\x00\x00\x00\x00\x01", 6));
  expect_good(r, expected.size());
  EXPECT_THAT(r.json["scope"].dump(), HasSubstr("VLAN 10"));
  expect_same_frames(out_ / "agent.pcapng", expected);
}

TEST_F(FramesTest, DownlinkRuleShowsWhatTheTenantSends) {
  const auto file = demo_capture();
  const auto r = run_lab(
      traffic(file) + "  tenants: [{name: web, vf: 0, mac: \"" + kWebMac + "\", send: \"" + file.string() + "\"}]\n" +
      "  agent: {name: agent, vf: 3, tap: {tenants: [web], direction: tx, allow_port_scope: true}}\n");
  // As sent: the source address is the tenant's.
  auto expected = expected_frames(file, {});
  for (std::string& frame : expected) frame.replace(6, 6, std::string("\x02\x00\x00\x00\x00\x01", 6));
  ASSERT_TRUE(r.json.contains("ledger")) << r.json.dump(2);
  EXPECT_EQ(r.json["ledger"]["accounts"]["vf0.tx_sent"], expected.size());
  expect_good(r, expected.size());
  expect_same_frames(out_ / "agent.pcapng", expected);
}

// Slowly: a tenant whose transmit ring is full drops replies, and says so in its own statistics only.
TEST_F(FramesTest, ReplyingTenantIsSeenBothWays) {
  const auto file = demo_capture();
  const auto r =
      run_lab("  vfs: 4\n  traffic: {file: \"" + file.string() + "\", rate: 2kpps}\n" +
              "  tenants: [{name: web, vf: 0, mac: \"" + kWebMac + "\", match: \"tcp port 80\", reply: swap}]\n" +
              "  agent: {name: agent, vf: 3, tap: {tenants: [web], direction: both, allow_port_scope: true}}\n");
  const std::size_t received = expected_frames(file, {"tcp port 80", kWebMac}).size();
  expect_good(r, 2 * received);
  EXPECT_EQ(r.json["ledger"]["accounts"]["tx.sent"], received);
}

TEST_F(FramesTest, RawFilesHoldTheSame) {
  const auto file = demo_capture();
  const auto r =
      run_lab(traffic(file) + "  tenants: [{name: web, vf: 0, mac: \"" + kWebMac + "\", match: \"tcp port 80\"}]\n" +
              "  agent: {name: agent, vf: 3, out: raw, tap: {tenants: [web]}}\n");
  const auto expected = expected_frames(file, {"tcp port 80", kWebMac});
  expect_good(r, expected.size());
  const auto converted = run({program("vigia-capture"), "convert", out_ / "agent.raw", dir_ / "raw.pcapng"});
  ASSERT_EQ(converted.status, 0) << converted.err;
  expect_same_frames(dir_ / "raw.pcapng", expected);
}

TEST_F(FramesTest, TrappedDoorbellsAndRealTimingCarryTheSame) {
  const auto file = demo_capture();
  const auto r =
      run_lab(traffic(file) + "  timing: 82599\n  doorbells: trap\n  tenants: [{name: web, vf: 0, mac: \"" + kWebMac +
              "\", match: \"tcp port 80\"}]\n  agent: {name: agent, vf: 3, tap: {tenants: [web]}}\n");
  const auto expected = expected_frames(file, {"tcp port 80", kWebMac});
  expect_good(r, expected.size());
  expect_same_frames(out_ / "agent.pcapng", expected);
}

TEST_F(FramesTest, GeneratedTrafficGoesToTheFirstTenant) {
  const auto r = run_lab(
      "  vfs: 2\n  traffic: {gen: {size: 64, flows: 16, count: 100000}}\n"
      "  tenants: [{name: web, vf: 0}]\n  agent: {name: agent, vf: 1, tap: {tenants: [web]}}\n");
  expect_good(r, 100000);
  EXPECT_EQ(r.json["tenants"][0]["frames"], 100000);
  EXPECT_EQ(read_frames(out_ / "agent.pcapng").size(), 100000u);
}

TEST_F(FramesTest, LoopedTrafficAndAnAgentThatOnlyCounts) {
  const auto file = demo_capture();
  const auto r = run_lab("  vfs: 4\n  traffic: {file: \"" + file.string() +
                         "\", loop: 3}\n  tenants: [{name: web, vf: 0, match: \"tcp port 80\"}]\n" +
                         "  agent: {name: agent, vf: 3, out: none, tap: {tenants: [web]}}\n");
  expect_good(r, 3 * expected_frames(file, {"tcp port 80", kWebMac}).size());
  EXPECT_TRUE(r.json["agent"]["file"].is_null());
}

}  // namespace
}  // namespace vigia::system_test
