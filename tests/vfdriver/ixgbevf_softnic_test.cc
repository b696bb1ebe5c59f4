// SPDX-License-Identifier: Apache-2.0
// The driver on the software 82599 and the real PF manager, over vfio-user sockets, with doorbells mapped and trapped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>

#include "hw/counter_file.h"
#include "tests/vfdriver/lab.h"
#include "vfdriver/tenant.h"
#include "vfdriver/vf_device.h"

namespace vigia::vf {
namespace {

using namespace std::chrono_literals;
using test::eventually;
using test::mac_of;
using test::PfThread;
using test::SoftNic;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

softnic::DeviceOptions nic_options(bool map, unsigned vfs = 2) {
  softnic::DeviceOptions o;
  o.vfs = vfs;
  o.map_doorbells = map;
  return o;
}

std::unique_ptr<VfDevice> open(const SoftNic& nic, unsigned vf, const PortOptions& options = {}) {
  auto device = open_port(nic.spec("vf" + std::to_string(vf)), options);
  if (!device) throw std::runtime_error(device.error().text);
  return std::move(*device);
}

Bytes frame(const hw::Mac& to, const hw::Mac& from, std::size_t size, std::uint32_t mark) {
  Bytes f(size);
  for (std::size_t i = 0; i < size; ++i) f[i] = static_cast<std::byte>(i * 7 + mark);
  std::memcpy(f.data(), to.bytes.data(), 6);
  std::memcpy(f.data() + 6, from.bytes.data(), 6);
  f[12] = std::byte{0x88}, f[13] = std::byte{0xb5};
  std::memcpy(f.data() + 14, &mark, sizeof mark);
  return f;
}

// Frames of one queue, put together from their pieces.
class Collector {
 public:
  explicit Collector(RxPort& queue) : queue_(queue) {}
  void collect() {
    std::array<RxSegment, 64> out;
    while (const std::size_t n = queue_.receive(out)) {
      for (const RxSegment& s : std::span(out).first(n)) {
        current_.insert(current_.end(), s.data, s.data + s.length);
        errors |= s.error;
        if (s.end_of_frame) frames.push_back(std::exchange(current_, {}));
      }
      queue_.release();
    }
  }
  std::deque<Bytes> frames;
  std::uint8_t errors = 0;

 private:
  RxPort& queue_;
  Bytes current_;
};

class OnSoftnic : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Doorbells, OnSoftnic, ::testing::Bool(),
                         [](const auto& param) { return std::string(param.param ? "map" : "trap"); });

TEST_P(OnSoftnic, StartsAndTellsWhatItGot) {
  const SoftNic nic(nic_options(GetParam()));
  const PfThread pf(nic, 2);
  PortOptions options;
  options.queues = 2;
  const auto device = open(nic, 1, options);
  const auto info = device->info();
  ASSERT_TRUE(info) << info.error().text;
  EXPECT_EQ(info->mac, mac_of(1));
  EXPECT_TRUE(info->mac_assigned);
  EXPECT_EQ(info->api, "1.5");
  EXPECT_EQ(info->queues, 2u);
  EXPECT_EQ(info->link_up, true);
  EXPECT_EQ(info->link_mbps, 10000u);
  EXPECT_TRUE(info->interrupts);
  EXPECT_EQ(device->health(), Health::good);
}

TEST_P(OnSoftnic, FramesOfAllSizesFromVfToVfByteForByte) {
  SoftNic nic(nic_options(GetParam()));
  const PfThread pf(nic, 2, 9000);
  PortOptions options;
  options.mtu = 9000;
  const auto sender = open(nic, 0, options), receiver = open(nic, 1, options);
  Collector got(receiver->queue(0));
  std::size_t checked = 0;
  std::deque<Bytes> expected;
  // Several laps of the receive ring.
  for (std::uint32_t i = 0; i < 6000;) {
    std::vector<Bytes> burst;
    for (std::uint32_t k = 0; k < 32; ++k, ++i) {
      const std::size_t size = i % 10 == 0 ? 60 + i * 37 % (9014 - 60) : 60 + i % 200;
      burst.push_back(frame(mac_of(1), mac_of(0), size, i));
    }
    const std::vector<TxPort::Frame> frames(burst.begin(), burst.end());
    std::size_t sent = 0;
    ASSERT_TRUE(eventually([&] { return (sent += sender->tx()->send(std::span(frames).subspan(sent))) == 32; }));
    ASSERT_TRUE(sender->tx()->drain(5000ms));
    expected.insert(expected.end(), burst.begin(), burst.end());
    got.collect();
    while (!got.frames.empty() && !expected.empty()) {
      ASSERT_EQ(got.frames.front(), expected.front()) << "frame " << checked;
      got.frames.pop_front();
      expected.pop_front();
      ++checked;
    }
  }
  ASSERT_TRUE(eventually([&] {
    got.collect();
    return got.frames.size() == expected.size();
  }));
  EXPECT_EQ(got.frames, expected);
  EXPECT_EQ(got.errors, 0);
  EXPECT_EQ(sender->tx()->counts().refused, 0u);
}

TEST_P(OnSoftnic, SleepsUntilAFrameArrives) {
  const SoftNic nic(nic_options(GetParam()));
  const PfThread pf(nic, 2);
  const auto sender = open(nic, 0), receiver = open(nic, 1);
  const Bytes one = frame(mac_of(1), mac_of(0), 60, 1);
  for (int round = 0; round < 3; ++round) {
    std::thread later([&] {
      std::this_thread::sleep_for(50ms);
      const TxPort::Frame f(one);
      EXPECT_EQ(sender->tx()->send({&f, 1}), 1u);
    });
    const auto begin = std::chrono::steady_clock::now();
    while (receiver->queue(0).pending_frames() == 0) receiver->queue(0).wait(10s);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 8s) << "woken by its interrupt, not by the time limit";
    later.join();
    Collector got(receiver->queue(0));
    got.collect();
    EXPECT_EQ(got.frames.size(), 1u);
  }
}

TEST_P(OnSoftnic, StopMeansThatTheDeviceWritesNoMore) {
  SoftNic nic(nic_options(GetParam()));
  const PfThread pf(nic, 2);
  const auto sender = open(nic, 0), receiver = open(nic, 1);
  const Bytes one = frame(mac_of(1), mac_of(0), 60, 1);
  const std::vector<TxPort::Frame> frames(10, one);
  ASSERT_EQ(sender->tx()->send(frames), 10u);
  ASSERT_TRUE(eventually([&] { return receiver->queue(0).pending_frames() == 10; }));
  ASSERT_TRUE(receiver->stop());
  ASSERT_EQ(sender->tx()->send(frames), 10u);
  ASSERT_TRUE(sender->tx()->drain(5000ms));
  EXPECT_EQ(receiver->queue(0).pending_frames(), 10u);
  Collector got(receiver->queue(0));
  got.collect();
  EXPECT_EQ(got.frames.size(), 10u) << "what was finished can still be taken";
  const auto started = receiver->start();
  ASSERT_TRUE(started) << started.error().text;
  ASSERT_EQ(sender->tx()->send(frames), 10u);
  ASSERT_TRUE(eventually([&] { return receiver->queue(0).pending_frames() == 10; }));
  nic.stop();
  EXPECT_EQ(nic.account("vf1.written"), 20u);
  EXPECT_EQ(nic.account("vf1.queue_disabled"), 10u);
}

TEST_P(OnSoftnic, TwoQueuesShareTheFlows) {
  auto options = nic_options(GetParam());
  options.start_when_ready = 1;
  SoftNic nic(options, "gen:size=64,flows=64,count=2000,dst=" + mac_of(0).text());
  const PfThread pf(nic, 2);
  PortOptions port;
  port.queues = 2;
  const auto receiver = open(nic, 0, port);
  Collector first(receiver->queue(0)), second(receiver->queue(1));
  EXPECT_TRUE(eventually([&] {
    first.collect();
    second.collect();
    return first.frames.size() + second.frames.size() == 2000;
  })) << first.frames.size()
      << " and " << second.frames.size();
  EXPECT_GT(first.frames.size(), 200u);
  EXPECT_GT(second.frames.size(), 200u);
}

TEST(OnSoftnic, JoinsVlansAndKeepsTheTag) {
  const SoftNic nic(nic_options(true));
  const PfThread pf(nic, 2);
  PortOptions options;
  options.vlans = {7};
  const auto sender = open(nic, 0, options), receiver = open(nic, 1, options);
  Bytes tagged = frame(mac_of(1), mac_of(0), 80, 1);
  tagged[12] = std::byte{0x81}, tagged[13] = std::byte{0}, tagged[14] = std::byte{0}, tagged[15] = std::byte{7};
  const TxPort::Frame f(tagged);
  ASSERT_EQ(sender->tx()->send({&f, 1}), 1u);
  Collector got(receiver->queue(0));
  ASSERT_TRUE(eventually([&] {
    got.collect();
    return !got.frames.empty();
  }));
  EXPECT_EQ(got.frames.front(), tagged);
}

TEST(OnSoftnic, PfAbsentIsToldInTime) {
  const SoftNic nic(nic_options(true));
  PortOptions options;
  options.pf_wait = 100ms;
  const auto device = open_port(nic.spec("vf0"), options);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().exit_status(), 1);
  EXPECT_THAT(device.error().text, HasSubstr("start the PF driver"));
}

TEST(OnSoftnic, VfMayStartBeforeItsPf) {
  const SoftNic nic(nic_options(true));
  std::optional<PfThread> pf;
  std::thread later([&] {
    std::this_thread::sleep_for(200ms);
    pf.emplace(nic, 2);
  });
  const auto device = open_port(nic.spec("vf0"), PortOptions{});
  later.join();
  EXPECT_TRUE(device) << device.error().text;
}

TEST(OnSoftnic, PfIsNoVf) {
  const SoftNic nic(nic_options(true));
  const auto device = open_port(nic.spec("pf"), PortOptions{});
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().exit_status(), 2);
  EXPECT_THAT(device.error().text, HasSubstr("8086:10fb"));
}

// A tenant in a thread.
class RunningTenant {
 public:
  RunningTenant(const SoftNic& nic, unsigned vf, TenantOptions options = {}) : options_(std::move(options)) {
    options_.device = nic.spec("vf" + std::to_string(vf));
    options_.counters = dir_ / "counters";
    options_.ready_file = dir_ / "ready";
    options_.stats_json = dir_ / "stats.json";
    thread_ = std::thread([this] { result_ = run_tenant(options_, stop_); });
  }
  ~RunningTenant() { static_cast<void>(finish()); }
  bool ready() {
    return eventually([&] { return std::filesystem::exists(options_.ready_file); });
  }
  std::uint64_t counter(const std::string& name) {
    const auto file = hw::read_counters(options_.counters);
    return file ? file->values.at(name) : 0;
  }
  Result<Done> finish() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return result_;
  }
  // Without being asked to end.
  Result<Done> wait() {
    thread_.join();
    return result_;
  }
  nlohmann::json stats() const { return nlohmann::json::parse(std::ifstream(options_.stats_json)); }
  vigia::test::TempDir dir_;

 private:
  TenantOptions options_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  Result<Done> result_ = Done{};
};

TEST_P(OnSoftnic, TenantCountsWhatTheDeviceWrote) {
  auto options = nic_options(GetParam());
  options.start_when_ready = 1;
  constexpr std::uint64_t kFrames = 20'000;
  SoftNic nic(options, "gen:size=128,flows=16,count=" + std::to_string(kFrames) + ",dst=" + mac_of(0).text());
  const PfThread pf(nic, 2);
  RunningTenant tenant(nic, 0);
  ASSERT_TRUE(tenant.ready());
  EXPECT_TRUE(eventually([&] { return tenant.counter("engine.taken") == kFrames; })) << tenant.counter("engine.taken");
  const auto ended = tenant.finish();
  ASSERT_TRUE(ended) << ended.error().text;
  nic.stop();
  EXPECT_EQ(nic.account("vf0.written"), kFrames);
  EXPECT_EQ(tenant.counter("engine.taken_bytes"), nic.account("vf0.written_bytes"));
  EXPECT_EQ(tenant.counter("engine.left_in_ring"), 0u);
  EXPECT_EQ(tenant.stats()["frames"], kFrames);
  EXPECT_EQ(tenant.stats()["mac"], mac_of(0).text());
}

TEST_P(OnSoftnic, TenantStoppedInTheMiddleAccountsForEveryFrame) {
  auto options = nic_options(GetParam());
  options.start_when_ready = 1;
  SoftNic nic(options, "gen:size=64,flows=16,rate=0.2mpps,dst=" + mac_of(0).text());
  const PfThread pf(nic, 2);
  RunningTenant tenant(nic, 0);
  ASSERT_TRUE(tenant.ready());
  ASSERT_TRUE(eventually([&] { return tenant.counter("engine.taken") > 2000; }));
  ASSERT_TRUE(tenant.finish());
  nic.stop();
  EXPECT_EQ(tenant.counter("engine.taken") + tenant.counter("engine.left_in_ring"), nic.account("vf0.written"));
}

TEST(OnSoftnic, TenantsTalk) {
  SoftNic nic(nic_options(true));
  const PfThread pf(nic, 2);
  TenantOptions replying;
  replying.reply = true;
  RunningTenant echo(nic, 1, replying);
  ASSERT_TRUE(echo.ready());
  TenantOptions sending;
  // No more than a receive ring holds: nothing paces them, and who is not scheduled in time would lose the rest.
  sending.send = "gen:count=2000,size=100,dst=" + mac_of(1).text();
  RunningTenant sender(nic, 0, sending);
  ASSERT_TRUE(sender.ready());
  ASSERT_TRUE(eventually([&] { return echo.counter("engine.taken") == 2000; })) << echo.counter("engine.taken");
  ASSERT_TRUE(echo.finish());
  ASSERT_TRUE(
      eventually([&] { return sender.counter("engine.taken") == echo.stats()["replies"].get<std::uint64_t>(); }));
  ASSERT_TRUE(sender.finish());
  EXPECT_EQ(sender.stats()["sent"], 2000);
  EXPECT_EQ(sender.stats()["tx_completed"], 2000);
  EXPECT_EQ(echo.stats()["replies"].get<std::uint64_t>() + echo.stats()["reply_dropped"].get<std::uint64_t>(), 2000u);
}

TEST(OnSoftnic, TenantSurvivesThePfLeavingInOrderOrNot) {
  for (const bool orderly : {true, false}) {
    SoftNic nic(nic_options(true));
    std::optional<PfThread> pf(std::in_place, nic, 2);
    RunningTenant tenant(nic, 1);
    ASSERT_TRUE(tenant.ready());
    pf->leave(orderly);
    pf.reset();
    std::this_thread::sleep_for(300ms);
    pf.emplace(nic, 2);
    // Frames reach it again once it has noticed and started anew.
    const auto sender = open(nic, 0);
    const Bytes one = frame(mac_of(1), mac_of(0), 60, 1);
    const TxPort::Frame f(one);
    EXPECT_TRUE(eventually([&] {
      (void)sender->tx()->send({&f, 1});
      std::this_thread::sleep_for(5ms);
      return tenant.counter("engine.taken") > 0;
    })) << (orderly ? "orderly" : "vanished");
    const auto ended = tenant.finish();
    ASSERT_TRUE(ended) << ended.error().text;
    EXPECT_GE(tenant.stats()["pf_restarts"].get<int>(), 1);
    nic.stop();
    EXPECT_EQ(tenant.counter("engine.taken") + tenant.counter("engine.left_in_ring"), nic.account("vf1.written"));
  }
}

TEST(OnSoftnic, TenantTellsThatItsDeviceDied) {
  SoftNic nic(nic_options(true));
  const PfThread pf(nic, 2);
  RunningTenant tenant(nic, 0);
  ASSERT_TRUE(tenant.ready());
  nic.stop();
  const auto ended = tenant.wait();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().exit_status(), 1);
  EXPECT_THAT(ended.error().text, HasSubstr("the device is gone"));
  EXPECT_TRUE(tenant.stats().contains("frames")) << "statistics are written all the same";
}

}  // namespace
}  // namespace vigia::vf
