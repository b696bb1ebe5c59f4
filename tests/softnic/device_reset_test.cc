// SPDX-License-Identifier: Apache-2.0
// What each reset takes and what it leaves; configuration space; interrupts.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;
namespace VfBit = mbx::VfBit;

DeviceOptions with(unsigned vfs) {
  DeviceOptions options;
  options.vfs = vfs;
  return options;
}

// ---- PF reset ----

struct PfReset {
  const char* name;
  std::function<void(Lab&)> reset;
};

class PfResets : public testing::TestWithParam<PfReset> {};

TEST_P(PfResets, StopQueuesAndTellTheVfs) {
  Lab lab(with(2));
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 64);
  ring.give(32);
  lab.run();
  ASSERT_NE(lab.vf(0).read(vf::VFRXDCTL) & Rxdctl::enable, 0u);
  lab.pf().write(pf::VFTA, 3, 0x55);
  GetParam().reset(lab);
  Client p = lab.pf();
  EXPECT_EQ(p.read(pf::CTRL) & (Ctrl::rst | Ctrl::lrst), 0u) << "self-clearing";
  EXPECT_EQ(lab.vf(0).read(vf::VFRXDCTL) & Rxdctl::enable, 0u);
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), VfBit::rsti);
  EXPECT_EQ(p.read(pf::PFVFRE), 0u);
  EXPECT_EQ(p.read(pf::PFVFTE), 0u);
  EXPECT_EQ(p.read(pf::PFVTCTL), 0u);
  EXPECT_EQ(p.read(pf::RXCTRL), 0u);
  EXPECT_EQ(p.read(pf::VFTA, 3), 0x55u) << "tables keep what they had";
  EXPECT_EQ(p.read(pf::RAL, 1), static_cast<std::uint32_t>(mac_of(0).packed()));
  // And the port works again after a new start.
  lab.bring_up();
  EXPECT_EQ(lab.vf(0).read(vf::VFMAILBOX), VfBit::rstd);
}

INSTANTIATE_TEST_SUITE_P(All, PfResets,
                         testing::Values(PfReset{"CTRL.RST", [](Lab& l) { l.pf().write(pf::CTRL, 0, Ctrl::rst); }},
                                         PfReset{"CTRL.LRST", [](Lab& l) { l.pf().write(pf::CTRL, 0, Ctrl::lrst); }},
                                         PfReset{"both",
                                                 [](Lab& l) { l.pf().write(pf::CTRL, 0, Ctrl::rst | Ctrl::lrst); }},
                                         PfReset{"DEVICE_RESET", [](Lab& l) { l.device->pf().function_reset(); }},
                                         PfReset{"FLR", [](Lab& l) { l.pf().write_config16(0xA8, 0x8000); }},
                                         PfReset{"client gone", [](Lab& l) { l.device->pf().detached(); }}),
                         [](const auto& chosen) { return "n" + std::to_string(chosen.index); });

// ---- VF reset ----

struct VfReset {
  const char* name;
  std::function<void(Lab&)> reset;
  bool clears_config;
};

class VfResets : public testing::TestWithParam<VfReset> {};

TEST_P(VfResets, TakeWhatTheReferenceListsAndLeaveTheRest) {
  Lab lab(with(3));
  lab.bring_up();
  Client v = lab.vf(1);
  RxRing ring(v, 0, 64, 2, Srrctl::drop_en, Rxdctl::vme);
  RxRing other(lab.vf(2), 0, 64);
  TxRing tx(v, 0, 64, 0x1001);
  ring.give(32);
  other.give(32);
  lab.run();
  v.write(vf::VTEIMS, 0, 7);
  v.write(vf::VTEIAC, 0, 3);
  v.write(vf::VTEIAM, 0, 3);
  v.write(vf::VTIVAR, 0, 0x80);
  v.write(vf::VTIVAR_MISC, 0, 0x82);
  v.write(vf::VTEITR, 1, 0x100);
  v.write(vf::VFPSRTYPE, 0, 1u << 29);
  v.write(vf::VFMBMEM, 2, 0x77);
  lab.pf().write(pf::PFMAILBOX, 1, mbx::PfBit::sts);
  v.write(vf::VFMAILBOX, 0, VfBit::vfu);
  lab.pf().read(pf::EICR);

  GetParam().reset(lab);

  EXPECT_EQ(lab.pf().read(pf::PFVFLRE, 0), 2u);
  EXPECT_EQ(lab.pf().read(pf::PFVFLREC, 0), 2u);
  EXPECT_EQ(lab.pf().read(pf::EICR) & Eicr::mailbox, Eicr::mailbox);
  lab.pf().write(pf::PFVFLREC, 0, 2);
  EXPECT_EQ(lab.pf().read(pf::PFVFLRE, 0), 0u);
  EXPECT_EQ(lab.pf().read(pf::PFVFRE, 0), 5u);
  EXPECT_EQ(lab.pf().read(pf::PFVFTE, 0), 5u);
  // Gone
  EXPECT_EQ(v.read(vf::VFRXDCTL) & Rxdctl::enable, 0u);
  EXPECT_EQ(v.read(vf::VFTXDCTL) & Txdctl::enable, 0u);
  EXPECT_EQ(v.read(vf::VTEIMS), 0u);
  EXPECT_EQ(v.read(vf::VTEIAC), 0u);
  EXPECT_EQ(v.read(vf::VTEIAM), 0u);
  EXPECT_EQ(v.read(vf::VTIVAR, 0), 0u);
  EXPECT_EQ(v.read(vf::VTIVAR_MISC), 0u);
  EXPECT_EQ(v.read(vf::VTEITR, 1), 0u);
  EXPECT_EQ(v.read(vf::VFMAILBOX), 0u) << "no RSTI: that is the PF's";
  // Kept
  EXPECT_EQ(v.read(vf::VFRDT), 32u);
  EXPECT_EQ(v.read(vf::VFRXDCTL), Rxdctl::vme);
  EXPECT_EQ(v.read(vf::VFSRRCTL), 2 | Srrctl::desctype_advanced | Srrctl::drop_en);
  EXPECT_EQ(v.read(vf::VFTDWBAL), 0x1001u);
  EXPECT_EQ(v.read(vf::VFPSRTYPE), 1u << 29);
  EXPECT_EQ(v.read(vf::VFMBMEM, 2), 0x77u) << "the mailbox RAM is not cleared";
  EXPECT_EQ(v.config(4) & 4, GetParam().clears_config ? 0u : 4u);
  // The neighbour noticed nothing.
  EXPECT_NE(lab.vf(2).read(vf::VFRXDCTL) & Rxdctl::enable, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    All, VfResets,
    testing::Values(VfReset{"VFCTRL.RST", [](Lab& l) { l.vf(1).write(vf::VFCTRL, 0, Ctrl::rst); }, false},
                    VfReset{"VFCTRL from the PF", [](Lab& l) { l.pf().write(pf::VFCTRL, 1, Ctrl::rst); }, false},
                    VfReset{"FLR", [](Lab& l) { l.vf(1).write_config16(0xA8, 0x8000); }, true},
                    VfReset{"DEVICE_RESET", [](Lab& l) { l.device->vf(1).function_reset(); }, true},
                    VfReset{"client gone", [](Lab& l) { l.device->vf(1).detached(); }, true}),
    [](const auto& chosen) { return "n" + std::to_string(chosen.index); });

TEST(VfReset, OfOneVfBeyondThirtyTwoUsesTheSecondRegister) {
  Lab lab(with(40));
  lab.bring_up();
  lab.vf(37).write(vf::VFCTRL, 0, Ctrl::rst);
  EXPECT_EQ(lab.pf().load(0x00600), 0u);
  EXPECT_EQ(lab.pf().load(0x001C0), 1u << 5);
  EXPECT_EQ(lab.pf().read(pf::PFVFRE, 1), 0xffu & ~(1u << 5));
}

TEST(VfReset, LosingBusMasterSwitchesTrafficOffWithoutAnFlr) {
  Lab lab(with(2));
  lab.bring_up();
  lab.vf(0).bus_master();
  lab.vf(0).bus_master(false);
  EXPECT_EQ(lab.pf().read(pf::PFVFRE), 2u);
  EXPECT_EQ(lab.pf().read(pf::PFVFTE), 2u);
  EXPECT_EQ(lab.pf().read(pf::PFVFLRE), 0u);
}

TEST(VfReset, CountersSurvive) {
  Lab lab(with(1), {make_frame(mac_of(0), kOutside)});
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 64);
  ring.give(8);
  lab.run(40);
  ASSERT_EQ(lab.vf(0).read(vf::VFGPRC), 1u);
  lab.vf(0).write(vf::VFCTRL, 0, Ctrl::rst);
  EXPECT_EQ(lab.vf(0).read(vf::VFGPRC), 1u);
  EXPECT_EQ(lab.vf(0).read(vf::VFGPRC), 1u) << "not cleared by reading";
}

// ---- configuration space ----

TEST(DeviceConfig, IdentityOfPfAndVf) {
  Lab lab(with(5));
  EXPECT_EQ(lab.pf().config(0), 0x10FB'8086u);
  EXPECT_EQ(lab.vf(4).config(0), 0x10ED'8086u);
  EXPECT_EQ(lab.pf().config(8) >> 8, 0x020000u);
  EXPECT_EQ(lab.vf(0).config(0x3C), 0u) << "no interrupt pin";
  EXPECT_EQ(lab.pf().config(0x70) & 0xff, 0x11u);
  EXPECT_EQ(lab.pf().config(0x70) >> 16 & 0x7ff, 63u);
  EXPECT_EQ(lab.vf(0).config(0x70) >> 16 & 0x7ff, 2u);
  EXPECT_EQ(lab.vf(0).config(0x74), 3u) << "table at 0 of BAR3";
  EXPECT_EQ(lab.vf(0).config(0x78), 0x2003u);
  EXPECT_EQ(lab.pf().config(0x74), 4u);
  EXPECT_EQ(lab.pf().config(0xA0) & 0xff, 0x10u);
  EXPECT_NE(lab.vf(0).config(0xA4) & 1u << 28, 0u) << "FLR capable";
  EXPECT_EQ(lab.pf().config(0x160) & 0xffff, 0x10u);
  EXPECT_EQ(lab.pf().config(0x16C), 5u | 5u << 16) << "InitialVFs, TotalVFs";
  EXPECT_EQ(lab.vf(0).config(0x160), 0u);
}

TEST(DeviceConfig, BarsAreSizedByWritingOnesAndTheRomIsNot) {
  Lab lab(with(1));
  struct Bar {
    bool vf;
    std::uint32_t at, mask;
  };
  const Bar bars[] = {{false, 0x10, 0xfffe'000c},
                      {false, 0x20, 0xffff'c00c},
                      {true, 0x10, 0xffff'c00c},
                      {true, 0x1C, 0xffff'c00c},
                      {true, 0x18, 0},
                      {false, 0x30, 0}};
  for (const Bar& bar : bars) {
    Client c = bar.vf ? lab.vf(0) : lab.pf();
    const std::uint32_t ones = ~0u;
    c.model().region_write(7, bar.at, std::as_bytes(std::span(&ones, 1)));
    EXPECT_EQ(c.config(bar.at), bar.mask) << bar.vf << " " << bar.at;
  }
  EXPECT_EQ(lab.vf(0).config(0x20), 0u) << "upper half, not written yet";
}

TEST(DeviceConfig, FlrBitReadsBackZeroAndVfEnableShowsInStatus) {
  Lab lab(with(4));
  lab.pf().write_config16(0x170, 4);
  lab.pf().write_config16(0x168, 1 | 8);
  EXPECT_NE(lab.pf().read(pf::STATUS) & Status::iov_active, 0u);
  EXPECT_EQ(lab.pf().read(pf::STATUS) >> Status::num_vfs_shift & 0xff, 4u);
  lab.bring_up();
  lab.pf().write_config16(0x168, 0);
  EXPECT_EQ(lab.pf().read(pf::PFVFLRE, 0), 0xfu) << "clearing VF Enable resets every VF";
  lab.pf().write_config16(0xA8, 0x8000);
  EXPECT_EQ(lab.pf().config(0xA8) & 0x8000, 0u);
}

// ---- interrupts ----

class Vector {
 public:
  Vector(FunctionModel& model, unsigned number) : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    model.set_msix(number, Fd(::dup(fd_.get())));
  }
  std::uint64_t take() {
    std::uint64_t n = 0;
    return ::read(fd_.get(), &n, sizeof n) == sizeof n ? n : 0;
  }

 private:
  Fd fd_;
};

TEST(DeviceInterrupts, VfQueueAndMailboxGoToTheirVectors) {
  std::vector<Frame> frames(3, make_frame(mac_of(0), kOutside));
  Lab lab(with(1), frames, Rate::Kind::packets, {0, 1'000'000, 2'000'000});
  lab.bring_up();
  Client v = lab.vf(0);
  Vector queue(v.model(), 0), mailbox(v.model(), 1);
  v.write(vf::VTIVAR, 0, 0x80);
  v.write(vf::VTIVAR_MISC, 0, 0x81);
  v.write(vf::VTEIAC, 0, 3);
  v.write(vf::VTEIAM, 0, 3);
  v.write(vf::VTEIMS, 0, 3);
  RxRing ring(v, 0, 64);
  ring.give(16);
  lab.run(40);
  EXPECT_EQ(queue.take(), 1u);
  EXPECT_EQ(mailbox.take(), 0u);
  EXPECT_EQ(v.read(vf::VTEIMS), 2u) << "masked itself (EIAM)";
  EXPECT_EQ(v.read(vf::VTEICR), 0u) << "cleared itself (EIAC)";
  lab.run(1000);
  EXPECT_EQ(queue.take(), 0u) << "masked";
  v.write(vf::VTEIMS, 0, 1);
  EXPECT_EQ(queue.take(), 1u) << "what came while it was masked";
  lab.pf().write(pf::PFMAILBOX, 0, mbx::PfBit::sts);
  EXPECT_EQ(mailbox.take(), 1u);
}

TEST(DeviceInterrupts, ThrottleHoldsAndThenFires) {
  std::vector<Frame> frames(3, make_frame(mac_of(0), kOutside));
  Lab lab(with(1), frames, Rate::Kind::packets, {0, 10'000, 20'000});
  lab.bring_up();
  Client v = lab.vf(0);
  Vector queue(v.model(), 0);
  v.write(vf::VTIVAR, 0, 0x80);
  v.write(vf::VTEITR, 0, 50 << 3);  // 100 us
  v.write(vf::VTEIMS, 0, 1);
  RxRing ring(v, 0, 64);
  ring.give(16);
  lab.run(50);
  EXPECT_EQ(queue.take(), 1u);
  lab.run(100);
  EXPECT_EQ(queue.take(), 1u);
}

TEST(DeviceInterrupts, PfMailboxCauseGoesToTheMiscVector) {
  Lab lab(with(1));
  lab.bring_up();
  Client p = lab.pf();
  Vector misc(p.model(), 2);
  p.write(pf::IVAR_MISC, 0, (Ivar::valid | 2) << 8);
  p.write(pf::EIMC, 0, ~0u);
  lab.vf(0).write(vf::VFMAILBOX, 0, VfBit::req);
  EXPECT_EQ(misc.take(), 0u) << "masked";
  p.write(pf::EIMS, 0, Eicr::mailbox);
  EXPECT_EQ(misc.take(), 1u) << "the cause waited";
  EXPECT_EQ(p.read(pf::EICR) & Eicr::mailbox, Eicr::mailbox);
  p.write(pf::EIAC, 0, Eicr::mailbox);
  lab.vf(0).write(vf::VFMAILBOX, 0, VfBit::ack);
  EXPECT_EQ(misc.take(), 1u);
  EXPECT_EQ(p.read(pf::EICR) & Eicr::mailbox, 0u) << "auto-clear";
  p.write(pf::EICS, 0, Eicr::lsc);
  p.write(pf::EIMS, 0, Eicr::lsc);
  EXPECT_EQ(misc.take(), 1u) << "software's own cause";
}

TEST(DeviceInterrupts, VectorsBeyondFifteenAreMaskedByTheExtendedRegisters) {
  Lab lab(with(0), {make_frame(hw::Mac::unpack(0x9059'8200'0002), kOutside)});
  Client p = lab.pf();
  Vector vector(p.model(), 40);
  p.write(pf::GPIE, 0, Gpie::msix_mode);
  p.write(pf::IVAR, 0, Ivar::valid | 40);
  lab.device->chip().interrupts->raise_pf_queue(0, false);
  EXPECT_EQ(vector.take(), 0u);
  p.write(pf::EIMS_EX, 1, 1u << 8);
  EXPECT_EQ(vector.take(), 1u);
  p.write(pf::EICS_EX, 1, 1u << 8);
  EXPECT_EQ(vector.take(), 1u);
}

TEST(DeviceInterrupts, AnEventBeforeTheEventfdFiresOnAssignment) {
  Lab lab(with(1));
  lab.bring_up();
  Client v = lab.vf(0);
  v.write(vf::VTIVAR_MISC, 0, 0x80);
  v.write(vf::VTEIMS, 0, 1);
  lab.pf().write(pf::PFMAILBOX, 0, mbx::PfBit::ack);
  Vector late(v.model(), 0);
  EXPECT_EQ(late.take(), 1u);
  v.model().set_msix(0, Fd());
  v.model().set_msix(77, Fd(::eventfd(0, 0)));  // no such vector: closed and forgotten
}

}  // namespace
}  // namespace vigia::softnic::kit
