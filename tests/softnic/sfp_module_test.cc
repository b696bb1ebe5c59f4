// SPDX-License-Identifier: Apache-2.0
#include "softnic/sfp_module.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "softnic/eeprom.h"
#include "tests/softnic/device_kit.h"

namespace vigia::softnic {
namespace {

namespace I2cctl = hw::ixgbe::I2cctl;

// The master that every driver has in software: two lines through I2CCTL.
class Master {
 public:
  explicit Master(kit::Client pf) : pf_(pf) { lines(true, true); }

  void start() {
    lines(true, true);
    lines(true, false);
    lines(false, false);
  }
  void stop() {
    lines(false, false);
    lines(true, false);
    lines(true, true);
  }
  // Whether it was acknowledged.
  bool send(std::uint8_t byte) {
    for (unsigned i = 0; i < 8; ++i) bit((byte >> (7 - i) & 1) != 0);
    return !bit(true);
  }
  std::uint8_t receive(bool more) {
    unsigned byte = 0;
    for (unsigned i = 0; i < 8; ++i) byte = byte << 1 | (bit(true) ? 1u : 0u);
    bit(!more);
    return static_cast<std::uint8_t>(byte);
  }
  std::optional<std::vector<std::uint8_t>> read(std::uint8_t device, std::uint8_t offset, unsigned count) {
    start();
    if (!send(device) || !send(offset)) return std::nullopt;
    start();
    if (!send(device | 1)) return std::nullopt;
    std::vector<std::uint8_t> bytes;
    for (unsigned i = 0; i < count; ++i) bytes.push_back(receive(i + 1 < count));
    stop();
    return bytes;
  }

 private:
  void lines(bool clock, bool data) {
    pf_.write(kit::pf::I2CCTL, 0, (clock ? I2cctl::clock_out : 0) | (data ? I2cctl::data_out : 0));
    EXPECT_EQ((pf_.read(kit::pf::I2CCTL) & I2cctl::clock_in) != 0, clock) << "a driver waits for the clock it gives";
  }
  bool bit(bool value) {
    lines(false, value);
    lines(true, value);
    const bool level = (pf_.read(kit::pf::I2CCTL) & I2cctl::data_in) != 0;
    lines(false, value);
    return level;
  }
  kit::Client pf_;
};

struct SfpModuleTest : testing::Test {
  kit::Lab lab{DeviceOptions()};
  Master master{lab.pf()};
};

TEST_F(SfpModuleTest, ReadsItsMemoryByteByByteAndInARow) {
  for (const unsigned offset : {0u, 3u, 37u, 255u}) {
    const auto one = master.read(0xA0, static_cast<std::uint8_t>(offset), 1);
    ASSERT_TRUE(one);
    EXPECT_EQ(one->at(0), SfpModule::content(static_cast<std::uint8_t>(offset))) << offset;
  }
  const auto all = master.read(0xA0, 0, 256);
  ASSERT_TRUE(all);
  for (unsigned i = 0; i < 256; ++i) EXPECT_EQ(all->at(i), SfpModule::content(static_cast<std::uint8_t>(i))) << i;
}

TEST_F(SfpModuleTest, NobodyAnswersAnotherAddress) {
  EXPECT_FALSE(master.read(0xA2, 0, 1));
  EXPECT_TRUE(master.read(0xA0, 0, 1)) << "and the next transfer finds the module";
}

TEST_F(SfpModuleTest, ATransferCutShortDoesNotSpoilTheNext) {
  master.start();
  EXPECT_TRUE(master.send(0xA0));
  EXPECT_TRUE(master.send(20));
  master.start();
  EXPECT_TRUE(master.send(0xA1));
  (void)master.receive(true);  // and then silence, in the middle of a byte
  const auto again = master.read(0xA0, 20, 5);
  ASSERT_TRUE(again);
  EXPECT_EQ(std::string(again->begin(), again->end()), "vigia");
}

TEST_F(SfpModuleTest, IsATenGigabitModuleWithRightSums) {
  EXPECT_EQ(SfpModule::content(0), 3);
  EXPECT_EQ(SfpModule::content(3), 0x10);
  unsigned base = 0, extended = 0;
  for (std::uint8_t i = 0; i < 63; ++i) base += SfpModule::content(i);
  for (std::uint8_t i = 64; i < 95; ++i) extended += SfpModule::content(i);
  EXPECT_EQ(SfpModule::content(63), base & 0xff);
  EXPECT_EQ(SfpModule::content(95), extended & 0xff);
}

TEST_F(SfpModuleTest, ThePinSaysThatTheCageIsFullWhateverIsWritten) {
  lab.pf().write(kit::pf::ESDP, 0, 0);
  EXPECT_EQ(lab.pf().read(kit::pf::ESDP), hw::ixgbe::Esdp::module_present);
}

// What ixgbe and DPDK ask before they accept the device.
struct EepromTest : testing::Test {
  std::uint32_t word(std::uint32_t address) {
    using namespace hw::ixgbe;
    lab.pf().write(kit::pf::EERD, 0, Eerd::start | address << Eerd::address_shift);
    const std::uint32_t value = lab.pf().read(kit::pf::EERD);
    EXPECT_NE(value & Eerd::done, 0u);
    return value >> Eerd::data_shift;
  }
  kit::Lab lab{DeviceOptions()};
};

TEST_F(EepromTest, ChecksumIsRight) {
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i <= 0x3F; ++i) sum += word(i);
  EXPECT_EQ(sum & 0xffff, 0xBABAu);
  for (std::uint32_t pointer = 0x03; pointer < 0x0F; ++pointer) EXPECT_EQ(word(pointer), 0u) << "would count too";
}

TEST_F(EepromTest, KnowsHowToSetUpItsModule) {
  const std::uint32_t list = word(0x2B);
  ASSERT_EQ(word(list + 1), 5u) << "optical, port 0";
  EXPECT_EQ(word(word(list + 2) + 1), 0xFFFFu) << "nothing to write";
  EXPECT_NE(word(0x2C) & 1, 0u) << "any vendor's module";
}

TEST_F(EepromTest, SizeIsWhatItHas) {
  const std::uint32_t size = lab.pf().read(kit::pf::EEC) >> hw::ixgbe::Eec::size_shift & 0xf;
  EXPECT_EQ(1u << (size + 6), kEepromWords);
  EXPECT_EQ(word(kEepromWords), 0xFFFFu);
  EXPECT_EQ(word(0x3FFF), 0xFFFFu);
}

TEST_F(EepromTest, ReadsTheSameByItsLines) {
  namespace Eec = hw::ixgbe::Eec;
  const auto lines = [&](std::uint32_t bits) { lab.pf().write(kit::pf::EEC, 0, Eec::request | bits); };
  const auto put = [&](std::uint32_t value, unsigned bits) {
    while (bits-- > 0) {
      const std::uint32_t data = (value >> bits & 1) != 0 ? Eec::data_in : 0;
      lines(data);
      lines(data | Eec::clock);
      lines(data);
    }
  };
  const auto get = [&](unsigned bits) {
    std::uint32_t value = 0;
    while (bits-- > 0) {
      lines(Eec::clock);
      value = value << 1 | ((lab.pf().read(kit::pf::EEC) & Eec::data_out) != 0 ? 1u : 0u);
      lines(0);
    }
    return value;
  };
  lines(0);
  EXPECT_NE(lab.pf().read(kit::pf::EEC) & Eec::grant, 0u);
  lines(Eec::select);
  put(0x05, 8);
  EXPECT_EQ(get(8), 0u) << "ready";
  for (const std::uint32_t address : {0x2Cu, 0x3Fu, 0x42u}) {
    lines(Eec::select);
    put(0x03, 8);
    put(2 * address, 16);
    const std::uint32_t bytes = get(16);
    EXPECT_EQ((bytes >> 8 | bytes << 8) & 0xffff, word(address)) << address;
  }
}

TEST_F(EepromTest, LinkStateMachineAndFlowDirectorAreReady) {
  EXPECT_NE(lab.pf().read(kit::pf::ANLP1) & 0xF0000, 0u);
  lab.pf().write(kit::pf::FDIRCTRL, 0, 1);
  EXPECT_EQ(lab.pf().read(kit::pf::FDIRCTRL), 1 | hw::ixgbe::Fdirctrl::init_done);
}

}  // namespace
}  // namespace vigia::softnic
