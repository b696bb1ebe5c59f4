// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "pfdriver/bring_up.h"
#include "pfdriver/registers.h"
#include "tests/pfdriver/fake_nic.h"

namespace vigia::pf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace reg = hw::ixgbe::pf;
namespace bits = hw::ixgbe;

class BringUp : public testing::Test {
 protected:
  Result<Done> run(unsigned vfs = 4) {
    config_.vfs = vfs;
    config_ = complete(config_);
    Port port{nic_, nic_.bar(), capabilities_82599(), config_, true};
    return bring_up(port, [this](std::string_view name) { steps_.emplace_back(name); });
  }
  std::string error() {
    const auto result = run();
    EXPECT_FALSE(result);
    return result ? "" : result.error().text;
  }

  test::FakeNic nic_;
  PfConfig config_;
  std::vector<std::string> steps_;
};

TEST_F(BringUp, RefusesADeviceThatIsGone) {
  nic_.dead = true;
  EXPECT_EQ(error(),
            "bring up fake:pf, step 'device answers': STATUS reads as all ones: the device is gone; is "
            "vigia-softnic up?");
}

TEST_F(BringUp, EachWaitHasADeadlineAndASentence) {
  nic_.bus_stuck = true;
  EXPECT_EQ(error(),
            "bring up fake:pf, step 'stop queues and bus requests': STATUS without bus requests under way: not seen "
            "within 80 ms");
  nic_.bus_stuck = false;
  nic_.rst_sticks = true;
  EXPECT_EQ(error(), "bring up fake:pf, step 'reset': CTRL.RST off again: not seen within 1000 ms");
  nic_.rst_sticks = false;
  nic_.set(reg::CTRL.at(), 0);
  nic_.eeprom_silent = true;
  EXPECT_EQ(error(), "bring up fake:pf, step 'wait for EEPROM': EEC.AUTO_RD: not seen within 1000 ms");
  nic_.eeprom_silent = false;
  nic_.receiver_silent = true;
  EXPECT_EQ(error(), "bring up fake:pf, step 'start receiver': SECRXSTAT.SECRX_RDY: not seen within 1000 ms");
}

TEST_F(BringUp, RefusesMoreVfsThanTheDeviceHas) {
  nic_.total_vfs = 3;
  const auto result = run();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 2);
  EXPECT_EQ(
      result.error().text,
      "bring up fake:pf, step 'set NumVFs': pf.vfs: 4 wanted, the device has 3; ask for fewer, or start the device "
      "with more");
}

TEST_F(BringUp, WithoutLinkThePortStillComesUp) {
  nic_.no_link = true;
  EXPECT_TRUE(run());
}

TEST_F(BringUp, StepsInDatasheetOrder) {
  ASSERT_TRUE(run());
  EXPECT_THAT(steps_, ElementsAre("device answers", "memory space and bus master on", "mask interrupts",
                                  "stop queues and bus requests", "set NumVFs", "reset", "wait for EEPROM",
                                  "wait for DMA initialisation", "start link", "clear statistics",
                                  "clear filter tables", "receive path", "transmit path", "pools", "RSS table and key",
                                  "start receiver", "VF Enable", "interrupts"));
  const auto when = [&](std::uint32_t offset) {
    return std::find(nic_.written.rbegin(), nic_.written.rend(), offset).base() - nic_.written.begin();
  };
  EXPECT_LT(when(reg::MTQC.at()), when(reg::RTTDCS.at())) << "queue layout is changed with the arbiter off";
  EXPECT_LT(when(reg::MRQC.at()), when(reg::RXCTRL.at()));
  EXPECT_LT(when(reg::PFMRCTL.at(0)), when(reg::RXCTRL.at()));
}

TEST_F(BringUp, LeavesAPortWithoutGarbage) {
  ASSERT_TRUE(run());
  Image image = read_image(nic_.bar());
  EXPECT_EQ(image.at(Field::rah, 0), bits::Rah::av | 0x9059u) << "the PF's own address stays";
  image.at(Field::ral, 0) = image.at(Field::rah, 0) = 0;
  Image expected;
  expected.at(Field::vtctl) = bits::Pfvtctl::vt_ena | bits::Pfvtctl::rpl_en | bits::Pfvtctl::dis_def_pool | 4u << 7;
  expected.at(Field::maxfrs) = 1518u << 16;
  EXPECT_EQ(image, expected);
  EXPECT_EQ(nic_.get(reg::GCR_EXT.at()) & 3u, nic_.get(reg::GPIE.at()) >> 14 & 3u);
  EXPECT_EQ(nic_.get(reg::MRQC.at()) & 0xfu, bits::Mrqc::vmdq_rss_32x4);
  EXPECT_EQ(nic_.get(reg::MTQC.at()), bits::Mtqc::vt_32);
  EXPECT_EQ(nic_.get(reg::RETA.at(0)), 0x03020100u);
  EXPECT_EQ(nic_.get(reg::RSSRK.at(0)), 0x5a6d5a6du);
  EXPECT_EQ(nic_.get(reg::PFMBIMR.at(0)), 0xfu);
  EXPECT_EQ(nic_.get(reg::PFMBIMR.at(1)), 0u);
  EXPECT_EQ(nic_.config[0x160 + 0x10], 4u);
  EXPECT_EQ(nic_.config[0x160 + 0x08], 9u);
  EXPECT_EQ(nic_.get(reg::CTRL_EXT.at()) & bits::CtrlExt::pfrstd, 0u) << "VFs wait until the config is applied";
  announce(nic_.bar());
  EXPECT_NE(nic_.get(reg::CTRL_EXT.at()) & bits::CtrlExt::pfrstd, 0u);
}

TEST_F(BringUp, ManyVfsTakePoolsOfTwoQueues) {
  ASSERT_TRUE(run(63));
  EXPECT_EQ(nic_.get(reg::MRQC.at()) & 0xfu, bits::Mrqc::vmdq_rss_64x2);
  EXPECT_EQ(nic_.get(reg::RETA.at(0)), 0x01000100u);
  EXPECT_EQ(nic_.get(reg::PFMBIMR.at(0)), ~0u);
  EXPECT_EQ(nic_.get(reg::PFMBIMR.at(1)), 0x7fffffffu);
}

TEST_F(BringUp, TwiceIsLikeOnceAndKeepsVfsInPlace) {
  ASSERT_TRUE(run());
  const Image image = read_image(nic_.bar());
  nic_.config[0x160 + 0x08] |= 1u << 4;  // ARI, set by the host: kept
  ASSERT_TRUE(run());
  EXPECT_EQ(read_image(nic_.bar()), image);
  EXPECT_EQ(nic_.config[0x160 + 0x08], 0x19u);
}

TEST_F(BringUp, TearDown) {
  ASSERT_TRUE(run());
  announce(nic_.bar());
  tear_down(nic_, nic_.bar());
  EXPECT_EQ(nic_.get(reg::RXCTRL.at()) & bits::Rxctrl::rxen, 0u);
  EXPECT_EQ(nic_.get(reg::CTRL_EXT.at()) & bits::CtrlExt::drv_load, 0u);
  EXPECT_EQ(nic_.config[4] & 4u, 0u) << "bus master";
}

}  // namespace
}  // namespace vigia::pf
