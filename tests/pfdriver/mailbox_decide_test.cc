// SPDX-License-Identifier: Apache-2.0
// Every message in every state that its answer depends on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pfdriver/mailbox_decide.h"

namespace vigia::pf {
namespace {

namespace mbx = hw::ixgbe::mbx;
using mbx::Api;
using mbx::Id;
using mbx::Message;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint32_t kOk = mbx::kSuccess | mbx::kCts, kNo = mbx::kFailure | mbx::kCts;
const hw::Mac kMac = hw::Mac::unpack(0x010000000002), kOther = hw::Mac::unpack(0x020000000002),
              kFree = hw::Mac::unpack(0x090000000002), kGroup = hw::Mac::unpack(0x000000000001);

VfState ready(Api api = Api::v1_0) {
  VfState state;
  state.clear_to_send = state.receive = state.transmit = true;
  state.api = api;
  return state;
}

MailboxPolicy ordinary() {
  MailboxPolicy policy;
  policy.vf.index = 1;
  policy.vf.name = "web";
  policy.foreign_macs = {kOther};
  policy.extra_macs_free = 2;
  return policy;
}

MailboxPolicy assigned() {
  MailboxPolicy policy = ordinary();
  policy.vf.mac = kMac;
  return policy;
}

MailboxPolicy with(MailboxPolicy policy, void (*change)(MailboxPolicy&)) {
  change(policy);
  return policy;
}

Message message(Id id, std::uint32_t argument = 0, std::uint32_t word1 = 0) {
  return Message{mbx::word0(id, argument), word1};
}

Message with_mac(Id id, const hw::Mac& mac, std::uint32_t argument = 0) {
  Message m = message(id, argument);
  mbx::put_mac(m, mac);
  return m;
}

struct Row {
  const char* name;
  Message request;
  VfState state;
  MailboxPolicy policy;
  std::uint32_t flags;  // of the reply
  std::string remark;
  bool programs = false;
};
class Table : public testing::TestWithParam<Row> {};

TEST_P(Table, ReplyRemarkAndAction) {
  const Row& row = GetParam();
  const Decision d = decide(row.request, row.state, row.policy);
  ASSERT_TRUE(d.reply);
  EXPECT_EQ((*d.reply)[0], row.request[0] | row.flags) << std::hex << (*d.reply)[0];
  EXPECT_EQ(d.remark, row.remark);
  EXPECT_EQ(d.actions, row.programs ? std::vector{Action::program} : std::vector<Action>{});
  if (!row.programs && row.flags == kNo) {
    EXPECT_EQ(d.next, row.state) << "a refusal changes nothing";
  }
  if (row.flags == kNo) {
    EXPECT_EQ(d.event, Event::refusal);
  }
}

const auto kTrust = [](MailboxPolicy& p) { p.vf.trust = true; };
const auto kPortVlan = [](MailboxPolicy& p) {
  p.vf.vlan = 100;
  p.vf.port_vlan = true;
};
const auto kJumbo = [](MailboxPolicy& p) { p.port_frame = 9018; };

INSTANTIATE_TEST_SUITE_P(
    Mac, Table,
    testing::Values(
        Row{"Zero", with_mac(Id::set_mac_addr, {}), ready(), ordinary(), kNo,
            "VF 1 (web): SET_MAC_ADDR refused: 00:00:00:00:00:00 is no unicast address"},
        Row{"Group", with_mac(Id::set_mac_addr, kGroup), ready(), ordinary(), kNo,
            "VF 1 (web): SET_MAC_ADDR refused: 01:00:00:00:00:00 is no unicast address"},
        Row{"Foreign", with_mac(Id::set_mac_addr, kOther), ready(), with(ordinary(), kTrust), kNo,
            "VF 1 (web): SET_MAC_ADDR refused: 02:00:00:00:00:02 is another function's address"},
        Row{"AssignedAndUntrusted", with_mac(Id::set_mac_addr, kFree), ready(), assigned(), kNo,
            "VF 1 (web): SET_MAC_ADDR refused: its address is 02:00:00:00:00:01 by configuration and trust is off"},
        Row{"AssignedAndTrusted", with_mac(Id::set_mac_addr, kFree), ready(), with(assigned(), kTrust), kOk,
            "VF 1 (web) uses address 02:00:00:00:00:09", true},
        Row{"TheAssignedOne", with_mac(Id::set_mac_addr, kMac), ready(), assigned(), kOk, "", false},
        Row{"NoneAssigned", with_mac(Id::set_mac_addr, kFree), ready(), ordinary(), kOk,
            "VF 1 (web) uses address 02:00:00:00:00:09", true},
        Row{"MoreOfAnUntrusted", with_mac(Id::set_macvlan, kFree, 1), ready(), assigned(), kNo,
            "VF 1 (web): SET_MACVLAN refused: its address is set by configuration and trust is off"},
        Row{"MoreGroup", with_mac(Id::set_macvlan, kGroup, 1), ready(), ordinary(), kNo,
            "VF 1 (web): SET_MACVLAN refused: 01:00:00:00:00:00 is no unicast address"},
        Row{"MoreForeign", with_mac(Id::set_macvlan, kOther, 2), ready(), ordinary(), kNo,
            "VF 1 (web): SET_MACVLAN refused: 02:00:00:00:00:02 is another function's address"},
        Row{"MoreFull", with_mac(Id::set_macvlan, kFree, 2), ready(),
            with(ordinary(), [](MailboxPolicy& p) { p.extra_macs_free = 0; }), kNo,
            "VF 1 (web): SET_MACVLAN refused: no receive address is free"},
        Row{"More", with_mac(Id::set_macvlan, kFree, 1), ready(), ordinary(), kOk,
            "VF 1 (web) also uses address 02:00:00:00:00:09", true},
        Row{"ClearNone", with_mac(Id::set_macvlan, {}, 0), ready(), assigned(), kOk, "", false}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Vlan, Table,
    testing::Values(
        Row{"PortVlan", message(Id::set_vlan, 1, 5), ready(), with(ordinary(), kPortVlan), kNo,
            "VF 1 (web): SET_VLAN refused: its port VLAN is set by configuration"},
        Row{"Reserved", message(Id::set_vlan, 1, 4095), ready(), ordinary(), kNo,
            "VF 1 (web): SET_VLAN refused: VLAN 4095 is reserved"},
        Row{"MirroredForAnother", message(Id::set_vlan, 1, 5), ready(),
            with(ordinary(), [](MailboxPolicy& p) { p.foreign_vlans = {5}; }), kNo,
            "VF 1 (web): SET_VLAN refused: VLAN 5 is mirrored for another VF, whose tap would copy this VF too"},
        Row{"Full", message(Id::set_vlan, 1, 5), ready(),
            with(ordinary(), [](MailboxPolicy& p) { p.vlan_entry_free = false; }), kNo,
            "VF 1 (web): SET_VLAN refused: all pool VLAN filters are in use"},
        Row{"FullButKnown", message(Id::set_vlan, 1, 5), ready(),
            with(ordinary(),
                 [](MailboxPolicy& p) {
                   p.vlan_entry_free = false;
                   p.known_vlans = {5};
                 }),
            kOk, "", true},
        Row{"RemoveConfigured", message(Id::set_vlan, 0, 7), ready(),
            with(ordinary(), [](MailboxPolicy& p) { p.vf.vlan = 7; }), kNo,
            "VF 1 (web): SET_VLAN refused: VLAN 7 is set by configuration"},
        Row{"AddConfigured", message(Id::set_vlan, 1, 7), ready(),
            with(ordinary(), [](MailboxPolicy& p) { p.vf.vlan = 7; }), kOk, "", false},
        Row{"Add", message(Id::set_vlan, 1, 5), ready(), ordinary(), kOk, "", true},
        Row{"AddZero", message(Id::set_vlan, 1, 0), ready(), ordinary(), kOk, "", true},
        Row{"RemoveZeroSilently", message(Id::set_vlan, 0, 0), ready(), ordinary(), kOk, "", false}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Lpe, Table,
    testing::Values(Row{"JumboOnOrdinaryPort", message(Id::set_lpe, 0, 1519), ready(Api::v1_1), ordinary(), kNo,
                        "VF 1 (web): SET_LPE refused: frames of 1519 bytes on a port with mtu 1500; its receiver is "
                        "off until it asks "
                        "for 1518 or less",
                        true},
                    Row{"OldDriverOnJumboPort", message(Id::set_lpe, 0, 1518), ready(Api::v1_0),
                        with(ordinary(), kJumbo), kNo,
                        "VF 1 (web): SET_LPE refused: the port has frames of 9018 bytes, and a driver of API 1.0 "
                        "cannot take them; its "
                        "receiver is off",
                        true},
                    Row{"TooSmall", message(Id::set_lpe, 0, 85), ready(Api::v1_1), ordinary(), kNo,
                        "VF 1 (web): SET_LPE refused: frames of 85 bytes; the NIC takes 86 to 9728"},
                    Row{"TooLarge", message(Id::set_lpe, 0, 9729), ready(Api::v1_1), with(ordinary(), kJumbo), kNo,
                        "VF 1 (web): SET_LPE refused: frames of 9729 bytes; the NIC takes 86 to 9728"},
                    Row{"Ordinary", message(Id::set_lpe, 0, 1518), ready(Api::v1_0), ordinary(), kOk, "", false},
                    Row{"JumboOnJumboPort", message(Id::set_lpe, 0, 9018), ready(Api::v1_1), with(ordinary(), kJumbo),
                        kOk, "", true}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Queries, Table,
    testing::Values(Row{"QueuesUnder10", message(Id::get_queues), ready(), ordinary(), kNo,
                        "VF 1 (web): GET_QUEUES refused: needs API 1.1"},
                    Row{"Queues", message(Id::get_queues), ready(Api::v1_1), ordinary(), kOk, ""},
                    Row{"RetaUnder11", message(Id::get_reta), ready(Api::v1_1), with(ordinary(), kTrust), kNo,
                        "VF 1 (web): GET_RETA refused: needs API 1.2"},
                    Row{"RetaUntrusted", message(Id::get_reta), ready(Api::v1_2), ordinary(), kNo,
                        "VF 1 (web): GET_RETA refused: RSS table and key are every VF's; trust is off"},
                    Row{"KeyUntrusted", message(Id::get_rss_key), ready(Api::v1_5), ordinary(), kNo,
                        "VF 1 (web): GET_RSS_KEY refused: RSS table and key are every VF's; trust is off"},
                    Row{"RetaTrusted", message(Id::get_reta), ready(Api::v1_2), with(ordinary(), kTrust), kOk, ""},
                    Row{"KeyTrusted", message(Id::get_rss_key), ready(Api::v1_2), with(ordinary(), kTrust), kOk, ""},
                    Row{"LinkUnder11", message(Id::get_link_state), ready(Api::v1_1), ordinary(), kNo,
                        "VF 1 (web): GET_LINK_STATE refused: needs API 1.2"},
                    Row{"Link", message(Id::get_link_state), ready(Api::v1_2), ordinary(), kOk, ""},
                    Row{"IpsecAdd", message(Id::ipsec_add), ready(Api::v1_4), ordinary(), kNo,
                        "VF 1 (web): IPSEC_ADD refused: IPsec offload is not provided"},
                    Row{"IpsecDel", message(Id::ipsec_del), ready(Api::v1_4), ordinary(), kNo,
                        "VF 1 (web): IPSEC_DEL refused: IPsec offload is not provided"},
                    Row{"Unknown", Message{0x77}, ready(Api::v1_5), ordinary(), kNo,
                        "VF 1 (web): unknown refused: message 00000077 is not known"},
                    Row{"ResetWithAnArgument", message(Id::reset, 1), ready(), ordinary(), kNo,
                        "VF 1 (web): RESET refused: message 00010001 is not known"}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Xcast, Table,
    testing::Values(
        Row{"Under11", message(Id::update_xcast_mode, 0, 1), ready(Api::v1_1), ordinary(), kNo,
            "VF 1 (web): UPDATE_XCAST_MODE refused: needs API 1.2"},
        Row{"NoSuchMode", message(Id::update_xcast_mode, 0, 4), ready(Api::v1_3), ordinary(), kNo,
            "VF 1 (web): UPDATE_XCAST_MODE refused: mode 4 does not exist"},
        Row{"PromiscUnder12", message(Id::update_xcast_mode, 0, 3), ready(Api::v1_2), with(ordinary(), kTrust), kNo,
            "VF 1 (web): UPDATE_XCAST_MODE refused: PROMISC needs API 1.3"},
        Row{"PromiscTrusted", message(Id::update_xcast_mode, 0, 3), ready(Api::v1_3), with(ordinary(), kTrust), kNo,
            "VF 1 (web): UPDATE_XCAST_MODE refused: the NIC has no unicast promiscuous mode for VFs; a tap with port: "
            "true "
            "shows a VF the whole port"},
        Row{"PromiscUntrusted", message(Id::update_xcast_mode, 0, 3), ready(Api::v1_3), ordinary(), kOk, "", true},
        Row{"AllmultiUntrusted", message(Id::update_xcast_mode, 0, 2), ready(Api::v1_2), ordinary(), kOk, "", true},
        Row{"AllmultiTrusted", message(Id::update_xcast_mode, 0, 2), ready(Api::v1_2), with(ordinary(), kTrust), kOk,
            "", true},
        Row{"None", message(Id::update_xcast_mode, 0, 0), ready(Api::v1_2), ordinary(), kOk, "", false},
        Row{"TooManyHashes", message(Id::set_multicast, 31), ready(), ordinary(), kNo,
            "VF 1 (web): SET_MULTICAST refused: 31 hashes in a message that holds 30"},
        Row{"Hashes", message(Id::set_multicast, 2, 0x0123'0fff), ready(), ordinary(), kOk, "", true},
        Row{"NoHashes", message(Id::set_multicast, 0), ready(), ordinary(), kOk, "", false}),
    [](const auto& row) { return row.param.name; });

TEST(Mailbox, XcastReplyCarriesTheModeGranted) {
  const auto granted = [](std::uint32_t asked, const MailboxPolicy& policy) {
    const Decision d = decide(message(Id::update_xcast_mode, 0, asked), ready(Api::v1_3), policy);
    EXPECT_EQ(d.words, 2u);
    return std::tuple((*d.reply)[1], d.next.hash_multicast, d.next.all_multicast);
  };
  EXPECT_EQ(granted(0, ordinary()), std::tuple(0u, false, false));
  EXPECT_EQ(granted(1, ordinary()), std::tuple(1u, true, false));
  EXPECT_EQ(granted(2, ordinary()), std::tuple(1u, true, false));
  EXPECT_EQ(granted(3, ordinary()), std::tuple(1u, true, false));
  EXPECT_EQ(granted(2, with(ordinary(), kTrust)), std::tuple(2u, true, true));
  EXPECT_EQ(granted(3, with(ordinary(), [](MailboxPolicy& p) { p.vf.trust = p.unicast_promiscuous = true; })),
            std::tuple(3u, true, true));
}

TEST(Mailbox, EveryVersion) {
  const Api spoken[] = {Api::v1_0, Api::v1_1, Api::v1_2, Api::v1_3, Api::v1_4, Api::v1_5};
  for (const Api api : spoken) {
    const Decision d = decide(message(Id::api_negotiate, 0, static_cast<std::uint32_t>(api)), ready(), ordinary());
    EXPECT_EQ((*d.reply)[0], mbx::word0(Id::api_negotiate) | kOk);
    EXPECT_EQ(d.next.api, api);
  }
  for (const std::uint32_t other : {1u, 7u, 8u, 0xffff'ffffu}) {
    const Decision d = decide(message(Id::api_negotiate, 0, other), ready(Api::v1_1), ordinary());
    EXPECT_EQ((*d.reply)[0], mbx::word0(Id::api_negotiate) | kNo);
    EXPECT_EQ(d.next.api, Api::v1_1);
  }
}

TEST(Mailbox, NothingButResetBeforeReset) {
  for (std::uint32_t id = 2; id < 0x20; ++id) {
    const Decision d = decide(Message{id}, VfState{}, ordinary());
    EXPECT_EQ((*d.reply)[0], id | mbx::kFailure) << "and no CTS";
    EXPECT_EQ(d.next, VfState{});
    EXPECT_THAT(d.actions, IsEmpty());
  }
}

TEST(Mailbox, OurOwnOldReplyIsIgnored) {
  for (const std::uint32_t flag : {mbx::kSuccess, mbx::kFailure}) {
    EXPECT_FALSE(decide(Message{mbx::word0(Id::reset) | flag}, ready(), ordinary()).reply);
    EXPECT_FALSE(decide(Message{mbx::word0(Id::set_lpe) | flag}, VfState{}, ordinary()).reply);
  }
}

TEST(Mailbox, ResetForgetsEverything) {
  VfState state = ready(Api::v1_5);
  state.mac = kFree;
  state.vlans = {1, 2};
  state.extra_macs = {kFree};
  state.multicast = {1};
  state.all_multicast = true;
  const Decision d = decide(message(Id::reset), state, assigned());
  EXPECT_THAT(d.actions, ElementsAre(Action::clear_mailbox, Action::reset_queues, Action::program));
  EXPECT_EQ((*d.reply)[0], 0x8000'0001u) << "no CTS in this one";
  EXPECT_EQ(d.words, 4u);
  EXPECT_EQ(mbx::get_mac(*d.reply), kMac);
  EXPECT_EQ((*d.reply)[3], 0u);
  EXPECT_EQ(d.next, ready());
  EXPECT_EQ(d.event, Event::reset);

  const Decision nameless = decide(message(Id::reset), VfState{}, ordinary());
  EXPECT_EQ((*nameless.reply)[0], 0x4000'0001u);
  EXPECT_EQ((*nameless.reply)[1], 0u);
  EXPECT_TRUE(nameless.next.clear_to_send);
}

TEST(Mailbox, OnAJumboPortTheReceiverWaitsForTheFrameSize) {
  const MailboxPolicy policy = with(ordinary(), kJumbo);
  Decision d = decide(message(Id::reset), VfState{}, policy);
  EXPECT_FALSE(d.next.receive);
  EXPECT_TRUE(d.next.transmit);
  EXPECT_EQ(d.remark, "VF 1 (web) has reset; its receiver stays off until it sets its frame size");
  d = decide(message(Id::api_negotiate, 0, static_cast<std::uint32_t>(Api::v1_1)), d.next, policy);
  d = decide(message(Id::set_lpe, 0, 1518), d.next, policy);
  EXPECT_TRUE(d.next.receive);
}

TEST(Mailbox, MacvlanListStartsAnewAndClears) {
  Decision d = decide(with_mac(Id::set_macvlan, kFree, 1), ready(), ordinary());
  d = decide(with_mac(Id::set_macvlan, hw::Mac::unpack(0x0a0000000002), 2), d.next, ordinary());
  EXPECT_EQ(d.next.extra_macs.size(), 2u);
  const Decision anew = decide(with_mac(Id::set_macvlan, hw::Mac::unpack(0x0b0000000002), 1), d.next, ordinary());
  EXPECT_EQ(anew.next.extra_macs.size(), 1u);
  const Decision refused = decide(with_mac(Id::set_macvlan, kOther, 1), d.next, ordinary());
  EXPECT_EQ(refused.next.extra_macs.size(), 2u);
  const Decision none = decide(with_mac(Id::set_macvlan, {}, 0), d.next, ordinary());
  EXPECT_THAT(none.next.extra_macs, IsEmpty());
}

TEST(Mailbox, RepliesCarryTheirWords) {
  MailboxPolicy policy = with(ordinary(), kPortVlan);
  policy.vf.trust = true;
  policy.queues_per_pool = 2;
  for (unsigned i = 0; i < 128; ++i) policy.reta[i] = static_cast<std::uint8_t>(i % 2);
  for (unsigned i = 0; i < 40; ++i) policy.rss_key[i] = static_cast<std::uint8_t>(i);
  Decision d = decide(message(Id::get_queues), ready(Api::v1_3), policy);
  const mbx::Queues queues = mbx::get_queues(*d.reply);
  EXPECT_EQ(d.words, 5u);
  EXPECT_EQ(queues.tx, 2u);
  EXPECT_EQ(queues.rx, 2u);
  EXPECT_EQ(queues.traffic_classes_or_vlan, 1u);
  d = decide(message(Id::get_reta), ready(Api::v1_3), policy);
  EXPECT_EQ(d.words, 9u);
  EXPECT_EQ(mbx::get_reta(*d.reply), policy.reta);
  d = decide(message(Id::get_rss_key), ready(Api::v1_3), policy);
  EXPECT_EQ(d.words, 11u);
  EXPECT_EQ(mbx::get_rss_key(*d.reply), policy.rss_key);
  d = decide(message(Id::get_link_state), ready(Api::v1_3), policy);
  EXPECT_EQ((*d.reply)[1], 1u);
}

TEST(Mailbox, HashesOfTheMessage) {
  const Decision d = decide(message(Id::set_multicast, 2, 0x0123'0fff), ready(), ordinary());
  EXPECT_THAT(d.next.multicast, ElementsAre(0xfff, 0x123));
  EXPECT_TRUE(d.next.hash_multicast);
}

TEST(Mailbox, FunctionResetAcknowledgementAndPing) {
  const Decision d = decide_reset(ready(Api::v1_5), assigned());
  EXPECT_EQ(d.next, VfState{});
  EXPECT_FALSE(d.reply);
  EXPECT_EQ(d.remark, "VF 1 (web) has been reset; what it was granted is taken back");
  EXPECT_EQ(decide_reset(VfState{}, assigned()).remark, "") << "nothing was lost, nothing to say";

  EXPECT_EQ((*decide_ack(VfState{}))[0], 0x4000'0000u);
  EXPECT_FALSE(decide_ack(ready()));

  EXPECT_EQ(ping(ready(), false)[0], 0x2000'0100u);
  EXPECT_EQ(ping(ready(), true)[0], 0x0000'0100u);
}

}  // namespace
}  // namespace vigia::pf
