// SPDX-License-Identifier: Apache-2.0
// The start sequence, step by step, against a scripted device: each refusal and time-out, then what a started port
// looks like from the device's side, then restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/ixgbe/descriptor.h"
#include "tests/vfdriver/start_rig.h"
#include "vfdriver/ixgbevf/device.h"

namespace vigia::vf::ixgbevf {
namespace {

using namespace std::chrono_literals;
using intel::kRxVector;
using mbx::Id;
using test::FakeFunction;
using test::FakeVf;
using test::kQuick;
using test::quick_options;
using ::testing::HasSubstr;
namespace reg = hw::ixgbe::vf;
namespace bit = hw::ixgbe;

using Rig = test::StartRig<Ixgbevf, Chip, test::k82599>;

TEST(IxgbevfSteps, AreThoseOfTheReferenceInItsOrder) {
  const std::vector<std::string_view> expected{"bus master on",
                                               "mask interrupts",
                                               "stop queues, wait until they are off",
                                               "reset the function",
                                               "wait for the PF to leave reset",
                                               "clear registers that a VF reset keeps",
                                               "tell the PF: RESET",
                                               "negotiate the mailbox API",
                                               "ask the number of queues",
                                               "ask the address",
                                               "ask the frame size",
                                               "ask the multicast mode",
                                               "join VLANs",
                                               "program receive queues",
                                               "program the transmit queue",
                                               "program interrupts",
                                               "enable receive queues, wait until they are on",
                                               "enable the transmit queue, wait until it is on"};
  std::vector<std::string_view> names;
  for (const auto& step : Ixgbevf::steps()) names.push_back(step.name);
  EXPECT_EQ(names, expected);
}

TEST(IxgbevfStart, EachRefusalNamesItsStepAndEndsInTime) {
  test::expect_refusals<Rig>({
      {"device dead", [](Rig& r) { r.vf.gone = true; }, "bus master on", "the device is gone",
       std::errc::no_such_device},
      {"queue never off", [](Rig& r) { r.vf.queue_stuck_on = true; }, "stop queues, wait until they are off",
       "receive queue 0 off (VFRXDCTL.ENABLE = 0): not seen within 20 ms", std::errc::timed_out},
      {"PF absent", [](Rig& r) { r.vf.rsti = true; }, "wait for the PF to leave reset",
       "start the PF driver (vigia-pf)", std::errc::timed_out},
      {"PF silent", [](Rig& r) { r.vf.pf.acknowledges = false; }, "tell the PF: RESET",
       "(PFACK): not seen within 20 ms", std::errc::timed_out},
      {"PF mute", [](Rig& r) { r.vf.pf.replies = false; }, "tell the PF: RESET", "(PFSTS): not seen within 20 ms",
       std::errc::timed_out},
      {"strange reset reply",
       [](Rig& r) { r.vf.pf.instead[Id::reset] = [](const auto&) { return mbx::Message{0x1}; }; }, "tell the PF: RESET",
       "which is no reply", std::errc::protocol_error},
      {"PF restarts during the talk",
       [](Rig& r) {
         r.vf.pf.instead[Id::api_negotiate] = [](const auto& m) { return mbx::Message{m[0] | mbx::kFailure}; };
       },
       "negotiate the mailbox API", "forgotten this VF", std::errc::connection_reset},
      {"no queues told", [](Rig& r) { r.vf.pf.refuses[Id::get_queues] = true; }, "ask the number of queues",
       "the PF refused to tell the number of queues", std::errc::operation_not_permitted},
      {"address refused",
       [](Rig& r) {
         r.options.mac = hw::Mac{{2, 0, 0, 0, 0, 9}};
         r.vf.pf.refuses[Id::set_mac_addr] = true;
       },
       "ask the address", "the PF refused the address 02:00:00:00:00:09", std::errc::operation_not_permitted},
      {"jumbo refused",
       [](Rig& r) {
         r.options.mtu = 9000;
         r.vf.pf.refuses[Id::set_lpe] = true;
       },
       "ask the frame size", "the PF refused frames of 9018 bytes", std::errc::operation_not_permitted},
      {"VLAN refused",
       [](Rig& r) {
         r.options.vlans = {5, 7};
         r.vf.pf.refuses[Id::set_vlan] = true;
       },
       "join VLANs", "the PF refused joining VLAN 5", std::errc::operation_not_permitted},
      {"queue never on", [](Rig& r) { r.vf.queue_refuses = true; }, "enable receive queues, wait until they are on",
       "receive queue 0 on (VFRXDCTL.ENABLE = 1): not seen within 20 ms", std::errc::timed_out},
  });
}

TEST(IxgbevfStart, ProgramsTheDevice) {
  Rig rig;
  rig.options.queues = 2;
  rig.options.vlans = {5};
  const auto started = rig.start();
  ASSERT_TRUE(started) << started.error().text;
  EXPECT_EQ(rig.vf.reset_count, 1);
  EXPECT_TRUE(rig.vf.violations.empty());
  EXPECT_EQ(rig.device->queues(), 2u);
  for (unsigned q = 0; q < 2; ++q) {
    EXPECT_EQ(rig.vf.get(reg::VFRDBAL.at(q)) % bit::kRingAlign, 0u);
    EXPECT_EQ(rig.vf.get(reg::VFRDBAH.at(q)), 1u);
    EXPECT_EQ(rig.vf.get(reg::VFRDLEN.at(q)), 64 * 16u);
    EXPECT_EQ(rig.vf.get(reg::VFSRRCTL.at(q)), bit::Srrctl::drop_en | bit::Srrctl::desctype_advanced | 2u);
    EXPECT_EQ(rig.rxdctl(q), bit::Rxdctl::enable) << "enabled, VLAN tags stay in the frame";
    EXPECT_EQ(rig.vf.get(reg::VFRDT.at(q)), 63u);
  }
  EXPECT_NE(rig.vf.get(reg::VFRDBAL.at(0)), rig.vf.get(reg::VFRDBAL.at(1)));
  EXPECT_EQ(rig.vf.get(reg::VFPSRTYPE.at()), 1u << bit::Psrtype::rqpl_shift);
  EXPECT_EQ(rig.vf.get(reg::VFTDLEN.at(0)), 64 * 16u);
  EXPECT_EQ(rig.vf.get(reg::VFTXDCTL.at(0)), bit::Txdctl::enable);
  EXPECT_EQ(rig.vf.get(reg::VTIVAR.at(0)), 0x0080'0080u) << "both RX queues on vector 0";
  EXPECT_EQ(rig.vf.get(reg::VTIVAR_MISC.at()), 0x81u);
  EXPECT_EQ(rig.vf.get(reg::VTEIAM.at()), 3u);
  EXPECT_NE(rig.function->command() & 4u, 0u) << "bus master";

  std::vector<Id> asked;
  for (const auto& m : rig.vf.pf.heard) asked.push_back(mbx::id_of(m[0]));
  EXPECT_EQ(asked, (std::vector<Id>{Id::reset, Id::api_negotiate, Id::get_queues, Id::set_lpe, Id::update_xcast_mode,
                                    Id::set_vlan}));
  EXPECT_EQ(rig.vf.pf.heard[3][1], 1518u) << "SET_LPE counts the FCS";
}

TEST(IxgbevfStart, TailIsWrittenOnlyAfterTheQueueIsOn) {
  Rig rig;
  bool enabled = false, tail_early = false;
  rig.vf.on_write = [&](std::uint32_t offset, std::uint32_t value) {
    if (offset == reg::VFRXDCTL.at(0)) enabled = (value & bit::Rxdctl::enable) != 0;
    if (offset == reg::VFRDT.at(0) && value != 0 && !enabled) tail_early = true;
  };
  ASSERT_TRUE(rig.start());
  EXPECT_FALSE(tail_early);
  EXPECT_GT(rig.vf.flushes, 0);
}

TEST(IxgbevfStart, QueuesAreWhatThePfGrants) {
  struct Row {
    unsigned wanted, granted, used;
  };
  for (const Row row :
       {Row{1, 2, 1}, Row{4, 2, 2}, Row{4, 4, 4}, Row{4, 3, 2}, Row{2, 1, 1}, Row{4, 0, 4}, Row{4, 99, 4}}) {
    Rig rig;
    rig.options.queues = row.wanted;
    rig.vf.pf.queues = row.granted;
    ASSERT_TRUE(rig.start());
    EXPECT_EQ(rig.device->queues(), row.used) << row.wanted << " wanted, " << row.granted << " granted";
  }
}

TEST(IxgbevfStart, OldestPfIsGoodEnough) {
  Rig rig;
  rig.options.queues = 4;
  rig.vf.pf.knows_any_api = false;
  ASSERT_TRUE(rig.start());
  EXPECT_EQ(rig.device->queues(), 1u) << "API 1.0 tells no number";
  const auto info = rig.device->info();
  ASSERT_TRUE(info);
  EXPECT_EQ(info->api, "1.0");
  EXPECT_FALSE(info->link_enabled);
  EXPECT_EQ(info->multicast_mode, "");
}

TEST(IxgbevfStart, AddressIsThePfsOrTheWantedOneOrARandomOne) {
  {
    Rig rig;
    ASSERT_TRUE(rig.start());
    EXPECT_EQ(rig.device->info()->mac, *rig.vf.pf.mac);
    EXPECT_TRUE(rig.device->info()->mac_assigned);
  }
  {
    Rig rig;
    rig.options.mac = hw::Mac{{2, 0, 0, 0, 0, 9}};
    ASSERT_TRUE(rig.start());
    EXPECT_EQ(rig.device->info()->mac, *rig.options.mac);
    EXPECT_FALSE(rig.device->info()->mac_assigned);
  }
  Rig rig;
  rig.vf.pf.mac = std::nullopt;
  ASSERT_TRUE(rig.start());
  const hw::Mac mine = *rig.device->info()->mac;
  EXPECT_FALSE(mine.multicast() || mine.zero());
  EXPECT_NE(mine.bytes[0] & 2, 0) << "locally administered";
  ASSERT_TRUE(rig.device->stop());
  ASSERT_TRUE(rig.device->start());
  EXPECT_EQ(rig.device->info()->mac, mine) << "kept over a restart";
}

TEST(IxgbevfStart, ToleratedRefusalsDoNotStopIt) {
  Rig rig;
  rig.vf.pf.refuses[Id::set_lpe] = rig.vf.pf.refuses[Id::update_xcast_mode] = true;
  EXPECT_TRUE(rig.start());
}

TEST(IxgbevfStart, WorksWithoutInterruptsAndWithoutTransmit) {
  Rig rig;
  rig.options.interrupts = false;
  rig.options.tx_ring = 0;
  ASSERT_TRUE(rig.start());
  EXPECT_EQ(rig.device->tx(), nullptr);
  EXPECT_EQ(rig.vf.get(reg::VTIVAR.at(0)), 0u);
  EXPECT_EQ(rig.vf.get(reg::VFTXDCTL.at(0)) & bit::Txdctl::enable, 0u);
  EXPECT_FALSE(rig.device->info()->interrupts);
}

TEST(IxgbevfStart, CancelEndsTheWaitForThePf) {
  Rig rig;
  std::atomic<bool> cancel{true};
  rig.options.cancel = &cancel;
  rig.options.pf_wait = 10s;
  rig.vf.rsti = true;
  const auto started = rig.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, std::errc::operation_canceled);
}

TEST(IxgbevfStart, BarThatIsTooSmallIsRefused) {
  FakeVf vf;
  const auto opened = Ixgbevf::open(std::make_unique<FakeFunction>(vf, 8192), quick_options(), kQuick);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().text, HasSubstr("8192 bytes"));
}

TEST(IxgbevfHealth, TellsPfRestartsInEveryForm) {
  struct Row {
    const char* what;
    std::function<void(Rig&)> happen;
    Health expected;
  };
  const Row rows[] = {
      {"nothing", [](Rig&) {}, Health::good},
      {"ping", [](Rig& r) { r.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl | mbx::kCts}); }, Health::good},
      {"PF in reset", [](Rig& r) { r.vf.rsti = true; }, Health::pf_reset},
      {"PF was in reset", [](Rig& r) { r.vf.restart_pf(); }, Health::pf_reset},
      {"ping without CTS", [](Rig& r) { r.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl}); }, Health::pf_reset},
      {"NACK", [](Rig& r) { r.vf.pf.outbox.push_back(mbx::Message{mbx::kFailure}); }, Health::pf_reset},
      {"device dead", [](Rig& r) { r.vf.gone = true; }, Health::gone},
  };
  for (const Row& row : rows) {
    Rig rig;
    ASSERT_TRUE(rig.start());
    EXPECT_EQ(rig.device->health(), Health::good);
    row.happen(rig);
    EXPECT_EQ(rig.device->health(), row.expected) << row.what;
    EXPECT_EQ(rig.device->health(), row.expected) << row.what << ", asked again";
  }
}

TEST(IxgbevfHealth, RefusedByAForgetfulPfIsNewsToo) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  rig.vf.pf.clear_to_send = false;
  EXPECT_FALSE(rig.device->set_mac(hw::Mac{{2, 0, 0, 0, 0, 9}}));
  EXPECT_EQ(rig.device->health(), Health::pf_reset);
}

TEST(IxgbevfRestart, ComesBackAfterAPfRestart) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  rig.vf.restart_pf();
  ASSERT_EQ(rig.device->health(), Health::pf_reset);
  ASSERT_TRUE(rig.device->stop());
  EXPECT_EQ(rig.rxdctl() & bit::Rxdctl::enable, 0u);
  rig.vf.pf.mac = hw::Mac{{2, 0, 0, 0, 0, 5}};
  const auto again = rig.device->start();
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ(rig.device->health(), Health::good);
  EXPECT_EQ(rig.vf.reset_count, 2);
  EXPECT_EQ(rig.device->info()->mac, *rig.vf.pf.mac);
  EXPECT_NE(rig.rxdctl() & bit::Rxdctl::enable, 0u);
}

TEST(IxgbevfStop, StopsTheQueuesTwiceIsFineAndGoneIsFine) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  ASSERT_TRUE(rig.device->stop());
  EXPECT_EQ(rig.rxdctl() & bit::Rxdctl::enable, 0u);
  EXPECT_EQ(rig.vf.get(reg::VFTXDCTL.at(0)) & bit::Txdctl::enable, 0u);
  EXPECT_FALSE(rig.device->info()) << "not started";
  EXPECT_TRUE(rig.device->stop());
  rig.vf.gone = true;
  EXPECT_TRUE(rig.device->stop());
}

TEST(IxgbevfStop, QueueThatDoesNotStopIsTold) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  rig.vf.queue_stuck_on = true;
  const auto stopped = rig.device->stop();
  ASSERT_FALSE(stopped);
  EXPECT_THAT(stopped.error().text, HasSubstr("receive queue 0 off"));
}

TEST(IxgbevfInfo, TellsWhatThePfTells) {
  Rig rig;
  rig.vf.pf.instead[Id::get_reta] = [](const auto& m) {
    mbx::Message r{m[0] | mbx::kCts | mbx::kSuccess};
    r[1] = 1u << 2;  // entry 1 is 1
    return r;
  };
  rig.vf.pf.refuses[Id::get_rss_key] = true;
  ASSERT_TRUE(rig.start());
  const auto info = rig.device->info();
  ASSERT_TRUE(info);
  EXPECT_EQ(info->device, "fake:vf0");
  EXPECT_EQ(info->api, "1.5");
  EXPECT_EQ(info->granted_rx, 2u);
  EXPECT_EQ(info->queues, 1u);
  EXPECT_EQ(info->link_up, true);
  EXPECT_EQ(info->link_mbps, 10000u);
  EXPECT_EQ(info->link_enabled, std::optional(true));
  EXPECT_EQ(info->multicast_mode, "multi");
  ASSERT_TRUE(info->reta);
  EXPECT_EQ((*info->reta)[1], 1);
  EXPECT_FALSE(info->rss_key);
}

TEST(IxgbevfInterrupts, WaitArmsSleepsAndWakes) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  unsigned armed = 0;
  rig.vf.on_write = [&](std::uint32_t offset, std::uint32_t value) {
    if (offset == reg::VTEIMS.at() && value == 1u << kRxVector) ++armed;
  };
  RxPort& queue = rig.device->queue(0);
  queue.wait(1ms);
  queue.wait(1ms);
  EXPECT_EQ(armed, 1u) << "armed until it fires";
  rig.function->ring(kRxVector);
  const auto begin = std::chrono::steady_clock::now();
  queue.wait(5s);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  queue.wait(1ms);
  EXPECT_EQ(armed, 2u) << "fired once, armed again";
}

TEST(IxgbevfInterrupts, WithoutVectorsItSleepsByTimer) {
  FakeVf vf;
  auto function = std::make_unique<FakeFunction>(vf);
  function->msix_error = work_error("enable MSI-X on fake:vf0: no");
  auto opened = Ixgbevf::open(std::move(function), quick_options(), kQuick);
  ASSERT_TRUE(opened);
  ASSERT_TRUE((*opened)->start());
  EXPECT_FALSE((*opened)->info()->interrupts);
  (*opened)->queue(0).wait(10s);  // returns after a nap
}

TEST(OpenPort, RefusesSenselessOptionsBeforeItTouchesAnything) {
  struct Row {
    std::function<void(PortOptions&)> spoil;
    const char* sentence;
  };
  const Row rows[] = {
      {[](PortOptions& o) { o.queues = 3; }, "3 receive queues: use 1, 2 or 4"},
      {[](PortOptions& o) { o.rx_ring = 1000; }, "receive ring of 1000 descriptors: use a power of two"},
      {[](PortOptions& o) { o.rx_ring = 65536; }, "from 64 to 32768"},
      {[](PortOptions& o) { o.tx_ring = 32; }, "transmit ring of 32 descriptors"},
      {[](PortOptions& o) { o.rx_buffer_kib = 17; }, "receive buffers of 17 KiB"},
      {[](PortOptions& o) { o.rx_buffer_kib = 0; }, "receive buffers of 0 KiB"},
      {[](PortOptions& o) { o.mtu = 67; }, "MTU 67"},
      {[](PortOptions& o) { o.mtu = 9711; }, "MTU 9711"},
      {[](PortOptions& o) {
         o.mac = hw::Mac{{1, 0, 0, 0, 0, 0}};
       },
       "not a unicast address"},
      {[](PortOptions& o) { o.vlans = {4095}; }, "VLAN 4095"},
  };
  for (const Row& row : rows) {
    PortOptions options;
    row.spoil(options);
    const auto opened = open_port("vfio-user:/nonexistent/vf0.sock", options);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().exit_status(), 2);
    EXPECT_THAT(opened.error().text, HasSubstr(row.sentence));
  }
}

}  // namespace
}  // namespace vigia::vf::ixgbevf
