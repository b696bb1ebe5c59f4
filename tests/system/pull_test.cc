// SPDX-License-Identifier: Apache-2.0
// A probe without a VM: wire, PF manager, `vigia-capture serve` and `vigia pull` as processes; what is pulled against
// what tcpdump says about the wire's input.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>
#include <thread>

#include "lab.h"

namespace vigia::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr const char* kMac = "02:00:00:00:00:01";

class PullTest : public LabTest {
 protected:
  // dst: the whole capture is sent to the probe's VF.
  void start_probe(const std::string& storage, const std::string& capture = "{\"ring\":\"16M\",\"max_file\":\"2M\"}",
                   const std::string& wire = {}) {
    const auto config =
        write("p.json", "{\"role\":\"probe\",\"name\":\"p1\",\"mac\":\"" + std::string(kMac) +
                            "\",\"storage\":{\"mode\":\"" + storage + "\"},\"capture\":" + capture + "}");
    const auto pf = write("pf.yaml", "pf:\n  vfs: 1\n  vf:\n    - {index: 0, mac: \"" + std::string(kMac) + "\"}\n");
    nic_ = std::make_unique<Process>(std::vector<std::string>{
        program("vigia-softnic"), "--dir", dir_ / "d", "--vfs", "1", "--stats-json", dir_ / "nic.json",
        "--start-when-ready", "1", "--wire", wire.empty() ? "pcap:" + addressed().string() : wire});
    wait_for(dir_ / "d/pf.sock");
    pf_ = std::make_unique<Process>(std::vector<std::string>{program("vigia-pf"), "--device",
                                                             "vfio-user:" + (dir_ / "d/pf.sock").string(), "--control",
                                                             dir_ / "pf.control", "--config", pf});
    ::setenv("VIGIA_RUN_DIR", (dir_ / "run").c_str(), 1);
    start_serve(config);
  }
  void start_serve(const std::filesystem::path& config) {
    serve_ = std::make_unique<Process>(
        std::vector<std::string>{program("vigia-capture"), "serve", "--config", config, "--device",
                                 "vfio-user:" + (dir_ / "d/vf0.sock").string(), "--channel",
                                 "unix:" + channel().string(), "--out", dir_ / "raw"});
    wait_for(channel());
  }
  // The demo capture with every frame sent to the probe.
  std::filesystem::path addressed() {
    const auto out = dir_ / "to-probe.pcap";
    expected_ = expected_frames(demo_capture(), {"", kMac}, 1514);
    std::ofstream file(out, std::ios::binary);
    const std::uint32_t head[] = {0xa1b23c4d, 0x00040002, 0, 0, 65535, 1};
    file.write(reinterpret_cast<const char*>(head), sizeof(head));
    std::uint32_t n = 0;
    for (const std::string& frame : expected_) {
      const auto size = static_cast<std::uint32_t>(frame.size());
      const std::uint32_t record[] = {1, n++, size, size};
      file.write(reinterpret_cast<const char*>(record), sizeof(record));
      file << frame;
    }
    return out;
  }
  std::filesystem::path channel() const { return dir_ / "c.sock"; }
  static void wait_for(const std::filesystem::path& file) {
    for (int i = 0; i < 2000 && !std::filesystem::exists(file); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ASSERT_TRUE(std::filesystem::exists(file)) << file;
  }
  json pull(const std::vector<std::string>& options, int status = 0) const {
    std::vector<std::string> argv{program("vigia"),    "pull",  "--channel", channel(), "-o",
                                  dir_ / "out.pcapng", "--json"};
    argv.insert(argv.end(), options.begin(), options.end());
    const Finished done = run(argv);
    EXPECT_EQ(done.status, status) << done.err;
    return json::parse(done.out, nullptr, false);
  }
  // Until that many frames can be pulled.
  void wait_captured(std::size_t frames) const {
    for (int i = 0; i < 600; ++i) {
      const json end = pull({"--filter", "less 1"});
      if (end.is_object() && end["filtered"] == frames) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    FAIL() << "not all frames came";
  }
  void stop_all() {
    for (auto* process : {&serve_, &pf_, &nic_}) {
      (*process)->signal(SIGTERM);
      EXPECT_EQ((*process)->wait(std::chrono::seconds(30)).status, 0);
    }
    expect_nobody_left();
  }

  std::vector<std::string> expected_;
  std::unique_ptr<Process> nic_, pf_, serve_;
};

TEST_F(PullTest, WhatIsPulledIsWhatTheWireSent) {
  for (const char* storage : {"virtio", "none"}) {
    start_probe(storage);
    wait_captured(expected_.size());
    const json all = pull({});
    EXPECT_EQ(all["frames"], expected_.size());
    EXPECT_EQ(all["gap_frames"], 0);
    expect_same_frames(dir_ / "out.pcapng", expected_);
    EXPECT_EQ(std::filesystem::exists(dir_ / "raw"), storage != std::string("none"));
    for (const char* filter : {"tcp port 80", "udp port 53", "not ip", "greater 1000"}) {
      const json end = pull({"--filter", filter, "--last", "1h"});
      const auto picked = expected_frames(dir_ / "to-probe.pcap", {filter, ""});
      EXPECT_EQ(end["frames"], picked.size()) << filter;
      EXPECT_EQ(end["filtered"], expected_.size() - picked.size());
      expect_same_frames(dir_ / "out.pcapng", picked);
    }
    EXPECT_EQ(pull({"--filter", "tcp prt"}, 2)["exit_status"], 2);
    EXPECT_EQ(pull({"--last", "1ns"})["frames"], 0);
    stop_all();
    std::filesystem::remove_all(dir_ / "raw");
  }
}

TEST_F(PullTest, ARestartedProbeStillHasWhatItStored) {
  start_probe("virtio");
  wait_captured(expected_.size());
  serve_->signal(SIGTERM);
  EXPECT_EQ(serve_->wait().status, 0) << "a stop flushes";
  start_serve(dir_ / "p.json");
  const json all = pull({});
  EXPECT_EQ(all["from_disk"], expected_.size());
  expect_same_frames(dir_ / "out.pcapng", expected_);
  stop_all();
}

// Files that end by age: what they hold is pulled as one capture across their seams.
TEST_F(PullTest, FilesThatEndByTimeHoldTheWholeCapture) {
  start_probe("virtio", R"({"ring":"16M","max_file":"2M","rotate":"100ms","quota":"1G"})",
              "pcap:" + addressed().string() + ",rate=1kpps");
  wait_captured(expected_.size());
  serve_->signal(SIGTERM);
  EXPECT_EQ(serve_->wait().status, 0);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir_ / "raw"))
    files += entry.path().extension() == ".raw";
  EXPECT_GE(files, 3u) << "more than size alone makes of this capture";
  start_serve(dir_ / "p.json");
  EXPECT_EQ(pull({})["from_disk"], expected_.size());
  expect_same_frames(dir_ / "out.pcapng", expected_);
  stop_all();
}

TEST_F(PullTest, ADirectoryThatCannotBeMadeLeavesTheRing) {
  write("raw", "a file is in the way");
  start_probe("virtio");
  wait_captured(expected_.size());
  expect_same_frames((pull({}), dir_ / "out.pcapng"), expected_);
  std::filesystem::remove(dir_ / "raw");
  for (int i = 0; i < 200 && !std::filesystem::exists(dir_ / "raw/p1-00000001.raw"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_TRUE(std::filesystem::exists(dir_ / "raw/p1-00000001.raw")) << "tried again within 5 s";
  stop_all();
}

// Traffic goes on while its past is pulled: nothing is lost by the engine, before, in and after it.
TEST_F(PullTest, PullsCostTheCaptureNothing) {
  start_probe("none", "{\"ring\":\"32M\"}", std::string("gen:size=200,flows=16,count=400000,rate=0.1mpps,dst=") + kMac);
  for (int i = 0; i < 8; ++i) {
    const json end = pull({"--last", "200ms"});
    EXPECT_EQ(end["gap_frames"], 0);
  }
  for (int i = 0; i < 100; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (pull({"--last", "100ms"})["frames"] == 0) break;
  }
  serve_->signal(SIGTERM);
  const Finished done = serve_->wait();
  EXPECT_THAT(done.err, HasSubstr(" 0 lost"));
  for (auto* process : {&pf_, &nic_}) {
    (*process)->signal(SIGTERM);
    EXPECT_EQ((*process)->wait().status, 0);
  }
  // The wire is an open loop: on a busy machine the NIC may have dropped some for want of descriptors, and says so.
  std::ifstream in(dir_ / "nic.json");
  const json nic = json::parse(in, nullptr, false);
  const std::uint64_t written = nic["accounts"]["vf0.written"];
  EXPECT_GT(written, 100'000u);
  EXPECT_THAT(done.err, HasSubstr(" " + std::to_string(written) + " frames")) << nic.dump();
}

}  // namespace
}  // namespace vigia::system_test
