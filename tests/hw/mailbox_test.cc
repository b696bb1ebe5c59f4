// SPDX-License-Identifier: Apache-2.0
#include "hw/ixgbe/mailbox.h"

#include <gtest/gtest.h>

namespace vigia::hw::ixgbe::mbx {
namespace {

TEST(Mailbox, MacLiesWithByteZeroInTheLowBitsOfWordOne) {
  Message m{};
  m.fill(0xdeadbeef);
  put_mac(m, Mac{{0x11, 0x22, 0x33, 0x44, 0x55, 0x66}});
  EXPECT_EQ(m[0], 0xdeadbeef);
  EXPECT_EQ(m[1], 0x44332211u);
  EXPECT_EQ(m[2], 0x00006655u);
  EXPECT_EQ(m[3], 0xdeadbeef);
  m[2] |= 0xabcd0000;  // the upper half of word 2 says nothing
  EXPECT_EQ(get_mac(m), (Mac{{0x11, 0x22, 0x33, 0x44, 0x55, 0x66}}));
}

// Computed by hand from bytes 4 and 5: (b4 >> 4) + (b5 << 4) and so on, 12 bits.
struct HashRow {
  const char* mac;
  unsigned mo;
  std::uint16_t hash;
};
constexpr HashRow kHashes[] = {
    {"01:00:5e:00:00:fb", 0, 0xfb0}, {"01:00:5e:00:00:fb", 1, 0xf60}, {"01:00:5e:00:00:fb", 2, 0xec0},
    {"01:00:5e:00:00:fb", 3, 0xb00}, {"33:33:00:01:ab:cd", 0, 0xcda}, {"33:33:00:01:ab:cd", 1, 0x9b5},
    {"33:33:00:01:ab:cd", 2, 0x36a}, {"33:33:00:01:ab:cd", 3, 0xdab}, {"ff:ff:ff:ff:00:00", 0, 0x000},
    {"ff:ff:ff:ff:00:00", 3, 0x000}, {"00:00:00:00:ff:ff", 1, 0xfff}, {"33:33:00:01:ab:cd", 4, 0xcda},
};

TEST(Mailbox, MulticastHash) {
  for (const HashRow& row : kHashes) {
    EXPECT_EQ(multicast_hash(*Mac::parse(row.mac), row.mo), row.hash) << row.mac << " MO " << row.mo;
  }
}

TEST(Mailbox, MulticastHashesAreSixteenBitsEachFromWordOne) {
  Message m{};
  m.fill(0xffffffff);
  put_multicast_hash(m, 0, 0x0123);
  put_multicast_hash(m, 1, 0x0456);
  put_multicast_hash(m, 29, 0x0fff);
  EXPECT_EQ(m[1], 0x04560123u);
  EXPECT_EQ(m[15], 0x0fffffffu);
  EXPECT_EQ(multicast_hash_at(m, 0), 0x0123);
  EXPECT_EQ(multicast_hash_at(m, 1), 0x0456);
  EXPECT_EQ(multicast_hash_at(m, 29), 0x0fff);
  EXPECT_DEATH(multicast_hash_at(m, 30), "invariant");
}

TEST(Mailbox, MulticastCountNeverExceedsTheMessage) {
  for (const auto& [argument, count] : {std::pair{0u, 0u}, {1u, 1u}, {30u, 30u}, {31u, 30u}, {255u, 30u}}) {
    Message m{word0(Id::set_multicast, argument)};
    EXPECT_EQ(multicast_count(m), count);
  }
}

TEST(Mailbox, WordZero) {
  EXPECT_EQ(word0(Id::set_vlan, 1), 0x00010004u);
  EXPECT_EQ(word0(Id::set_macvlan, 0x1ff), 0x00ff0006u) << "an argument has 8 bits";
  EXPECT_EQ(id_of(kSuccess | kCts | word0(Id::set_vlan, 1)), Id::set_vlan);
  EXPECT_EQ(argument_of(kSuccess | kCts | word0(Id::set_vlan, 1)), 1u);
}

TEST(Mailbox, Queues) {
  Message m{};
  put_queues(m, {2, 4, 1, 3});
  EXPECT_EQ((std::array{m[1], m[2], m[3], m[4]}), (std::array{2u, 4u, 1u, 3u})) << "Tx first";
  const Queues q = get_queues(m);
  EXPECT_EQ((std::array{q.tx, q.rx, q.traffic_classes_or_vlan, q.default_queue}), (std::array{2u, 4u, 1u, 3u}));
}

TEST(Mailbox, RetaEntriesAreTwoBitsEachEntryZeroLowest) {
  std::array<std::uint8_t, 128> entries{};
  entries[0] = 1;
  entries[1] = 2;
  entries[15] = 3;
  entries[16] = 3;
  entries[127] = 2;
  entries[2] = 7;  // only two bits fit
  Message m{};
  m.fill(0xffffffff);
  put_reta(m, entries);
  EXPECT_EQ(m[1], 0xc0000039u);  // 3 << 30 | 3 << 4 | 2 << 2 | 1
  EXPECT_EQ(m[2], 0x00000003u);
  EXPECT_EQ(m[8], 0x80000000u);
  EXPECT_EQ(m[9], 0xffffffffu) << "word 9 is not the table's";
  entries[2] = 3;
  EXPECT_EQ(get_reta(m), entries);
}

TEST(Mailbox, RssKeyBytesInOrderFromWordOne) {
  std::array<std::uint8_t, 40> key{};
  for (unsigned i = 0; i < 40; ++i) key[i] = static_cast<std::uint8_t>(i + 1);
  Message m{};
  m.fill(0xffffffff);
  put_rss_key(m, key);
  EXPECT_EQ(m[1], 0x04030201u);
  EXPECT_EQ(m[10], 0x28272625u);
  EXPECT_EQ(m[11], 0xffffffffu);
  EXPECT_EQ(get_rss_key(m), key);
}

TEST(Mailbox, ApiOrderIsNotTheOrderOfTheIndex) {
  EXPECT_TRUE(at_least(Api::v1_2, Api::v1_1));
  EXPECT_TRUE(at_least(Api::v1_1, Api::v1_1));
  EXPECT_FALSE(at_least(Api::v1_0, Api::v1_1));
  EXPECT_FALSE(at_least(Api::v2_0, Api::v1_0));
  EXPECT_EQ(text_of(Api::v1_1), "1.1");
  EXPECT_EQ(text_of(Api::v1_5), "1.5");
  EXPECT_EQ(text_of(static_cast<Api>(7)), "unknown");
}

TEST(Mailbox, Names) {
  EXPECT_EQ(name_of(Id::set_lpe), "SET_LPE");
  EXPECT_EQ(name_of(Id::get_link_state), "GET_LINK_STATE");
  EXPECT_EQ(name_of(static_cast<Id>(0x77)), "unknown");
}

}  // namespace
}  // namespace vigia::hw::ixgbe::mbx
