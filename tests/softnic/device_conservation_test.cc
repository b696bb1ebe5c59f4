// SPDX-License-Identifier: Apache-2.0
// Every frame ends in exactly one account: each way to lose one, provoked in turn.
#include <gtest/gtest.h>

#include "tests/softnic/device_accounts.h"
#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;

struct Cause {
  const char* account;  // that must get all frames but those that must not
  std::function<std::vector<Frame>()> frames;
  std::function<void(Lab&)> set_up;
  std::uint64_t expected;
};

std::vector<Frame> to_vf0(unsigned count = 20, std::size_t bytes = 64) {
  return std::vector<Frame>(count, make_frame(mac_of(0), kOutside, bytes));
}

const Cause kCauses[] = {
    {"vf0.written", [] { return to_vf0(); }, [](Lab&) {}, 20},
    {"wire.filtered_l2", [] { return std::vector<Frame>(20, make_frame(kOutside, kOutside)); }, [](Lab&) {}, 20},
    {"wire.filtered_vlan", [] { return std::vector<Frame>(20, make_frame(mac_of(0), kOutside, 64, 0, 5)); },
     [](Lab& l) { l.pf().write(pf::VLNCTRL, 0, Vlnctrl::vet_8100 | Vlnctrl::vfe); }, 20},
    {"wire.filtered_oversize", [] { return to_vf0(20, 1515); }, [](Lab&) {}, 20},
    {"wire.filtered_disabled", [] { return to_vf0(); },
     [](Lab& l) {
       l.run(1);  // the wire has started; it does not stop again
       l.pf().write(pf::RXCTRL, 0, 0);
     },
     20},
    {"wire.missed", [] { return to_vf0(800, 1500); },
     [](Lab& l) {
       l.no_drop(0);
       l.pf().write(pf::RXPBSIZE, 0, 100u << 10);
     },
     800 - 32 - 100 * 1024 / 1500},
    {"switch.no_pool", [] { return to_vf0(); }, [](Lab& l) { l.enable_pools(6); }, 20},
    {"vf0.no_descriptor", [] { return to_vf0(100); }, [](Lab&) {}, 68},
    {"vf0.queue_disabled", [] { return to_vf0(); }, [](Lab& l) { l.vf(0).write(vf::VFRXDCTL, 0, 0); }, 20},
    {"vf0.queue_disabled", [] { return to_vf0(); },
     [](Lab& l) {
       l.vf(0).bus_master(false);
       l.enable_pools(7);
     },
     20},
};

TEST(DeviceConservation, EachCauseOfLossHasItsAccount) {
  for (const Cause& c : kCauses) {
    SCOPED_TRACE(c.account);
    DeviceOptions options;
    options.vfs = 3;
    std::vector<Frame> frames = c.frames();
    // The first frame leaves a millisecond later, so that the wire can be started before things are switched off.
    std::vector<std::uint64_t> times(frames.size(), 1'000'000);
    Lab lab(options, frames, Rate::Kind::packets, times);
    lab.bring_up();
    RxRing ring(lab.vf(0), 0, 64);
    ring.give(32);
    c.set_up(lab);
    lab.run(1100);
    const auto accounts = lab.device->accounts();
    EXPECT_EQ(broken_account(accounts, 3), "");
    EXPECT_EQ(accounts.at("wire.sent"), frames.size());
    EXPECT_EQ(accounts.at(c.account), c.expected);
  }
}

TEST(DeviceConservation, DmaFaultStopsTheQueueAndIsCounted) {
  DeviceOptions options;
  options.vfs = 2;
  Lab lab(options, to_vf0(20), Rate::Kind::packets);
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 64);
  ring.give(32);
  ring.descriptor(5)->word0 = 0xdead'0000'0000;
  lab.run(40);
  const auto accounts = lab.device->accounts();
  EXPECT_EQ(broken_account(accounts, 2), "");
  EXPECT_EQ(accounts.at("vf0.written"), 5u);
  EXPECT_EQ(accounts.at("vf0.dma_fault"), 1u);
  EXPECT_EQ(accounts.at("vf0.queue_disabled"), 14u);
  EXPECT_EQ(ring.take_all().size(), 5u);
  EXPECT_EQ(lab.vf(0).read(vf::VFRXDCTL) & Rxdctl::enable, 0u);
}

// A reset in the middle: frames in the packet buffer end as copies of a queue that is off.
TEST(DeviceConservation, ResetOfThePfEmptiesThePacketBufferIntoAccounts) {
  DeviceOptions options;
  options.vfs = 2;
  Lab lab(options, to_vf0(100), Rate::Kind::packets);
  lab.bring_up();
  lab.no_drop(0);
  lab.mirror(0, Mrctl::vpme, 1, 1);
  RxRing ring(lab.vf(0), 0, 64);
  ring.give(32);
  lab.run(40);
  ASSERT_EQ(lab.account("buffer.left"), 68u);
  lab.pf().write(pf::CTRL, 0, Ctrl::rst);
  lab.run(2);
  const auto accounts = lab.device->accounts();
  EXPECT_EQ(broken_account(accounts, 2), "");
  EXPECT_EQ(accounts.at("buffer.left"), 0u);
  EXPECT_EQ(accounts.at("switch.routed"), 100u);
}

// The accounts live in a file that outlives the process.
TEST(DeviceConservation, CounterFileHoldsTheSameNumbers) {
  const std::string path = testing::TempDir() + "device_counters." + std::to_string(::getpid());
  DeviceOptions options;
  options.vfs = 1;
  options.counters = path;
  Lab lab(options, to_vf0(10));
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 64);
  ring.give(32);
  lab.run(40);
  const auto file = hw::read_counters(path);
  ASSERT_TRUE(file) << file.error().text;
  EXPECT_EQ(file->values, lab.device->accounts());
  EXPECT_EQ(file->values.at("vf0.written"), 10u);
  EXPECT_EQ(file->values.at("wire.done"), 1u);
  std::filesystem::remove(path);
}

// ---- the wire starts when receivers are ready ----

TEST(DeviceStart, WaitsForThePfAndForEachReceiver) {
  DeviceOptions options;
  options.vfs = 3;
  options.start_when_ready = 2;
  Lab lab(options, to_vf0(1));
  const auto waits = [&] {
    lab.now += 20'000;
    lab.run(1);
    return lab.device->waits_for();
  };
  EXPECT_EQ(waits(), "the PF driver to switch the receiver on (RXCTRL.RXEN)");
  lab.bring_up();
  EXPECT_EQ(waits(), "VF receivers: 0 of 2 are ready");
  RxRing a(lab.vf(0), 0, 64), b(lab.vf(2), 0, 64);
  EXPECT_EQ(waits(), "VF receivers: 0 of 2 are ready") << "enabled, but no descriptors";
  a.give(8);
  EXPECT_EQ(waits(), "VF receivers: 1 of 2 are ready");
  lab.enable_pools(3);
  b.give(8);
  EXPECT_EQ(waits(), "VF receivers: 1 of 2 are ready") << "VFRE is off for VF 2";
  EXPECT_EQ(lab.account("wire.sent"), 0u);
  lab.enable_pools(7);
  EXPECT_EQ(waits(), "");
  lab.run(2);
  EXPECT_EQ(lab.account("wire.sent"), 1u);
  EXPECT_TRUE(lab.device->wire_done());
}

TEST(DeviceStart, RefusesWhatCannotBe) {
  DeviceOptions options;
  options.vfs = 64;
  auto device = Device::create(options, nullptr, nullptr);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().exit_status(), 2);
  EXPECT_EQ(device.error().text, "64 VFs: an 82599 port has at most 63");
  options.vfs = 2;
  options.start_when_ready = 3;
  EXPECT_EQ(Device::create(options, nullptr, nullptr).error().text,
            "start when 3 receivers are ready: there are only 2 VFs");
}

}  // namespace
}  // namespace vigia::softnic::kit
