// SPDX-License-Identifier: Apache-2.0
// The tenant's loop on a scripted device: no registers, no threads.
#include "vfdriver/tenant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "hw/accounts.h"
#include "tests/temp_dir.h"

namespace vigia::vf {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

class ScriptedRx final : public RxPort {
 public:
  std::deque<Bytes> arrived;
  std::uint8_t error = 0;
  std::uint64_t never_taken = 0;
  std::function<void()> on_wait = [] {};
  unsigned waits = 0;

  std::size_t receive(std::span<RxSegment> out) noexcept override {
    std::size_t n = 0;
    while (n + 2 <= out.size() && !arrived.empty()) {  // every frame in two pieces
      lent_.push_back(std::move(arrived.front()));
      arrived.pop_front();
      const Bytes& f = lent_.back();
      out[n++] = {f.data(), 10, false};
      out[n++] = {f.data() + 10, static_cast<std::uint32_t>(f.size() - 10), true, error};
    }
    return n;
  }
  void release() noexcept override { lent_.clear(); }
  void wait(std::chrono::microseconds) noexcept override {
    ++waits;
    on_wait();
  }
  bool alive() const noexcept override { return true; }
  std::uint64_t pending_frames() const noexcept override { return never_taken; }

 private:
  std::deque<Bytes> lent_;
};

class ScriptedTx final : public TxPort {
 public:
  std::vector<Bytes> sent;
  std::size_t room = ~std::size_t{0};  // frames until full
  std::size_t longest = 1518;

  std::size_t send(std::span<const Frame> frames) noexcept override {
    std::size_t n = 0;
    for (; n < frames.size() && sent.size() < room; ++n) {
      if (frames[n].size() > longest) {
        ++counts_.refused;
        continue;
      }
      sent.emplace_back(frames[n].begin(), frames[n].end());
      ++counts_.posted;
    }
    return n;
  }
  bool drain(std::chrono::milliseconds) noexcept override {
    counts_.completed = counts_.posted;
    return true;
  }
  const TxCounts& counts() const noexcept override { return counts_; }

 private:
  TxCounts counts_;
};

class ScriptedDevice final : public VfDevice {
 public:
  ScriptedRx rx;
  ScriptedTx transmit;
  std::deque<Health> healths;  // then good
  std::deque<Result<Done>> starts;
  std::function<void()> on_stop = [] {};
  unsigned stops = 0;

  unsigned queues() const override { return 1; }
  RxPort& queue(unsigned) override { return rx; }
  TxPort* tx() override { return &transmit; }
  Result<Done> start() override {
    if (starts.empty()) return Done{};
    auto result = starts.front();
    starts.pop_front();
    return result;
  }
  Result<Done> stop() override {
    ++stops;
    on_stop();
    return Done{};
  }
  Health health() override {
    if (healths.empty()) return Health::good;
    const Health h = healths.front();
    healths.pop_front();
    return h;
  }
  Result<Done> set_mac(const hw::Mac&) override { return Done{}; }
  Result<PortInfo> info() override { return PortInfo{}; }
};

Bytes frame(std::uint8_t destination, std::uint8_t source, std::size_t size = 60) {
  Bytes f(size, std::byte{0x11});
  f[0] = static_cast<std::byte>(destination);
  f[6] = static_cast<std::byte>(source);
  return f;
}

struct Rig {
  ScriptedDevice device;
  TenantOptions options;
  Traffic traffic;
  hw::CounterFile counters = std::move(*hw::CounterFile::create({}, hw::accounts::capture_names()));
  std::atomic<bool> stop{false};

  // Runs until the tenant sleeps for the given time.
  TenantStats run(unsigned waits = 1, Result<Done>* result = nullptr) {
    device.rx.on_wait = [this, waits] {
      if (device.rx.waits == waits) stop = true;
    };
    Tenant tenant(device, options, traffic, counters, stop);
    auto done = tenant.run();
    EXPECT_TRUE(done || result != nullptr) << done.error().text;
    if (result != nullptr) *result = done;
    return tenant.stats();
  }
};

TEST(Tenant, CountsFramesNotPieces) {
  Rig rig;
  for (int i = 0; i < 100; ++i) rig.device.rx.arrived.push_back(frame(2, 4, 100));
  rig.device.rx.never_taken = 3;
  const TenantStats stats = rig.run();
  EXPECT_EQ(stats.frames, 100u);
  EXPECT_EQ(stats.bytes, 10'000u);
  EXPECT_EQ(stats.left_in_ring, 3u);
  EXPECT_EQ(rig.counters.named("engine.taken").value(), 100u);
  EXPECT_EQ(rig.counters.named("engine.taken_bytes").value(), 10'000u);
  EXPECT_EQ(rig.counters.named("engine.left_in_ring").value(), 3u);
  EXPECT_EQ(rig.device.stops, 1u);
  EXPECT_TRUE(rig.device.transmit.sent.empty());
}

TEST(Tenant, TakesWhatTheRingHoldsAfterTheStop) {
  Rig rig;
  rig.device.on_stop = [&] {
    for (int i = 0; i < 200; ++i) rig.device.rx.arrived.push_back(frame(2, 4));
  };
  EXPECT_EQ(rig.run().frames, 200u);
}

TEST(Tenant, RepliesToGoodUnicastOnly) {
  Rig rig;
  rig.options.reply = true;
  rig.device.rx.arrived = {frame(2, 4, 60), frame(0xff, 4), frame(2, 1), frame(2, 6, 200), frame(2, 4, 2000)};
  const TenantStats stats = rig.run();
  ASSERT_EQ(rig.device.transmit.sent.size(), 2u);
  EXPECT_EQ(rig.device.transmit.sent[0], frame(4, 2, 60));
  EXPECT_EQ(rig.device.transmit.sent[1], frame(6, 2, 200));
  EXPECT_EQ(stats.replies, 2u);
  EXPECT_EQ(stats.reply_declined, 3u) << "broadcast, group source, too long";
  EXPECT_EQ(stats.reply_dropped, 0u);
}

TEST(Tenant, RepliesThatDoNotFitAreCountedNotAwaited) {
  Rig rig;
  rig.options.reply = true;
  rig.device.transmit.room = 1;
  rig.device.rx.arrived = {frame(2, 4), frame(2, 4), frame(2, 4)};
  const TenantStats stats = rig.run();
  EXPECT_EQ(stats.replies, 1u);
  EXPECT_EQ(stats.reply_dropped, 2u);
  EXPECT_EQ(stats.frames, 3u);
}

TEST(Tenant, BadFramesAreCountedAndNotAnswered) {
  Rig rig;
  rig.options.reply = true;
  rig.device.rx.error = RxError::mac;
  rig.device.rx.arrived = {frame(2, 4)};
  const TenantStats stats = rig.run();
  EXPECT_EQ(stats.bad, 1u);
  EXPECT_EQ(stats.reply_declined, 1u);
  EXPECT_TRUE(rig.device.transmit.sent.empty());
}

TEST(Tenant, SendsItsTrafficInOrderAndExactly) {
  Rig rig;
  rig.traffic.frames = {frame(2, 1), frame(4, 1), frame(6, 1)};
  rig.traffic.count = 200;
  const TenantStats stats = rig.run();
  EXPECT_EQ(stats.sent, 200u);
  ASSERT_EQ(rig.device.transmit.sent.size(), 200u);
  for (std::size_t i = 0; i < 200; ++i) ASSERT_EQ(rig.device.transmit.sent[i], rig.traffic.frames[i % 3]) << i;
}

TEST(Tenant, SendsOnWhenTheRingHasRoomAgain) {
  Rig rig;
  rig.traffic.frames = {frame(2, 1)};
  rig.traffic.count = 100;
  rig.device.transmit.room = 10;
  rig.device.rx.on_wait = [&] {
    rig.device.transmit.room += 30;
    rig.stop = rig.device.transmit.sent.size() == 100;
  };
  Tenant tenant(rig.device, rig.options, rig.traffic, rig.counters, rig.stop);
  ASSERT_TRUE(tenant.run());
  EXPECT_EQ(tenant.stats().sent, 100u);
}

TEST(Tenant, SendsOnlyWhenTold) {
  const test::TempDir dir;
  Rig rig;
  rig.options.send_start_file = dir / "go";
  rig.traffic.frames = {frame(2, 1)};
  rig.traffic.count = 5;
  rig.device.rx.on_wait = [&] {
    if (rig.device.rx.waits == 3) {
      EXPECT_TRUE(rig.device.transmit.sent.empty());
      std::fclose(std::fopen(rig.options.send_start_file.c_str(), "w"));
    }
    rig.stop = rig.device.rx.waits >= 5;
  };
  Tenant tenant(rig.device, rig.options, rig.traffic, rig.counters, rig.stop);
  ASSERT_TRUE(tenant.run());
  EXPECT_EQ(rig.device.transmit.sent.size(), 5u);
}

TEST(Tenant, SurvivesThePfsRestartAndTakesWhatWasThere) {
  Rig rig;
  rig.options.reply = true;
  rig.device.healths = {Health::pf_reset};
  rig.device.starts.push_back(Error{std::errc::timed_out, "PF not there"});
  rig.device.starts.push_back(Error{std::errc::timed_out, "PF not there"});
  rig.device.on_stop = [&] {
    if (rig.device.stops == 1) rig.device.rx.arrived.push_back(frame(2, 4));
  };
  const TenantStats stats = rig.run();
  EXPECT_EQ(stats.pf_restarts, 1u);
  EXPECT_EQ(stats.frames, 1u);
  EXPECT_EQ(rig.device.stops, 2u);
  EXPECT_TRUE(rig.device.transmit.sent.empty()) << "a stopped device sends nothing";
}

TEST(Tenant, StopEndsTheAttemptsToComeBack) {
  Rig rig;
  rig.device.healths = {Health::pf_reset};
  rig.device.starts.push_back(Error{std::errc::timed_out, "PF not there"});
  rig.device.starts.push_back(Error{std::errc::operation_canceled, "stopped"});
  rig.device.on_stop = [&] { rig.stop = true; };
  EXPECT_EQ(rig.run().pf_restarts, 0u);
}

TEST(Tenant, DeviceThatDiesIsAnErrorButItsFramesCount) {
  for (const bool during_recovery : {false, true}) {
    Rig rig;
    if (during_recovery) {
      rig.device.healths = {Health::pf_reset};
      rig.device.starts.push_back(Error{std::errc::no_such_device, "the device is gone"});
    } else {
      rig.device.healths = {Health::gone};
    }
    rig.device.on_stop = [&] {
      if (rig.device.stops == 1) rig.device.rx.arrived.push_back(frame(2, 4));
    };
    Result<Done> result = Done{};
    EXPECT_EQ(rig.run(1000, &result).frames, 1u);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().exit_status(), 1);
    EXPECT_THAT(result.error().text, HasSubstr("the device is gone"));
  }
}

TEST(RunTenant, BadInputTouchesNothing) {
  const test::TempDir dir;
  TenantOptions options;
  options.device = "vfio-user:" + (dir / "vf0.sock").native();
  options.counters = dir / "counters";
  options.send = "gen:size=64";
  const std::atomic<bool> stop{false};
  const auto done = run_tenant(options, stop);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().exit_status(), 2);
  EXPECT_FALSE(std::filesystem::exists(options.counters));
}

TEST(RunTenant, DeviceThatIsNotThere) {
  const test::TempDir dir;
  TenantOptions options;
  options.device = "vfio-user:" + (dir / "vf0.sock").native();
  const std::atomic<bool> stop{false};
  const auto done = run_tenant(options, stop);
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().text, HasSubstr("vf0.sock"));
}

}  // namespace
}  // namespace vigia::vf
