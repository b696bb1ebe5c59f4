// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "pfdriver/apply.h"
#include "pfdriver/bring_up.h"
#include "pfdriver/plan.h"
#include "tests/pfdriver/fake_nic.h"

namespace vigia::pf {
namespace {

using testing::HasSubstr;
namespace reg = hw::ixgbe::pf;

class ApplyTest : public testing::Test {
 protected:
  ApplyTest() {
    char name[] = "/tmp/vigia-pf-XXXXXX";
    folder_ = ::mkdtemp(name);
    config_ = complete(*parse_config("pf:\n  vfs: 4\n  taps:\n    - {name: t, from: [0], to: 3}\n", "pf.yaml"));
    start(nic_);
  }
  ~ApplyTest() override { std::filesystem::remove_all(folder_); }

  // As bring-up and the config without taps leave it.
  void start(test::FakeNic& nic) {
    Port port{nic, nic.bar(), capabilities_82599(), config_};
    ASSERT_TRUE(bring_up(port));
    ASSERT_TRUE(apply_changes(nic.bar(), changes_to(nic, without_taps(config_))));
    announce(nic.bar());
  }
  std::vector<Change> changes_to(test::FakeNic& nic, const PfConfig& config) {
    return make_plan(capabilities_82599(), config, {read_image(nic.bar()), {}, {}}).changes;
  }

  std::filesystem::path folder_;
  PfConfig config_;
  test::FakeNic nic_;
};

TEST_F(ApplyTest, AWriteThatDoesNotStickIsNamedAndTakenBack) {
  const Image before = read_image(nic_.bar());
  nic_.swallow = reg::PFMRCTL.at(0);
  const auto changes = changes_to(nic_, config_);
  ASSERT_EQ(changes.size(), 2u);
  const auto result = apply_changes(nic_.bar(), changes);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().exit_status(), 1);
  EXPECT_EQ(result.error().text,
            "write PFMRCTL[0] (types and destination of a mirror rule): wrote 00000301, read back 00000000; is another "
            "driver on this port, or has the device been reset?; the 1 writes before it have been taken back");
  EXPECT_EQ(read_image(nic_.bar()), before);
}

TEST_F(ApplyTest, IsIdempotentAndControlIsWrittenLast) {
  const auto changes = changes_to(nic_, config_);
  ASSERT_TRUE(apply_changes(nic_.bar(), changes));
  EXPECT_EQ(nic_.written.back(), reg::PFMRCTL.at(0));
  EXPECT_EQ(nic_.get(reg::PFMRCTL.at(0)), 0x301u);
  EXPECT_TRUE(changes_to(nic_, config_).empty());
  EXPECT_TRUE(apply_changes(nic_.bar(), changes)) << "twice is the same as once";
}

TEST_F(ApplyTest, RevertRestoresWhatWasThere) {
  const Image before = read_image(nic_.bar());
  PfConfig port_tap = config_;
  port_tap.taps = {Tap{.name = "p", .port = true, .from = {}, .to = 3, .direction = Direction::both}};
  for (const PfConfig& config : {config_, port_tap}) {
    ASSERT_TRUE(apply_changes(nic_.bar(), changes_to(nic_, config)));
    EXPECT_NE(read_image(nic_.bar()), before);
    ASSERT_TRUE(apply_changes(nic_.bar(), changes_to(nic_, without_taps(config))));
    EXPECT_EQ(read_image(nic_.bar()), before);
  }
}

TEST_F(ApplyTest, AnEnableThatAResetClearsIsNoFailure) {
  const Change on{{Field::vfre, 0}, 0, 2};
  nic_.swallow = reg::PFVFRE.at(0);
  EXPECT_FALSE(apply_changes(nic_.bar(), std::vector{on})) << "without a reset under way it is a failure";
  nic_.set(reg::PFVFLRE.at(0), 2);
  EXPECT_TRUE(apply_changes(nic_.bar(), std::vector{on}));
}

// The process dies after each possible number of register writes; the next start reads the journal.
TEST_F(ApplyTest, EveryCrashPointIsFinishedAtTheNextStart) {
  PfConfig wide = config_;
  wide.taps = {Tap{.name = "p", .port = true, .from = {}, .to = 2, .direction = Direction::rx}};
  for (const PfConfig& from : {without_taps(config_), config_}) {
    ASSERT_TRUE(apply_changes(nic_.bar(), changes_to(nic_, from)));
    const auto before = nic_.snapshot();
    const auto changes = changes_to(nic_, wide);
    const Journal journal(folder_ / "journal");
    bool complete_already = false;
    for (std::uint64_t crash = 0; !complete_already; ++crash) {
      nic_.restore(before);
      ASSERT_TRUE(journal.begin(changes));
      nic_.writes_left = crash;
      // What the process got done before it died, without its error handling.
      for (const Change& change : changes) write_cell(nic_.bar(), change.cell, change.after);
      complete_already = *nic_.writes_left > 0;
      nic_.writes_left.reset();

      const auto recovered = recover(nic_.bar(), journal);
      ASSERT_TRUE(recovered) << recovered.error().text;
      EXPECT_EQ(*recovered, Recovery::finished);
      EXPECT_TRUE(changes_to(nic_, wide).empty()) << "crash after " << crash << " writes";
      EXPECT_EQ(*recover(nic_.bar(), journal), Recovery::nothing);
    }
    nic_.restore(before);
  }
}

TEST_F(ApplyTest, WhatCannotBeFinishedIsTakenBack) {
  const Image before = read_image(nic_.bar());
  const auto changes = changes_to(nic_, config_);
  const Journal journal(folder_ / "journal");
  ASSERT_TRUE(journal.begin(changes));
  write_cell(nic_.bar(), changes[0].cell, changes[0].after);
  nic_.swallow = reg::PFMRCTL.at(0);
  EXPECT_EQ(*recover(nic_.bar(), journal), Recovery::undone);
  EXPECT_EQ(read_image(nic_.bar()), before);
}

TEST_F(ApplyTest, AResetDeviceHasNothingToRecover) {
  const auto changes = changes_to(nic_, config_);
  const Journal journal(folder_ / "journal");
  ASSERT_TRUE(journal.begin(changes));
  nic_.set(reg::CTRL_EXT.at(), 0);
  EXPECT_EQ(*recover(nic_.bar(), journal), Recovery::stale);
  EXPECT_EQ(*recover(nic_.bar(), journal), Recovery::nothing);

  ASSERT_TRUE(journal.begin(changes));
  announce(nic_.bar());
  nic_.set(reg::PFMRVM.at(0), 0x55);  // somebody else was here
  EXPECT_EQ(*recover(nic_.bar(), journal), Recovery::stale);
}

TEST_F(ApplyTest, AFailedApplyLeavesNothingToRecover) {
  const Journal journal(folder_ / "journal");
  nic_.swallow = reg::PFMRCTL.at(0);
  EXPECT_FALSE(apply_changes(nic_.bar(), changes_to(nic_, config_), journal));
  EXPECT_EQ(*recover(nic_.bar(), journal), Recovery::nothing);
}

TEST_F(ApplyTest, ForeignJournalsAreRefusedAndLeftAlone) {
  const std::filesystem::path file = folder_ / "notes.txt";
  for (const char* text :
       {"", "hello", "[]", "{}", "{\"vigia_pf_journal\":1}", "{\"vigia_pf_journal\":2,\"applying\":[]}",
        "{\"vigia_pf_journal\":1,\"applying\":[{\"field\":\"NOSUCH\",\"index\":0,\"before\":0,\"after\":0}]}",
        "{\"vigia_pf_journal\":1,\"applying\":[{\"field\":\"PFMRVM\",\"index\":8,\"before\":0,\"after\":0}]}",
        "{\"vigia_pf_journal\":1,\"applying\":[{\"field\":\"PFMRVM\"}]}",
        "{\"vigia_pf_journal\":\"x\",\"applying\":[]}"}) {
    std::ofstream(file) << text;
    const auto recovered = recover(nic_.bar(), Journal(file));
    ASSERT_FALSE(recovered) << text;
    EXPECT_EQ(recovered.error().exit_status(), 2);
    EXPECT_THAT(recovered.error().text, HasSubstr("not a journal of vigia-pf; remove it"));
    EXPECT_TRUE(std::filesystem::exists(file));
  }
}

TEST_F(ApplyTest, AJournalThatCannotBeWrittenStopsTheApply) {
  const Image before = read_image(nic_.bar());
  const auto result = apply_changes(nic_.bar(), changes_to(nic_, config_), Journal(folder_ / "no" / "such" / "folder"));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().text, HasSubstr("write journal"));
  EXPECT_EQ(read_image(nic_.bar()), before);
}

// Every cell of the table is read where it was written, and only its own bits.
TEST_F(ApplyTest, EveryRegisterOfTheTableRoundTrips) {
  for (unsigned f = 0; f < kFields; ++f) {
    const auto field = static_cast<Field>(f);
    for (std::uint16_t i = 0; i < info(field).count; ++i) {
      write_cell(nic_.bar(), {field, i}, 0xa5a5'0000u + i);
      EXPECT_EQ(read_cell(nic_.bar(), {field, i}), (0xa5a5'0000u + i) & info(field).mask) << Cell{field, i}.name();
    }
  }
  nic_.set(reg::FCTRL.at(), hw::ixgbe::Fctrl::sbp);
  write_cell(nic_.bar(), {Field::fctrl, 0}, hw::ixgbe::Fctrl::bam);
  EXPECT_EQ(nic_.get(reg::FCTRL.at()), hw::ixgbe::Fctrl::sbp | hw::ixgbe::Fctrl::bam) << "other bits are kept";
}

}  // namespace
}  // namespace vigia::pf
