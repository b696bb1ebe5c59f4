// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ixgbevf/mailbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/vfdriver/fake_vf.h"

namespace vigia::vf::ixgbevf {
namespace {

using namespace std::chrono_literals;
using mbx::Id;
using test::FakeVf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Mailbox::Timing kQuick{.limit = 20ms, .step = 50us};

struct Rig {
  FakeVf vf;
  hw::Bar bar{test::reg::kBarSize, vf};
  Mailbox mailbox{bar, "fake:vf0", kQuick};

  void begin() { ASSERT_TRUE(mailbox.reset()); }
};

// How an error reads: code and text.
template <class T>
void expect_error(const Result<T>& r, std::errc code, const std::string& part) {
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, code) << r.error().text;
  EXPECT_THAT(r.error().text, HasSubstr(part));
  EXPECT_THAT(r.error().text, HasSubstr("fake:vf0"));
}

TEST(Judge, ReadsEveryKindOfWordZero) {
  struct Row {
    const char* what;
    std::uint32_t word0;
    Id expected;
    Verdict verdict;
  };
  const Row rows[] = {
      {"reply, yes", 0xA0000005, Id::set_lpe, Verdict::granted},
      {"reply, no", 0x60000005, Id::set_lpe, Verdict::refused},
      {"reply without CTS", 0x40000005, Id::set_lpe, Verdict::reset_needed},
      {"yes without CTS", 0x80000005, Id::set_lpe, Verdict::reset_needed},
      {"our own request", 0x00000005, Id::set_lpe, Verdict::broken},
      {"both flags", 0xE0000005, Id::set_lpe, Verdict::broken},
      {"reply with argument", 0xA0010004, Id::set_vlan, Verdict::granted},
      {"reply to something else", 0xA0000002, Id::set_lpe, Verdict::unrelated},
      {"ping", 0x20000100, Id::set_lpe, Verdict::ping},
      {"ping without CTS", 0x00000100, Id::set_lpe, Verdict::reset_needed},
      {"NACK", 0x40000000, Id::set_lpe, Verdict::reset_needed},
      {"reset, address assigned", 0x80000001, Id::reset, Verdict::granted},
      {"reset, no address", 0x40000001, Id::reset, Verdict::refused},
      {"reset with CTS", 0xA0000001, Id::reset, Verdict::broken},
      {"reset with argument", 0x80010001, Id::reset, Verdict::broken},
      {"reset, no flags", 0x00000001, Id::reset, Verdict::broken},
      {"NACK while resetting", 0x40000000, Id::reset, Verdict::unrelated},
      {"ping without CTS while resetting", 0x00000100, Id::reset, Verdict::unrelated},
      {"old reply while resetting", 0xA0000005, Id::reset, Verdict::unrelated},
  };
  for (const Row& row : rows) EXPECT_EQ(judge(row.word0, row.expected), row.verdict) << row.what;
}

TEST(Mailbox, SilentPfIsToldByItsDeadline) {
  Rig rig;
  rig.vf.pf.acknowledges = false;
  const auto begin = std::chrono::steady_clock::now();
  expect_error(rig.mailbox.reset(), std::errc::timed_out, "acknowledgement (PFACK): not seen within 20 ms");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
}

TEST(Mailbox, PfThatNeverReplies) {
  Rig rig;
  rig.vf.pf.replies = false;
  expect_error(rig.mailbox.reset(), std::errc::timed_out, "reply (PFSTS): not seen within 20 ms");
}

TEST(Mailbox, PfThatNeverLetsGoOfTheBuffer) {
  Rig rig;
  rig.vf.pf.holds_lock = true;
  expect_error(rig.mailbox.reset(), std::errc::timed_out, "mailbox lock (VFU)");
}

TEST(Mailbox, PfThatTalksButNeverReplies) {
  Rig rig;
  rig.begin();
  rig.vf.pf.replies = false;
  // More pings than fit the limit.
  for (int i = 0; i < 100'000; ++i) rig.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl | mbx::kCts});
  expect_error(rig.mailbox.set_max_frame(1518), std::errc::timed_out, "no reply to this one");
}

TEST(Mailbox, DeviceThatIsGone) {
  Rig rig;
  rig.vf.gone = true;
  expect_error(rig.mailbox.reset(), std::errc::no_such_device, "the device is gone");
  EXPECT_TRUE(rig.mailbox.pf_in_reset());
}

TEST(Mailbox, PfGoesIntoResetWhileWeWait) {
  Rig rig;
  rig.begin();
  rig.vf.pf.acknowledges = false;
  rig.vf.rsti = true;
  expect_error(rig.mailbox.set_max_frame(1518), std::errc::connection_reset, "the PF went into reset");
}

TEST(Mailbox, PfThatForgotUsIsNotARefusal) {
  Rig rig;
  rig.begin();
  rig.vf.pf.clear_to_send = false;
  expect_error(rig.mailbox.set_max_frame(1518), std::errc::connection_reset, "0x40000005");
}

TEST(Mailbox, NonsenseAnswer) {
  Rig rig;
  rig.vf.pf.instead[Id::reset] = [](const auto&) { return mbx::Message{0xA0000001}; };
  expect_error(rig.mailbox.reset(), std::errc::protocol_error, "0xa0000001, which is no reply");
}

TEST(Mailbox, RefusalNamesWhatWasAsked) {
  Rig rig;
  rig.begin();
  for (const Id id : {Id::set_lpe, Id::set_mac_addr, Id::set_vlan, Id::update_xcast_mode, Id::get_reta}) {
    rig.vf.pf.refuses[id] = true;
  }
  const auto no = std::errc::operation_not_permitted;
  expect_error(rig.mailbox.set_max_frame(9000), no, "frames of 9000 bytes");
  expect_error(rig.mailbox.set_mac(hw::Mac{{2, 0, 0, 0, 0, 9}}), no, "02:00:00:00:00:09");
  expect_error(rig.mailbox.set_vlan(7, true), no, "joining VLAN 7");
  expect_error(rig.mailbox.set_vlan(7, false), no, "leaving VLAN 7");
  expect_error(rig.mailbox.set_multicast_mode(mbx::Xcast::allmulti), no, "multicast mode 2");
  expect_error(rig.mailbox.reta(), no, "RSS table");
}

TEST(Mailbox, ModeThatDoesNotExist) {
  Rig rig;
  rig.begin();
  rig.vf.pf.instead[Id::update_xcast_mode] = [](const auto& m) {
    return mbx::Message{m[0] | mbx::kCts | mbx::kSuccess, 4};
  };
  expect_error(rig.mailbox.set_multicast_mode(mbx::Xcast::multi), std::errc::protocol_error, "mode 4");
}

TEST(Mailbox, ResetTellsTheAddress) {
  Rig rig;
  rig.vf.pf.instead[Id::reset] = [](const auto&) {
    return mbx::Message{0x80000001, 0x03020100, 0xffff0504, 2};  // rubbish above the address
  };
  const auto reply = rig.mailbox.reset();
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->mac_assigned);
  EXPECT_EQ(reply->mac, (hw::Mac{{0, 1, 2, 3, 4, 5}}));
  EXPECT_EQ(reply->multicast_type, 2u);
}

TEST(Mailbox, NegotiatesTheHighestCommonVersion) {
  using mbx::Api;
  for (const Api highest : {Api::v1_0, Api::v1_1, Api::v1_2, Api::v1_3, Api::v1_4, Api::v1_5}) {
    Rig rig;
    rig.vf.pf.highest = highest;
    rig.begin();
    const auto got = rig.mailbox.negotiate();
    ASSERT_TRUE(got) << got.error().text;
    EXPECT_EQ(*got, highest);
    ASSERT_TRUE(rig.mailbox.set_max_frame(1518));
    EXPECT_EQ(rig.vf.keeps_lock_seen(), highest == Api::v1_5) << "handshake style of " << mbx::text_of(highest);
    EXPECT_THAT(rig.vf.violations, IsEmpty());
    rig.mailbox.forget();
    EXPECT_EQ(rig.mailbox.api(), Api::v1_0);
  }
}

TEST(Mailbox, PfWithoutAnyVersionLeavesOneZero) {
  Rig rig;
  rig.vf.pf.knows_any_api = false;
  rig.begin();
  const auto got = rig.mailbox.negotiate();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, mbx::Api::v1_0);
  std::vector<std::uint32_t> tried;
  for (const auto& m : rig.vf.pf.heard) {
    if (mbx::id_of(m[0]) == Id::api_negotiate) tried.push_back(m[1]);
  }
  EXPECT_EQ(tried, (std::vector<std::uint32_t>{6, 5, 4, 3, 2, 0}));
}

class BothStyles : public ::testing::TestWithParam<mbx::Api> {
 protected:
  void SetUp() override {
    rig.vf.pf.highest = GetParam();
    rig.begin();
    ASSERT_TRUE(rig.mailbox.negotiate());
  }
  Rig rig;
};
INSTANTIATE_TEST_SUITE_P(Mailbox, BothStyles, ::testing::Values(mbx::Api::v1_4, mbx::Api::v1_5));

TEST_P(BothStyles, PingBeforeTheReplyIsNotTheReply) {
  rig.vf.pf.instead[Id::get_queues] = [&](const auto& m) {
    rig.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl | mbx::kCts});  // goes out first
    mbx::Message reply{m[0] | mbx::kCts | mbx::kSuccess};
    mbx::put_queues(reply, {4, 4, 0, 0});
    return reply;
  };
  const auto queues = rig.mailbox.get_queues();
  ASSERT_TRUE(queues) << queues.error().text;
  EXPECT_EQ(queues->rx, 4u);
}

TEST_P(BothStyles, UnreadPingDoesNotGetInTheWay) {
  rig.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl | mbx::kCts});
  const unsigned before = rig.vf.acks();
  ASSERT_TRUE(rig.mailbox.set_max_frame(1518));
  ASSERT_TRUE(rig.mailbox.set_max_frame(1518));
  EXPECT_EQ(rig.vf.acks(), before + 3) << "every message from the PF is acknowledged, the ping too";
  EXPECT_THAT(rig.vf.violations, IsEmpty());
}

TEST_P(BothStyles, PollReadsPingsAndSignsOfRestart) {
  EXPECT_EQ(rig.mailbox.poll(), Verdict::unrelated);
  rig.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl | mbx::kCts});
  EXPECT_EQ(rig.mailbox.poll(), Verdict::ping);
  EXPECT_EQ(rig.mailbox.poll(), Verdict::unrelated);
  for (const std::uint32_t word0 : {mbx::kPfControl, mbx::kFailure}) {
    rig.vf.pf.outbox.push_back(mbx::Message{word0});
    EXPECT_EQ(rig.mailbox.poll(), Verdict::reset_needed) << word0;
  }
  rig.vf.rsti = true;
  EXPECT_EQ(rig.mailbox.poll(), Verdict::reset_needed);
  rig.vf.rsti = false;
  EXPECT_EQ(rig.mailbox.poll(), Verdict::unrelated);
  rig.vf.set_rstd();
  EXPECT_EQ(rig.mailbox.poll(), Verdict::reset_needed) << "the PF came back between two looks";
}

TEST_P(BothStyles, RestartSeenInPassingIsNotForgotten) {
  rig.vf.set_rstd();
  ASSERT_TRUE(rig.mailbox.set_max_frame(1518));  // reads VFMAILBOX, which clears RSTD in the device
  EXPECT_EQ(rig.mailbox.poll(), Verdict::reset_needed);
}

TEST(Mailbox, PollLeavesTheMessageToAPfThatHoldsTheBuffer) {
  Rig rig;
  rig.begin();
  rig.vf.pf.outbox.push_back(mbx::Message{mbx::kPfControl | mbx::kCts});
  rig.vf.pf.holds_lock = true;
  EXPECT_EQ(rig.mailbox.poll(), Verdict::unrelated);
  rig.vf.pf.holds_lock = false;
  EXPECT_EQ(rig.mailbox.poll(), Verdict::ping);
}

TEST(Mailbox, ResetSwallowsTheOldRstd) {
  Rig rig;
  rig.vf.rsti = true;
  EXPECT_TRUE(rig.mailbox.pf_in_reset());
  rig.vf.rsti = false;
  rig.vf.set_rstd();
  EXPECT_FALSE(rig.mailbox.pf_in_reset());
  EXPECT_EQ(rig.mailbox.poll(), Verdict::unrelated);
}

TEST(Mailbox, NackForAnOldMessageDoesNotFailTheReset) {
  Rig rig;
  rig.vf.pf.outbox.push_back(mbx::Message{mbx::kFailure});
  rig.vf.pf.outbox.push_back(mbx::Message{mbx::kFailure});
  const auto reply = rig.mailbox.reset();
  EXPECT_TRUE(reply) << reply.error().text;
}

TEST(Mailbox, LateAcknowledgementIsNotTheNextOnes) {
  Rig rig;
  rig.begin();
  rig.vf.pf.acknowledges = false;
  EXPECT_FALSE(rig.mailbox.set_max_frame(1518));
  // The PF wakes up: acknowledges and answers the old request, then sees the new one.
  rig.vf.pf.acknowledges = true;
  rig.vf.pf.queues = 4;
  const auto queues = rig.mailbox.get_queues();
  ASSERT_TRUE(queues) << queues.error().text;
  EXPECT_EQ(queues->rx, 4u);
}

}  // namespace
}  // namespace vigia::vf::ixgbevf
