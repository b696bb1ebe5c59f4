// SPDX-License-Identifier: Apache-2.0
#include "hw/mac.h"

#include <gtest/gtest.h>

namespace vigia::hw {
namespace {

TEST(Mac, RefusesWhatIsNoAddress) {
  for (const char* text : {"", "02", "02:00:00:00:00", "02:00:00:00:00:0", "02:00:00:00:00:011", "02:00:00:00:00:0g",
                           "02:00:00-00:00:01", "02-00:00:00:00:01", "2:0:0:0:0:1", "02.00.00.00.00.01", "020000000001",
                           " 02:00:00:00:00:1", "02:00:00:00:00:01 ", "+2:00:00:00:00:01", "02:00:00:00:00:-1"}) {
    EXPECT_FALSE(Mac::parse(text)) << text;
  }
}

TEST(Mac, ParsesColonsDashesAndBothCases) {
  const Mac want{{0x02, 0xab, 0xcd, 0xef, 0x09, 0xff}};
  for (const char* text : {"02:ab:cd:ef:09:ff", "02:AB:CD:EF:09:FF", "02-ab-CD-ef-09-FF"}) {
    EXPECT_EQ(Mac::parse(text), want) << text;
  }
}

TEST(Mac, TextIsLowerCaseWithColons) { EXPECT_EQ((Mac{{0x02, 0xab, 0, 1, 9, 0xff}}).text(), "02:ab:00:01:09:ff"); }

TEST(Mac, PackedHoldsByteZeroInTheLowBits) {
  const Mac mac{{0x11, 0x22, 0x33, 0x44, 0x55, 0x66}};
  EXPECT_EQ(mac.packed(), 0x665544332211u);
  EXPECT_EQ(Mac::unpack(0xffff'6655'4433'2211u), mac) << "bits above 47 do not count";
}

TEST(Mac, Kinds) {
  EXPECT_TRUE(Mac::parse("01:00:5e:00:00:01")->multicast());
  EXPECT_FALSE(Mac::parse("02:00:5e:00:00:01")->multicast());
  EXPECT_TRUE(Mac::parse("ff:ff:ff:ff:ff:ff")->broadcast());
  EXPECT_FALSE(Mac::parse("ff:ff:ff:ff:ff:fe")->broadcast());
  EXPECT_TRUE(Mac{}.zero());
}

}  // namespace
}  // namespace vigia::hw
