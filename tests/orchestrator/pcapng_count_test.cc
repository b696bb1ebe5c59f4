// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/pcapng_count.h"

#include <gtest/gtest.h>

#include "temp_captures.h"

namespace vigia::orch {
namespace {

std::string word(std::uint32_t v, bool swap) {
  if (swap) v = __builtin_bswap32(v);
  return {reinterpret_cast<const char*>(&v), sizeof v};
}

std::string block(std::uint32_t type, std::string body, bool swap) {
  const auto length = static_cast<std::uint32_t>(body.size() + 12);
  return word(type, swap) + word(length, swap) + body + word(length, swap);
}

std::string section(bool swap) {
  return block(0x0a0d0d0a, word(0x1a2b3c4d, swap) + word(1, swap) + std::string(8, '\xff'), swap);
}
std::string packet(bool swap, std::uint32_t type = 6) { return block(type, std::string(24, 'p'), swap); }

TEST(CountPcapng, CountsPacketsOfAllKindsInBothByteOrders) {
  const TempFolder dir;
  for (const bool swap : {false, true}) {
    const std::string text = section(swap) + block(1, std::string(8, 'i'), swap) + packet(swap) + packet(swap, 3) +
                             block(5, std::string(16, 's'), swap) + packet(swap, 2);
    const auto count = count_pcapng(dir.write("f", text));
    ASSERT_TRUE(count);
    EXPECT_EQ(count->frames, 3u);
    EXPECT_TRUE(count->complete);
  }
}

TEST(CountPcapng, ByteOrderMayChangeWithTheSection) {
  const TempFolder dir;
  const auto count = count_pcapng(dir.write("f", section(false) + packet(false) + section(true) + packet(true)));
  ASSERT_TRUE(count);
  EXPECT_EQ(count->frames, 2u);
  EXPECT_TRUE(count->complete);
}

TEST(CountPcapng, WhatAKilledWriterLeftIsCountedUpToTheCut) {
  const TempFolder dir;
  const std::string whole = section(false) + packet(false) + packet(false);
  for (std::size_t cut = 1; cut < packet(false).size(); ++cut) {
    const auto count = count_pcapng(dir.write("f", whole.substr(0, whole.size() - cut)));
    ASSERT_TRUE(count);
    EXPECT_EQ(count->frames, 1u) << cut;
    EXPECT_FALSE(count->complete) << cut;
  }
}

TEST(CountPcapng, SenselessLengthsEndTheCount) {
  const TempFolder dir;
  for (const std::uint32_t length : {0u, 4u, 8u, 11u, 13u, 0xffffffffu, 0xfffffffcu, 0x80000000u}) {
    std::string bad = packet(false);
    bad.replace(4, 4, word(length, false));
    const auto count = count_pcapng(dir.write("f", section(false) + packet(false) + bad + packet(false)));
    ASSERT_TRUE(count);
    EXPECT_EQ(count->frames, 1u) << length;
    EXPECT_FALSE(count->complete) << length;
  }
}

TEST(CountPcapng, OtherFilesAreErrors) {
  const TempFolder dir;
  EXPECT_FALSE(count_pcapng(dir / "gone"));
  EXPECT_FALSE(count_pcapng(dir.write("f", "this is no pcapng file at all")));
  const auto empty = count_pcapng(dir.write("e", ""));
  ASSERT_TRUE(empty);  // a writer killed before its first block
  EXPECT_EQ(empty->frames, 0u);
}

}  // namespace
}  // namespace vigia::orch
