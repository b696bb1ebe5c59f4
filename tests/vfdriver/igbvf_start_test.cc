// SPDX-License-Identifier: Apache-2.0
// The 82576 VF's start sequence against a scripted device: what is its own, and that the shared steps reach its
// registers. What all families share is asked in ixgbevf_start_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hw/igb/bits.h"
#include "hw/igb/regs_vf.h"
#include "tests/vfdriver/start_rig.h"
#include "vfdriver/igbvf/device.h"

namespace vigia::vf::igbvf {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace reg = hw::igb::vf;
namespace bit = hw::igb;
using PfId = test::mbx::Id;  // the fake PF counts messages by number

constexpr auto kPromisc = static_cast<PfId>(mbx::Id::set_promisc);
const hw::Mac kGroup{{0x01, 0, 0x5e, 0, 0, 0xfb}}, kOther{{0x33, 0x33, 0, 0, 0, 1}};

struct Rig : test::StartRig<Igbvf, Chip, test::k82576> {
  std::vector<unsigned> asked() const {
    std::vector<unsigned> ids;
    for (const auto& m : vf.pf.heard) ids.push_back(mbx::number_of(m[0]));
    return ids;
  }
  const mbx::Message& heard(mbx::Id id) const {
    for (const auto& m : vf.pf.heard) {
      if (mbx::id_of(m[0]) == id) return m;
    }
    static const mbx::Message none{};
    return none;
  }
};

TEST(IgbvfSteps, NegotiateNothing) {
  std::vector<std::string_view> names;
  for (const auto& step : Igbvf::steps()) names.push_back(step.name);
  EXPECT_THAT(
      names,
      ElementsAre("bus master on", "mask interrupts", "stop queues, wait until they are off", "reset the function",
                  "wait for the PF to leave reset", "clear registers that a VF reset keeps", "tell the PF: RESET",
                  "use one queue", "ask the address", "ask the frame size", "ask for multicast", "join VLANs",
                  "program receive queues", "program the transmit queue", "program interrupts",
                  "enable receive queues, wait until they are on", "enable the transmit queue, wait until it is on"));
}

TEST(IgbvfStart, EachRefusalNamesItsStep) {
  test::expect_refusals<Rig>({
      {"device dead", [](Rig& r) { r.vf.gone = true; }, "bus master on", "the device is gone",
       std::errc::no_such_device},
      {"queue never off", [](Rig& r) { r.vf.queue_stuck_on = true; }, "stop queues, wait until they are off",
       "receive queue 0 off (RXDCTL.ENABLE = 0): not seen within 20 ms", std::errc::timed_out},
      {"PF absent", [](Rig& r) { r.vf.rsti = true; }, "wait for the PF to leave reset", "start the PF driver (igb)",
       std::errc::timed_out},
      {"PF silent", [](Rig& r) { r.vf.pf.acknowledges = false; }, "tell the PF: RESET", "mailbox request RESET",
       std::errc::timed_out},
      {"address refused",
       [](Rig& r) {
         r.options.mac = hw::Mac{{2, 0, 0, 0, 0, 9}};
         r.vf.pf.refuses[PfId::set_mac_addr] = true;
       },
       "ask the address", "the PF refused the address 02:00:00:00:00:09", std::errc::operation_not_permitted},
      {"jumbo refused",
       [](Rig& r) {
         r.options.mtu = 9000;
         r.vf.pf.refuses[PfId::set_lpe] = true;
       },
       "ask the frame size", "the PF refused frames of 9022 bytes", std::errc::operation_not_permitted},
      {"named groups refused",
       [](Rig& r) {
         r.options.multicast = {kGroup};
         r.vf.pf.refuses[PfId::set_multicast] = true;
       },
       "ask for multicast", "the PF refused 1 multicast groups", std::errc::operation_not_permitted},
      {"VLAN refused",
       [](Rig& r) {
         r.options.vlans = {5};
         r.vf.pf.refuses[PfId::set_vlan] = true;
       },
       "join VLANs", "the PF refused joining VLAN 5", std::errc::operation_not_permitted},
      {"queue never on", [](Rig& r) { r.vf.queue_refuses = true; }, "enable receive queues, wait until they are on",
       "receive queue 0 on (RXDCTL.ENABLE = 1): not seen within 20 ms", std::errc::timed_out},
  });
}

TEST(IgbvfStart, ProgramsTheDevice) {
  Rig rig;
  rig.options.vlans = {5};
  const auto started = rig.start();
  ASSERT_TRUE(started) << started.error().text;
  EXPECT_EQ(rig.vf.reset_count, 1);
  EXPECT_TRUE(rig.vf.violations.empty());
  EXPECT_EQ(rig.vf.get(reg::RDBAL.at(0)) % hw::intel::kRingAlign, 0u);
  EXPECT_EQ(rig.vf.get(reg::RDBAH.at(0)), 1u);
  EXPECT_EQ(rig.vf.get(reg::RDLEN.at(0)), 64 * 16u);
  EXPECT_EQ(rig.vf.get(reg::SRRCTL.at(0)), 0x8200'0002u) << "drop, one advanced buffer of 2 KiB";
  EXPECT_EQ(rig.rxdctl(), 0x0201'0000u) << "enabled, write-back threshold 1, VLAN tags stay in the frame";
  EXPECT_EQ(rig.vf.get(reg::RDT.at(0)), 63u);
  EXPECT_EQ(rig.vf.get(reg::TDLEN.at(0)), 64 * 16u);
  EXPECT_EQ(rig.vf.get(reg::TXDCTL.at(0)), 0x0201'0000u);
  EXPECT_EQ(rig.vf.get(reg::IVAR0.at()), 0x80u);
  EXPECT_EQ(rig.vf.get(reg::IVAR_MISC.at()), 0x81u);
  EXPECT_EQ(rig.vf.get(reg::EIAC.at()), 3u);
  EXPECT_EQ(rig.vf.get(reg::EIAM.at()), 3u);
  EXPECT_NE(rig.function->command() & 4u, 0u) << "bus master";
  EXPECT_THAT(rig.asked(), ElementsAre(1, 5, 6, 4));
  EXPECT_EQ(rig.heard(mbx::Id::set_lpe)[1], 1522u) << "with FCS and a tag";
  EXPECT_EQ(rig.heard(mbx::Id::set_vlan)[1], 5u);
}

TEST(IgbvfStart, WithoutNamedGroupsAllMulticastIsAskedFor) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  EXPECT_EQ(mbx::argument_of(rig.heard(mbx::Id::set_promisc)[0]), mbx::Promisc::multicast);
  EXPECT_EQ(rig.device->info()->multicast_mode, "allmulti");
  Rig refused;
  refused.vf.pf.refuses[kPromisc] = true;
  ASSERT_TRUE(refused.start()) << "a capture without multicast is better than none";
  EXPECT_EQ(refused.device->info()->multicast_mode, "");
}

TEST(IgbvfStart, NamedGroupsAreSentAsHashes) {
  Rig rig;
  rig.options.multicast = {kGroup, kOther};
  ASSERT_TRUE(rig.start());
  EXPECT_THAT(rig.asked(), ElementsAre(1, 5, 6, 3));
  EXPECT_EQ(mbx::argument_of(rig.heard(mbx::Id::set_promisc)[0]), 0u) << "all of them would shut the hash table out";
  const mbx::Message& m = rig.heard(mbx::Id::set_multicast);
  EXPECT_EQ(mbx::multicast_count(m), 2u);
  EXPECT_EQ(mbx::multicast_hash_at(m, 0), 0xfb0u) << "01:00:5e:00:00:fb: bits 47 to 36, from its last bytes";
  EXPECT_EQ(mbx::multicast_hash_at(m, 1), 0x010u);
  EXPECT_EQ(rig.device->info()->multicast_mode, "multi");
}

TEST(IgbvfStart, OneQueueWhateverIsWanted) {
  Rig rig;
  rig.options.queues = 4;
  ASSERT_TRUE(rig.start());
  EXPECT_EQ(rig.device->queues(), 1u);
  EXPECT_EQ(rig.device->info()->granted_rx, 1u);
}

TEST(IgbvfInfo, TellsLinkAndDriver) {
  struct Row {
    std::uint32_t status;
    bool up;
    unsigned mbps;
  };
  for (const Row& row :
       {Row{0x82, true, 1000}, Row{0x42, true, 100}, Row{0x02, true, 10}, Row{0xc2, true, 1000}, Row{0x80, false, 0}}) {
    Rig rig;
    ASSERT_TRUE(rig.start());
    rig.vf.memory[reg::STATUS.at()] = row.status;
    const auto info = rig.device->info();
    ASSERT_TRUE(info);
    EXPECT_EQ(info->driver, "igbvf");
    EXPECT_EQ(info->link_up, row.up) << row.status;
    EXPECT_EQ(info->link_mbps, row.mbps) << row.status;
    EXPECT_EQ(info->api, "");
    EXPECT_EQ(info->mac, *rig.vf.pf.mac);
  }
}

TEST(IgbvfHealth, TellsPfRestartsAndComesBack) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  EXPECT_EQ(rig.device->health(), Health::good);
  rig.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl | mbx::kCts});
  EXPECT_EQ(rig.device->health(), Health::good);
  rig.vf.restart_pf();
  EXPECT_EQ(rig.device->health(), Health::pf_reset);
  ASSERT_TRUE(rig.device->stop());
  EXPECT_EQ(rig.rxdctl() & bit::Rxdctl::enable, 0u);
  ASSERT_TRUE(rig.device->start());
  EXPECT_EQ(rig.device->health(), Health::good);
  rig.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl});
  EXPECT_EQ(rig.device->health(), Health::pf_reset) << "a ping without CTS";
}

TEST(IgbvfInterrupts, WaitArmsEims) {
  Rig rig;
  ASSERT_TRUE(rig.start());
  unsigned armed = 0;
  rig.vf.on_write = [&](std::uint32_t offset, std::uint32_t value) {
    if (offset == reg::EIMS.at() && value == 1u << intel::kRxVector) ++armed;
  };
  rig.device->queue(0).wait(1ms);
  EXPECT_EQ(armed, 1u);
  rig.function->ring(intel::kRxVector);
  const auto begin = std::chrono::steady_clock::now();
  rig.device->queue(0).wait(5s);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
}

TEST(IgbvfMailbox, NamesOfItsMessages) {
  EXPECT_EQ(mbx::name_of(mbx::Id::set_promisc), "SET_PROMISC");
  EXPECT_EQ(mbx::name_of(mbx::Id::reset), "RESET");
  EXPECT_EQ(mbx::name_of(static_cast<mbx::Id>(7)), "unknown");
  EXPECT_EQ(mbx::name_of(static_cast<mbx::Id>(0)), "unknown");
}

TEST(Drives, TheVirtualFunctionsOfBothFamilies) {
  for (const hw::PciId id : {hw::ixgbe::kVfId, bit::kVfId, bit::kI350VfId}) EXPECT_TRUE(drives(id));
  for (const hw::PciId id : {bit::kPfId, bit::kI350PfId, hw::ixgbe::kPfId}) EXPECT_FALSE(drives(id));
}

}  // namespace
}  // namespace vigia::vf::igbvf
