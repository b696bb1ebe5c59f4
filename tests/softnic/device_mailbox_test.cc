// SPDX-License-Identifier: Apache-2.0
// Each cell of the mailbox bit tables, as accesses from both sides in order.
#include <gtest/gtest.h>

#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;
namespace VfBit = mbx::VfBit;
namespace PfBit = mbx::PfBit;

enum class Who { vf_writes, vf_reads, pf_writes, pf_reads, pf_views, causes };

struct Step {
  Who who;
  std::uint32_t value;  // written, or expected
};

struct Row {
  const char* what;
  std::vector<Step> steps;
};

constexpr auto vw = Who::vf_writes, vr = Who::vf_reads, pw = Who::pf_writes, pr = Who::pf_reads, pv = Who::pf_views,
               causes = Who::causes;
constexpr std::uint32_t kReq = 1u << 1, kAck = 1u << 17;  // PFMBICR bits of VF 1

const Row kRows[] = {
    {"nothing is set after the PF came up and RSTD was read", {{vr, 0}, {pr, 0}, {causes, 0}}},
    {"REQ reads 0 and sets VFREQ", {{vw, VfBit::req}, {vr, 0}, {causes, kReq}}},
    {"ACK reads 0 and sets VFACK", {{vw, VfBit::ack}, {vr, 0}, {causes, kAck}}},
    {"REQ and ACK together", {{vw, VfBit::req | VfBit::ack}, {causes, kReq | kAck}}},
    {"causes are cleared by writing 1", {{vw, VfBit::req | VfBit::ack}, {causes, kReq | kAck}, {causes, 0}}},
    {"VFU sticks and the PF sees it", {{vw, VfBit::vfu}, {vr, VfBit::vfu}, {vr, VfBit::vfu}, {pr, PfBit::vfu}}},
    {"VFU goes with a write of 0", {{vw, VfBit::vfu}, {vw, 0}, {vr, 0}, {pr, 0}}},
    {"VFU goes when REQ alone is written (legacy style)",
     {{vw, VfBit::vfu}, {vw, VfBit::req}, {vr, 0}, {causes, kReq}}},
    {"VFU stays when it is written with REQ (API 1.5 style)",
     {{vw, VfBit::vfu}, {vw, VfBit::vfu | VfBit::req}, {vr, VfBit::vfu}, {causes, kReq}}},
    {"VFU cannot be set while PFU is", {{pw, PfBit::pfu}, {vw, VfBit::vfu}, {vr, VfBit::pfu}, {pr, PfBit::pfu}}},
    {"PFU cannot be set while VFU is", {{vw, VfBit::vfu}, {pw, PfBit::pfu}, {pr, PfBit::vfu}, {vr, VfBit::vfu}}},
    {"PFU is the PF's to clear: the VF cannot", {{pw, PfBit::pfu}, {vw, 0}, {vw, VfBit::pfu}, {vr, VfBit::pfu}}},
    {"PFU goes when the PF writes without it", {{pw, PfBit::pfu}, {pw, PfBit::sts}, {vr, VfBit::pfsts}, {pr, 0}}},
    {"STS sets PFSTS, which a VF read clears", {{pw, PfBit::sts}, {pr, 0}, {vr, VfBit::pfsts}, {vr, 0}}},
    {"ACK of the PF sets PFACK, which a VF read clears", {{pw, PfBit::ack}, {pr, 0}, {vr, VfBit::pfack}, {vr, 0}}},
    {"one read clears PFSTS and PFACK", {{pw, PfBit::sts | PfBit::ack}, {vr, VfBit::pfsts | VfBit::pfack}, {vr, 0}}},
    {"a VF write does not clear PFSTS", {{pw, PfBit::sts}, {vw, VfBit::vfu}, {vr, VfBit::pfsts | VfBit::vfu}}},
    {"the PF's view clears nothing", {{pw, PfBit::sts}, {pv, VfBit::pfsts}, {pv, VfBit::pfsts}, {vr, VfBit::pfsts}}},
    {"RVFU takes a stuck VFU and both causes away",
     {{vw, VfBit::vfu | VfBit::req | VfBit::ack}, {pw, PfBit::rvfu}, {vr, 0}, {causes, 0}}},
    {"RVFU with PFU hands the buffer over",
     {{vw, VfBit::vfu}, {pw, PfBit::rvfu | PfBit::pfu}, {pr, PfBit::pfu}, {vr, VfBit::pfu}}},
    {"RSTI and RSTD cannot be written", {{vw, VfBit::rsti | VfBit::rstd | VfBit::pfsts | VfBit::pfack}, {vr, 0}}},
    {"VFU of the VF is not the PF's to write", {{pw, PfBit::vfu}, {vr, 0}, {pr, 0}}},
};

TEST(DeviceMailbox, EachCellOfTheBitTables) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    DeviceOptions options;
    options.vfs = 3;
    Lab lab(options);
    lab.bring_up();
    lab.vf(1).read(vf::VFMAILBOX);  // RSTD of the bring-up
    for (std::size_t i = 0; i < row.steps.size(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      const Step& step = row.steps[i];
      switch (step.who) {
        case Who::vf_writes:
          lab.vf(1).write(vf::VFMAILBOX, 0, step.value);
          break;
        case Who::vf_reads:
          EXPECT_EQ(lab.vf(1).read(vf::VFMAILBOX), step.value);
          break;
        case Who::pf_writes:
          lab.pf().write(pf::PFMAILBOX, 1, step.value);
          break;
        case Who::pf_reads:
          EXPECT_EQ(lab.pf().read(pf::PFMAILBOX, 1), step.value);
          break;
        case Who::pf_views:
          EXPECT_EQ(lab.pf().read(pf::VFMAILBOX, 1), step.value);
          break;
        case Who::causes:
          EXPECT_EQ(lab.pf().read(pf::PFMBICR, 0), step.value);
          lab.pf().write(pf::PFMBICR, 0, step.value);
          break;
      }
    }
    EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), VfBit::rstd) << "another VF saw something";
  }
}

TEST(DeviceMailbox, CauseRegistersHoldSixteenVfsEach) {
  DeviceOptions options;
  options.vfs = 63;
  Lab lab(options);
  lab.bring_up();
  for (const unsigned v : {0u, 15u, 16u, 33u, 62u}) {
    lab.vf(v).write(vf::VFMAILBOX, 0, VfBit::req | VfBit::ack);
    EXPECT_EQ(lab.pf().read(pf::PFMBICR, v / 16), 0x0001'0001u << v % 16) << v;
    lab.pf().write(pf::PFMBICR, v / 16, ~0u);
  }
}

TEST(DeviceMailbox, MaskKeepsTheCauseOutOfEicr) {
  DeviceOptions options;
  options.vfs = 40;
  Lab lab(options);
  lab.bring_up();
  lab.pf().read(pf::EICR);
  lab.pf().write(pf::PFMBIMR, 1, ~(1u << (35 - 32)));
  lab.vf(35).write(vf::VFMAILBOX, 0, VfBit::req);
  EXPECT_EQ(lab.pf().read(pf::EICR) & Eicr::mailbox, 0u);
  EXPECT_EQ(lab.pf().read(pf::PFMBICR, 2), 1u << 3);
  lab.vf(36).write(vf::VFMAILBOX, 0, VfBit::req);
  EXPECT_EQ(lab.pf().read(pf::EICR) & Eicr::mailbox, Eicr::mailbox);
}

TEST(DeviceMailbox, RstiUntilThePfIsDoneThenRstdOnce) {
  DeviceOptions options;
  options.vfs = 2;
  Lab lab(options);
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), VfBit::rsti);
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), VfBit::rsti) << "reading does not clear RSTI";
  lab.pf().write(pf::CTRL_EXT, 0, CtrlExt::pfrstd);
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), VfBit::rstd);
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), 0u);
  // Later writes of the register with the bit still set are not another reset.
  lab.pf().write(pf::CTRL_EXT, 0, CtrlExt::pfrstd | CtrlExt::drv_load);
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), 0u);
  lab.pf().write(pf::CTRL, 0, Ctrl::rst);
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), VfBit::rsti);
  EXPECT_EQ(lab.vf(1).read(vf::VFMAILBOX), VfBit::rsti);
}

}  // namespace
}  // namespace vigia::softnic::kit
