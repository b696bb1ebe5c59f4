// SPDX-License-Identifier: Apache-2.0
// Mirror-aware duplicates where a mirror really copies twice: tenants on a bridge, tapped by tc, captured by their
// agent, in a network namespace of the test's own. Prediction and removal are counted by different code: the one from
// what the port's manager says of its mirrors, the other from the bytes that arrive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "hw/counter_file.h"
#include "pfdriver/tc/manager.h"
#include "tests/vfdriver/channel_client.h"
#include "tests/vfdriver/own_netns.h"
#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/capture.h"
#include "vfdriver/serve.h"

namespace vigia::vf {
namespace {

using namespace std::chrono_literals;
using test::FrameSender;
using test::OwnNetns;

// web behind t0, db behind u0, somebody else behind o0, on one bridge; the agent behind a0, on none.
class MirrorTc : public testing::Test {
 protected:
  void SetUp() override {
    if (!netns_.made() || !OwnNetns::run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up && "
                                         "for i in t u o a; do ip link add ${i}0 type veth peer name ${i}1 && "
                                         "ip link set ${i}0 up && ip link set ${i}1 up || exit 1; done; "
                                         "for i in t u o; do ip link set ${i}0 master br0 || exit 1; done")) {
      GTEST_SKIP() << "SKIPPED, NOT PASSED: no network namespace with veth and a bridge can be made here; be root";
    }
    ::setenv("VIGIA_RUN_DIR", (dir_ / "run").c_str(), 1);
    // The bridge learns who is where, or it floods.
    for (const auto& [interface, from] : {std::pair{"t1", 1}, {"u1", 2}, {"o1", 7}}) send(interface, from, 0xff, 1);
  }
  void TearDown() override {
    stop_.stop = true;
    if (capture_.joinable()) capture_.join();
    ::unsetenv("VIGIA_RUN_DIR");
  }

  // From `from` to `to`, the last bytes of their addresses; 255: everybody. Each frame as often as `times` says.
  void send(const std::string& interface, int from, int to, int frames, int times = 1) {
    FrameSender sender(interface);
    for (int i = 0; i < frames; ++i, ++number_) {
      std::vector<std::byte> frame(80);
      const unsigned char to_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
      const unsigned char head[14] = {
          2, 0, 0, 0, 0, static_cast<unsigned char>(to), 2, 0, 0, 0, 0, static_cast<unsigned char>(from), 0x88, 0xb5};
      std::memcpy(frame.data(), head, sizeof head);
      if (to == 255) std::memcpy(frame.data(), to_all, sizeof to_all);
      std::memcpy(frame.data() + 14, &number_, sizeof number_);
      for (int k = 0; k < times; ++k) ASSERT_TRUE(sender.send(frame));
      if (i % 64 == 63) std::this_thread::sleep_for(1ms);
    }
  }
  static Result<pf::PfConfig> config_of(const std::string& taps) {
    return pf::parse_config(
        "pf:\n  generator: tc\n  vfs: 3\n  vf:\n"
        "    - {index: 0, interface: t0, name: web, mac: \"02:00:00:00:00:01\"}\n"
        "    - {index: 1, interface: u0, name: db, mac: \"02:00:00:00:00:02\"}\n"
        "    - {index: 2, interface: a0, name: agent}\n  taps: [" +
            taps + "]\n",
        "pf.yaml");
  }
  void tap(const std::string& taps) {
    const auto config = config_of(taps);
    ASSERT_TRUE(config) << config.error().text;
    manager_ = must(pf::TcManager::start(must(pf::open_traffic_control()), must(pf::open_route_netlink()), *config));
    tell_mirrors();
  }
  void tell_mirrors() { std::ofstream(dir_ / "mirrors.json") << pf::show_json(manager_->show(), manager_->config()); }
  void start() {
    options_.device = "packet:a1,outgoing=no";
    options_.name = "agent";
    options_.port.tx_ring = 0;
    options_.ring.data_bytes = 8 << 20;
    options_.duplicates = DuplicateOptions{.window = 300ms};
    options_.mirror_rules = dir_ / "mirrors.json";
    options_.counters = dir_ / "counters";
    options_.ready_file = dir_ / "ready";
    options_.progress = false;
    capture_ = std::thread([this] { result_ = run_capture(options_, stop_); });
    for (int i = 0; i < 5000 && !std::filesystem::exists(dir_ / "ready"); ++i) std::this_thread::sleep_for(2ms);
    ASSERT_TRUE(std::filesystem::exists(dir_ / "ready")) << (result_ ? "" : result_.error().text);
  }
  std::uint64_t count(const std::string& account) {
    return must(hw::read_counters(dir_ / "counters")).values.at(account);
  }
  // With the window over for every frame.
  void end(std::uint64_t taken) {
    for (int i = 0; i < 500 && count("engine.taken") < taken; ++i) std::this_thread::sleep_for(10ms);
    std::this_thread::sleep_for(400ms);
    stop_.stop = true;
    capture_.join();
    EXPECT_TRUE(result_) << result_.error().text;
    EXPECT_EQ(count("engine.taken"), taken);
    EXPECT_EQ(count("port.dropped"), 0u);
    EXPECT_EQ(count("engine.copy_open"), 0u);
    EXPECT_EQ(count("engine.duplicate"), count("engine.copy_predicted") + count("engine.copy_unpredicted"));
  }
  static constexpr const char* kBoth = "{name: t, from: [0, 1], to: 2, direction: both}";

  OwnNetns netns_;
  TempDir dir_;
  std::unique_ptr<pf::TcManager> manager_;
  CaptureOptions options_;
  StopRequest stop_;
  std::thread capture_;
  Result<Done> result_ = Done{};
  std::uint32_t number_ = 0;
};

TEST_F(MirrorTc, PredictionIsWhatIsRemoved) {
  tap(kBoth);
  start();
  send("t1", 1, 2, 300);   // web to db: copied as it leaves and as it arrives
  send("u1", 2, 1, 200);   // and back
  send("t1", 1, 7, 100);   // to somebody who is not tapped
  send("o1", 7, 2, 50);    // and from there
  send("t1", 1, 255, 10);  // broadcast: as it leaves, and as it reaches db
  send("o1", 7, 255, 20);  // broadcast from outside: as it reaches web and db
  end(2 * 500 + 100 + 50 + 20 + 40);
  EXPECT_EQ(count("engine.copy_predicted"), 500u + 10 + 20);
  EXPECT_EQ(count("engine.copy_unpredicted"), 0u);
  EXPECT_EQ(count("engine.copy_missing"), 0u);
  EXPECT_EQ(count("engine.appended"), 680u) << "each frame once";
}

TEST_F(MirrorTc, OneDirectionMakesNoDuplicates) {
  tap("{name: t, from: [0, 1], to: 2, direction: rx}");
  start();
  send("t1", 1, 2, 300);
  send("o1", 7, 255, 20);
  end(300 + 40);
  EXPECT_EQ(count("engine.copy_predicted"), 20u);
  EXPECT_EQ(count("engine.copy_unpredicted") + count("engine.copy_missing"), 0u);
}

TEST_F(MirrorTc, AMirrorThatSomebodyTookAwayShowsAsMissingCopies) {
  tap(kBoth);
  start();
  send("t1", 1, 2, 100);
  for (int i = 0; i < 500 && count("engine.taken") < 200; ++i) std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(OwnNetns::run("tc filter del dev u0 egress"));
  send("t1", 1, 2, 150);
  end(200 + 150);
  EXPECT_EQ(count("engine.copy_predicted"), 100u);
  EXPECT_EQ(count("engine.copy_unpredicted"), 0u);
  EXPECT_EQ(count("engine.copy_missing"), 150u);
  EXPECT_EQ(manager_->show().mirrors.size(), 3u) << "what is asked for now says so too";
}

TEST_F(MirrorTc, PredictionsFollowATapThatChanges) {
  tap("{name: t, from: [0, 1], to: 2, direction: rx}");
  start();
  send("t1", 1, 2, 100);
  for (int i = 0; i < 500 && count("engine.taken") < 100; ++i) std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(manager_->apply(must(config_of(kBoth))));
  tell_mirrors();
  std::this_thread::sleep_for(500ms);
  send("t1", 1, 2, 150);
  end(100 + 2 * 150);
  EXPECT_EQ(count("engine.copy_predicted"), 150u);
  EXPECT_EQ(count("engine.copy_unpredicted"), 0u);
  EXPECT_EQ(count("engine.copy_missing"), 0u);
}

// A probe, which the host tells through the channel.
TEST_F(MirrorTc, AProbeGoesByWhatTheHostTells) {
  tap(kBoth);
  std::ofstream(dir_ / "p.json") << R"({"name": "agent", "capture": {"ring": "8M", "max_file": "8M", "dedup":
      "window=300ms", "mirror_rules": ")"
                                 << (dir_ / "told.json").native() << "\"}}";
  const ServeOptions probe{dir_ / "p.json", "packet:a1,outgoing=no", "unix:" + (dir_ / "c.sock").string(), {}, "1"};
  capture_ = std::thread([&] { result_ = serve(probe, stop_); });
  for (int i = 0; i < 5000 && !std::filesystem::exists(dir_ / "c.sock"); ++i) std::this_thread::sleep_for(2ms);
  ChannelClient host(dir_ / "c.sock");
  const auto accounts = [&](std::uint64_t taken) {
    nlohmann::json said;
    for (int i = 0; i < 500; ++i) {
      said = host.ask(1, R"({"command":"status"})").json();
      if (said["capture"].is_object() && said["capture"]["accounts"].value("engine.taken", 0u) >= taken) break;
      std::this_thread::sleep_for(10ms);
    }
    return said["capture"]["accounts"];
  };
  ASSERT_FALSE(accounts(0).is_null());
  send("t1", 1, 2, 100);
  const auto before = accounts(200);
  EXPECT_EQ(before["engine.copy_predicted"], 0) << "nobody has told it of mirrors";
  EXPECT_EQ(before["engine.copy_unpredicted"], 100);
  const std::string refused = host.ask(2, R"({"command":"mirrors","port":{}})").payload;
  EXPECT_NE(refused.find("not what `vigia pf show --json`"), std::string::npos) << refused;
  EXPECT_FALSE(std::filesystem::exists(dir_ / "told.json"));
  const std::string port = pf::show_json(manager_->show(), manager_->config());
  EXPECT_EQ(host.ask(3, R"({"command":"mirrors","port":)" + port + "}").json()["taken"], true);
  std::this_thread::sleep_for(500ms);
  send("t1", 1, 2, 150);
  const auto after = accounts(500);
  EXPECT_EQ(after["engine.copy_predicted"], 150);
  EXPECT_EQ(after["engine.copy_unpredicted"], 100);
}

TEST_F(MirrorTc, WhatWasSentTwiceIsNotTheMirrorsDoing) {
  tap(kBoth);
  start();
  send("t1", 1, 2, 100, 2);  // four arrivals of each, two of them predicted
  send("o1", 7, 1, 30, 2);   // two of each, one of them predicted
  end(400 + 60);
  EXPECT_EQ(count("engine.copy_predicted"), 100u);
  EXPECT_EQ(count("engine.copy_unpredicted"), 200u + 30);
  EXPECT_EQ(count("engine.copy_missing"), 0u);
}

}  // namespace
}  // namespace vigia::vf
