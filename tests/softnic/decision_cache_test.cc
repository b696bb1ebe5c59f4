// SPDX-License-Identifier: Apache-2.0
#include "softnic/decision_cache.h"

#include <gtest/gtest.h>

#include <random>

namespace vigia::softnic {
namespace {

FilterTables random_tables(std::mt19937& random) {
  FilterTables t;
  const auto coin = [&] { return random() % 2 == 0; };
  t.vt = true;
  t.replication = coin();
  t.fctrl_upe = coin();
  t.fctrl_bam = coin();
  t.vlan_filter = coin();
  t.max_frame = coin() ? 1518 : 60;
  t.receive_enable = random();
  t.aupe = random();
  t.bam = random();
  for (auto& word : t.vfta) word = static_cast<std::uint32_t>(random());
  for (unsigned i = 0; i < 8; ++i) t.rar[i] = {true, 2 * i, PoolMask{1} << i};
  for (unsigned i = 0; i < 4; ++i) t.vlvf[i] = {true, static_cast<std::uint16_t>(i), random()};
  if (coin()) t.etqf[0] = {true, true, 0x88f7, 3};
  if (coin()) t.mirror[0] = {true, false, false, false, 9, random(), 0};
  t.index();
  return t;
}

L2Key random_frame(std::mt19937& random) {
  L2Key frame;
  frame.destination = random() % 16;  // half of them multicast
  frame.source = random();
  frame.ethertype = random() % 4 == 0 ? 0x88f7 : 0x0800;
  frame.tagged = random() % 2 == 0;
  frame.tci = frame.tagged ? static_cast<std::uint16_t>(random() % 8 | (random() % 2) << 12) : std::uint16_t{0};
  constexpr std::uint32_t lengths[] = {0, 13, 55, 56, 57, 59, 60, 61, 1513, 1514, 1515, 1518, 1519, 9000};
  frame.length = lengths[random() % std::size(lengths)];
  return frame;
}

// The cache is right when nobody can tell that it is there.
TEST(DecisionCache, AnswersAsTheSwitchDoes) {
  std::mt19937 random(1);
  DecisionCache cache;
  for (unsigned round = 0; round < 50; ++round) {
    const FilterTables tables = random_tables(random);
    cache.forget();
    for (unsigned i = 0; i < 2000; ++i) {
      const L2Key frame = random_frame(random);
      const Selection want = select_from_network(tables, frame);
      const Selection& got = cache.from_network(tables, frame);
      ASSERT_TRUE(got.verdict == want.verdict && got.pools == want.pools && got.mirrored == want.mirrored &&
                  got.rules == want.rules && got.inexact == want.inexact)
          << "round " << round << ", frame " << i << ": to " << frame.destination << ", type " << frame.ethertype
          << ", tag " << frame.tagged << " " << frame.tci << ", " << frame.length << " bytes";
    }
  }
}

}  // namespace
}  // namespace vigia::softnic
