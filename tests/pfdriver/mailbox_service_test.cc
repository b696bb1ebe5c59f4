// SPDX-License-Identifier: Apache-2.0
#include "pfdriver/mailbox_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/pfdriver/fake_nic.h"

namespace vigia::pf {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace mbx = hw::ixgbe::mbx;
namespace reg = hw::ixgbe::pf;

class Host final : public VfHost {
 public:
  MailboxPolicy policy(unsigned vf) const override {
    MailboxPolicy policy;
    policy.vf.index = vf;
    return policy;
  }
  const VfState& state(unsigned vf) const override { return states[vf]; }
  Result<Done> set_state(unsigned vf, const VfState& next, bool program) override {
    if (program && fail) return work_error("write VFRE: read back 0");
    states[vf] = next;
    programmed += program ? 1 : 0;
    return Done{};
  }
  void remark(unsigned, Event, const std::string& text) override { remarks.push_back(text); }
  void wants_promiscuous(unsigned vf, bool wanted) override { promiscuous[vf] = wanted; }

  std::vector<VfState> states = std::vector<VfState>(20);
  std::vector<std::string> remarks;
  std::map<unsigned, bool> promiscuous;
  int programmed = 0;
  bool fail = false;
};

class Service : public testing::Test {
 protected:
  void pass(milliseconds later = milliseconds(0)) { service_.service(now_ += later); }
  // What the VF reads; fails when nothing is there.
  mbx::Message reply(unsigned vf) {
    EXPECT_TRUE(nic_.vf_has_message(vf));
    return nic_.vf_reads(vf);
  }
  void reset(unsigned vf) {
    nic_.vf_sends(vf, {mbx::word0(mbx::Id::reset)});
    pass();
    (void)reply(vf);
    nic_.vf_acks(vf);
    pass();
  }

  test::FakeNic nic_;
  Host host_;
  MailboxService service_{nic_.bar(), host_, 20, 4};
  MailboxService::Clock::time_point now_ = MailboxService::Clock::now();
};

TEST_F(Service, AnswersRequestsOfEveryVfInOnePass) {
  for (const unsigned vf : {0u, 15u, 16u, 19u}) nic_.vf_sends(vf, {mbx::word0(mbx::Id::reset)});
  pass();
  for (const unsigned vf : {0u, 15u, 16u, 19u}) {
    EXPECT_TRUE(nic_.vf_was_acked(vf));
    EXPECT_EQ(reply(vf)[0], 0x4000'0001u);
    EXPECT_TRUE(host_.states[vf].clear_to_send);
  }
  EXPECT_FALSE(nic_.vf_has_message(1));
  EXPECT_FALSE(service_.pending());
}

TEST_F(Service, VfsThatDoNotExistAreIgnored) {
  nic_.vf_sends(30, {mbx::word0(mbx::Id::reset)});
  pass();
  EXPECT_FALSE(nic_.vf_has_message(30));
}

// A driver of API 1.5 keeps the lock until it has seen our acknowledgement.
TEST_F(Service, ReplyWaitsUntilTheVfLetsGo) {
  nic_.vf_takes_lock(3, true);
  nic_.vf_sends(3, {mbx::word0(mbx::Id::reset)});
  pass();
  EXPECT_TRUE(nic_.vf_was_acked(3));
  EXPECT_FALSE(nic_.vf_has_message(3));
  EXPECT_TRUE(service_.pending());
  nic_.vf_takes_lock(3, false);
  pass(milliseconds(1));
  EXPECT_EQ(reply(3)[0], 0x4000'0001u);
  EXPECT_FALSE(service_.pending());
}

TEST_F(Service, AVfThatNeverLetsGoLosesTheLock) {
  nic_.vf_takes_lock(3, true);
  nic_.vf_sends(3, {mbx::word0(mbx::Id::reset)});
  pass();
  pass(milliseconds(99));
  EXPECT_FALSE(nic_.vf_has_message(3));
  pass(milliseconds(2));
  EXPECT_EQ(reply(3)[0], 0x4000'0001u);
  EXPECT_THAT(host_.remarks, testing::Contains(HasSubstr("the lock has been taken from it")));
}

TEST_F(Service, AnAcknowledgementWithoutResetIsAnsweredOnce) {
  nic_.vf_acks(2);
  pass();
  EXPECT_EQ(reply(2)[0], 0x4000'0000u);
  for (int i = 0; i < 3; ++i) {
    nic_.vf_acks(2);
    pass();
    EXPECT_FALSE(nic_.vf_has_message(2)) << "or the two would talk for ever";
  }
  reset(2);
  nic_.vf_acks(2);
  pass();
  EXPECT_FALSE(nic_.vf_has_message(2));
}

TEST_F(Service, AResetIsServedBeforeTheRequestThatFollowedIt) {
  reset(5);
  host_.states[5].vlans = {7};
  nic_.vf_resets(5);
  nic_.vf_sends(5, {mbx::word0(mbx::Id::reset)});
  pass();
  EXPECT_EQ(reply(5)[0], 0x4000'0001u) << "the words of the request were not cleared away";
  EXPECT_TRUE(host_.states[5].clear_to_send);
  EXPECT_THAT(host_.states[5].vlans, IsEmpty());
  EXPECT_EQ(nic_.get(reg::PFVFLRE.at(0)), 0u);
}

TEST_F(Service, AResetAloneClearsStateMailboxAndWriteBackAddress) {
  reset(1);
  nic_.set(reg::TDWBAL.at(4), 0x1001);
  nic_.set(reg::PFMBMEM.at(16 + 9), 0x5ec7e7);
  nic_.vf_resets(1);
  pass();
  EXPECT_EQ(host_.states[1], VfState{});
  EXPECT_EQ(nic_.get(reg::TDWBAL.at(4)), 0u);
  EXPECT_EQ(nic_.get(reg::PFMBMEM.at(16 + 9)), 0u);
  EXPECT_FALSE(nic_.vf_has_message(1));
}

TEST_F(Service, AVfThatIsWritingKeepsItsWords) {
  reset(1);
  nic_.vf_takes_lock(1, true);
  nic_.set(reg::PFMBMEM.at(16), 1);
  nic_.vf_resets(1);
  pass();
  EXPECT_EQ(nic_.get(reg::PFMBMEM.at(16)), 1u);
}

TEST_F(Service, RegistersThatDoNotStickRefuseTheRequest) {
  host_.fail = true;
  nic_.vf_sends(0, {mbx::word0(mbx::Id::reset)});
  pass();
  EXPECT_EQ(reply(0)[0], 0x4000'0001u);
  EXPECT_FALSE(host_.states[0].clear_to_send);
  EXPECT_THAT(host_.remarks, testing::Contains("write VFRE: read back 0"));
}

TEST_F(Service, Pings) {
  reset(0);
  service_.ping_all(false, now_);
  EXPECT_EQ(reply(0)[0], 0x2000'0100u);
  EXPECT_FALSE(nic_.vf_has_message(7)) << "it has to reset, and has been told by other means";
  service_.ping_all(false, now_);
  EXPECT_FALSE(nic_.vf_has_message(0)) << "the last one has not been acknowledged";
  nic_.vf_acks(0);
  pass();
  EXPECT_EQ(reply(0)[0], 0x2000'0100u);
  service_.ping_all(true, now_);
  EXPECT_EQ(reply(0)[0], 0x0000'0100u) << "the last one of all waits for nothing";
}

// What a driver of API 1.5 needs, which looks for a message when it sees RSTD and at no other time.
TEST_F(Service, EveryVfIsToldToResetBeforeThePfIsAnnounced) {
  reset(5);
  nic_.written.clear();
  service_.announce_pf(now_);
  for (const unsigned vf : {0u, 7u, 19u}) EXPECT_EQ(reply(vf)[0], 0x4000'0000u);
  EXPECT_FALSE(nic_.vf_has_message(5)) << "it has reset already";
  const auto told = std::find(nic_.written.rbegin(), nic_.written.rend(), reg::PFMAILBOX.at(19));
  const auto raised = std::find(nic_.written.rbegin(), nic_.written.rend(), reg::CTRL_EXT.at());
  EXPECT_LT(raised - nic_.written.rbegin(), told - nic_.written.rbegin());
  EXPECT_NE(nic_.get(reg::CTRL_EXT.at()) & hw::ixgbe::CtrlExt::pfrstd, 0u);
  nic_.vf_acks(7);
  pass();
  EXPECT_FALSE(nic_.vf_has_message(7));
}

TEST_F(Service, APingLeavesWhatAVfWasToldByTheAnnouncement) {
  service_.announce_pf(now_);
  service_.ping_all(false, now_);
  pass(milliseconds(1100));
  EXPECT_EQ(reply(7)[0], 0x4000'0000u);
}

TEST_F(Service, AVfThatHeardOfThePfAndDidNotResetIsRemindedOnce) {
  service_.announce_pf(now_);
  (void)reply(2);
  nic_.vf_acks(2);
  pass(milliseconds(11'900));
  EXPECT_FALSE(nic_.vf_has_message(2));
  nic_.written.clear();
  pass(milliseconds(200));
  EXPECT_EQ(reply(2)[0], 0x4000'0000u);
  EXPECT_THAT(nic_.written, testing::Contains(reg::CTRL_EXT.at()));
  nic_.vf_acks(2);
  nic_.written.clear();
  pass(milliseconds(60'000));
  EXPECT_FALSE(nic_.vf_has_message(2)) << "or it could make the others reset for ever";
  EXPECT_THAT(nic_.written, testing::Not(testing::Contains(reg::CTRL_EXT.at())));
}

TEST_F(Service, NobodyIsRemindedForVfsThatWereNeverHeardOrHaveReset) {
  service_.announce_pf(now_);
  reset(3);
  nic_.written.clear();
  pass(milliseconds(13'000));
  EXPECT_THAT(nic_.written, testing::Not(testing::Contains(reg::CTRL_EXT.at())));
}

TEST_F(Service, AnUnreadMessageIsOverwrittenAfterASecond) {
  reset(0);
  service_.ping_all(false, now_);
  (void)reply(0);
  service_.ping_all(false, now_);
  pass(milliseconds(900));
  EXPECT_FALSE(nic_.vf_has_message(0));
  pass(milliseconds(200));
  EXPECT_TRUE(nic_.vf_has_message(0));
}

TEST_F(Service, APingNeverOverwritesARequest) {
  reset(0);
  nic_.vf_sends(0, {mbx::word0(mbx::Id::set_lpe), 1518});
  service_.ping_all(false, now_);
  EXPECT_FALSE(nic_.vf_has_message(0));
  pass();
  EXPECT_EQ(reply(0)[0], 0xa000'0005u);
}

TEST_F(Service, AVfThatHoldsTheLockMissesAPing) {
  reset(0);
  nic_.vf_takes_lock(0, true);
  service_.ping_all(false, now_);
  EXPECT_TRUE(service_.pending());
  pass(milliseconds(200));
  EXPECT_FALSE(service_.pending());
  EXPECT_FALSE(nic_.vf_has_message(0));
}

TEST_F(Service, AFloodCostsOneRequestAPass) {
  reset(0);
  reset(1);
  for (int i = 0; i < 1000; ++i) {
    nic_.vf_sends(0, {0xffff'ffff & ~(mbx::kSuccess | mbx::kFailure)});
    if (i == 500) nic_.vf_sends(1, {mbx::word0(mbx::Id::set_lpe), 1518});
    const auto before = nic_.written.size();
    pass();
    EXPECT_LT(nic_.written.size() - before, 20u);
    if (i == 500) {
      EXPECT_EQ(reply(1)[0], 0xa000'0005u);
    }
  }
}

TEST_F(Service, AMulticastListIsReadWhole) {
  reset(0);
  mbx::Message m{mbx::word0(mbx::Id::set_multicast, 30)};
  for (unsigned i = 0; i < 30; ++i) mbx::put_multicast_hash(m, i, static_cast<std::uint16_t>(100 + i));
  m[0] = mbx::word0(mbx::Id::set_multicast, 30);
  nic_.vf_sends(0, m);
  pass();
  ASSERT_EQ(host_.states[0].multicast.size(), 30u);
  EXPECT_EQ(host_.states[0].multicast[29], 129);
}

}  // namespace
}  // namespace vigia::pf
