// SPDX-License-Identifier: Apache-2.0
// The register file: each behaviour over every register that has it, second addresses, reset values, indirect
// registers.
#include <gtest/gtest.h>

#include <set>

#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;

// For each row of the table: registers of one behaviour act the same way.
TEST(DeviceRegisters, EveryRowBehavesAsItSays) {
  for (const RegisterRow& row : register_table().subspan(1)) {
    for (const std::uint32_t i : {0u, row.count - 1}) {
      RegisterFile r;
      const std::uint32_t at = row.at(i);
      SCOPED_TRACE(std::string(row.name) + " " + std::to_string(i));
      r.poke(at, 0x0f0f'0f0f);
      switch (row.behaviour) {
        case Behaviour::reserved:
          FAIL() << "a row may not be reserved";
        case Behaviour::plain:
          r.write(at, ~0u);
          EXPECT_EQ(r.read(at), (0x0f0f'0f0f & ~row.writable) | row.writable);
          r.write(at, 0);
          EXPECT_EQ(r.read(at), 0x0f0f'0f0f & ~row.writable);
          break;
        case Behaviour::read_only:
          r.write(at, 0x1234'5678);
          EXPECT_EQ(r.read(at), 0x0f0f'0f0fu);
          EXPECT_EQ(r.read(at), 0x0f0f'0f0fu);
          break;
        case Behaviour::read_clears:
          r.write(at, ~0u);
          EXPECT_EQ(r.read(at), 0x0f0f'0f0fu);
          EXPECT_EQ(r.read(at), 0u);
          break;
        case Behaviour::write_1_clears:
          r.write(at, 0x0000'000f);
          EXPECT_EQ(r.read(at), 0x0f0f'0f00u);
          EXPECT_EQ(r.read(at), 0x0f0f'0f00u);
          break;
        case Behaviour::read_and_1_clear:
          r.write(at, 0x0000'000f);
          EXPECT_EQ(r.read(at), 0x0f0f'0f00u);
          EXPECT_EQ(r.read(at), 0u);
          break;
        case Behaviour::ones_set:
          r.write(at, 0xf000'0000);
          EXPECT_EQ(r.read(at), 0xff0f'0f0fu);
          break;
        case Behaviour::ones_clear_partner:
        case Behaviour::ones_set_partner:
          r.poke(row.partner(i), 0x0f0f'0f0f);
          r.write(at, 0x0000'00ff);
          EXPECT_EQ(r.peek(row.partner(i)), row.behaviour == Behaviour::ones_set_partner ? 0x0f0f'0fffu : 0x0f0f'0f00u);
          EXPECT_EQ(r.read(at), 0u);
          break;
        case Behaviour::write_only:
          r.write(at, ~0u);
          EXPECT_EQ(r.read(at), 0u);
          break;
        case Behaviour::semaphore:
          r.write(at, 0);
          EXPECT_EQ(r.read(at) & 1, 0u);
          EXPECT_EQ(r.read(at) & 1, 1u);
          r.write(at, 0);
          EXPECT_EQ(r.read(at) & 1, 0u);
          break;
      }
    }
  }
}

TEST(DeviceRegisters, WhatNoRowNamesReadsZeroAndSwallowsWrites) {
  std::set<std::uint32_t> known;
  for (const RegisterRow& row : register_table().subspan(1)) {
    for (std::uint32_t i = 0; i < row.count; ++i) known.insert(row.at(i));
  }
  for (const AliasRow& row : alias_table()) {
    for (std::uint32_t i = 0; i < row.count; ++i) known.insert(row.from(i));
  }
  RegisterFile r;
  for (std::uint32_t at = 0; at < pf::kBarSize; at += 4) {
    if (known.contains(at)) continue;
    r.write(at, ~0u);
    ASSERT_EQ(r.read(at), 0u) << at;
  }
}

TEST(DeviceRegisters, SecondAddressesAreTheSameRegister) {
  for (const AliasRow& row : alias_table()) {
    for (std::uint32_t i = 0; i < row.count; ++i) {
      RegisterFile r;
      const bool write_only = row.to(i) == pf::PBACL.at(0);
      const std::uint32_t before = r.read(row.to(i));
      r.write(row.from(i), 0x8000'0041);
      EXPECT_EQ(r.read(row.to(i)), r.read(row.from(i)));
      EXPECT_EQ(r.read(row.to(i)) != before, !write_only) << row.from(i);
    }
  }
}

struct ResetValue {
  const char* name;
  std::uint32_t offset, value;
};

const ResetValue kResetValues[] = {{"EEC", 0x10010, 0x2700},
                                   {"RDRXCTL.DMAIDONE", 0x02F00, 0x8},
                                   {"SECRXSTAT", 0x08D04, 1},
                                   {"SECTXSTAT", 0x08804, 1},
                                   {"LINKS", 0x042A4, 0x7000'0000},
                                   {"RXPBSIZE 0", 0x03C00, 0x200 << 10},
                                   {"RXPBSIZE 1", 0x03C04, 0},
                                   {"TXPBSIZE 0", 0x0CC00, 0xA0 << 10},
                                   {"SRRCTL", 0x01014, 0x402},
                                   {"SRRCTL 64", 0x0D014, 0x402},
                                   {"HLREG0", 0x04240, 0x0800'0403},
                                   {"MAXFRS", 0x04268, 0x05EE'0000},
                                   {"VLNCTRL", 0x05088, 0x8100},
                                   {"PFMBIMR", 0x00720, ~0u},
                                   {"STATUS.PRIMARY", 0x00008, 1 << 19 | 1 << 7},
                                   {"RAH 0 valid", 0x0A204, 0x8000'9059},
                                   {"RAH 0 second address", 0x05404, 0x8000'9059},
                                   {"RAH 1", 0x0A20C, 0},
                                   {"PFVFRE", 0x051E0, 0},
                                   {"RXCTRL", 0x03000, 0}};

TEST(DeviceRegisters, ResetValuesAreThoseOfTheDatasheet) {
  Lab lab({});
  for (const ResetValue& r : kResetValues) EXPECT_EQ(lab.pf().load(r.offset), r.value) << r.name;
  // The same after a software reset of a device in use.
  lab.bring_up();
  lab.pf().write(pf::MAXFRS, 0, 9018u << 16);
  lab.pf().write(pf::CTRL, 0, Ctrl::rst);
  for (const ResetValue& r : kResetValues) {
    if (r.offset == pf::RAH.at(1)) continue;  // address tables keep what they had
    EXPECT_EQ(lab.pf().load(r.offset), r.value) << r.name;
  }
}

TEST(DeviceRegisters, ThirtySixBitCountersWrapAndClearByHalves) {
  RegisterFile r;
  r.add36(pf::GORCL, pf::GORCH, 0, 0xf'ffff'fff0);
  EXPECT_EQ(r.get(pf::GORCH), 0xfu);
  r.add36(pf::GORCL, pf::GORCH, 0, 0x11);
  EXPECT_EQ(r.read(pf::GORCL.at()), 1u);
  EXPECT_EQ(r.read(pf::GORCH.at()), 0u);
  EXPECT_EQ(r.read(pf::GORCL.at()), 0u);
  r.add36(pf::QBRC_L, pf::QBRC_H, 3, 0x1'0000'0002);
  EXPECT_EQ(r.read(pf::QBRC_L.at(3)), 2u);
  EXPECT_EQ(r.read(pf::QBRC_H.at(3)), 1u);
}

TEST(DeviceRegisters, DropEnableIsIndirectByQueue) {
  Lab lab({});
  Client p = lab.pf();
  p.write(pf::PFQDE, 0, Pfqde::we | Pfqde::qde | 5u << Pfqde::index_shift);
  p.write(pf::PFQDE, 0, Pfqde::re | 5u << Pfqde::index_shift);
  EXPECT_EQ(p.read(pf::PFQDE) & Pfqde::qde, 1u);
  p.write(pf::PFQDE, 0, Pfqde::re | 6u << Pfqde::index_shift);
  EXPECT_EQ(p.read(pf::PFQDE) & Pfqde::qde, 0u);
  p.write(pf::PFQDE, 0, Pfqde::qde | 6u << Pfqde::index_shift);  // without WE
  p.write(pf::PFQDE, 0, Pfqde::re | 6u << Pfqde::index_shift);
  EXPECT_EQ(p.read(pf::PFQDE) & Pfqde::qde, 0u);
}

TEST(DeviceRegisters, RateLimitIsIndirectByQueue) {
  Lab lab({});
  Client p = lab.pf();
  p.write(pf::RTTDQSEL, 0, 4);
  p.write(pf::RTTBCNRC, 0, Rttbcnrc::enable | 20 << 14);
  p.write(pf::RTTDQSEL, 0, 5);
  EXPECT_EQ(p.read(pf::RTTBCNRC), 0u);
  p.write(pf::RTTDQSEL, 0, 4);
  EXPECT_EQ(p.read(pf::RTTBCNRC), Rttbcnrc::enable | 20 << 14);
}

TEST(DeviceRegisters, PrimaryDisableShowsInStatus) {
  Lab lab({});
  lab.pf().write(pf::CTRL, 0, Ctrl::primary_disable);
  EXPECT_EQ(lab.pf().read(pf::STATUS) & Status::primary_enable, 0u);
  lab.pf().write(pf::CTRL, 0, 0);
  EXPECT_NE(lab.pf().read(pf::STATUS) & Status::primary_enable, 0u);
}

TEST(DeviceRegisters, EepromReadsEndAtOnce) {
  Lab lab({});
  lab.pf().write(pf::EERD, 0, Eerd::start | 0x3Fu << 2);
  EXPECT_EQ(lab.pf().read(pf::EERD) & 0xffff, Eerd::done | 0x3Fu << 2);
}

// Accesses that are no 32-bit words: 64-bit ones are two registers, odd ones do nothing.
TEST(DeviceRegisters, OddAccessesReadZeroAndWriteNothing) {
  Lab lab({});
  FunctionModel& model = lab.device->pf();
  std::array<std::byte, 8> eight{};
  model.region_read(0, pf::RAL.at(0), eight);
  std::uint64_t value = 0;
  std::memcpy(&value, eight.data(), 8);
  EXPECT_EQ(value >> 32, 0x8000'9059u);
  std::array<std::byte, 2> two{std::byte{0xff}, std::byte{0xff}};
  model.region_read(0, pf::EEC.at(), two);
  EXPECT_EQ(two[0], std::byte{0});
  const std::array<std::byte, 2> ones{std::byte{0xff}, std::byte{0xff}};
  model.region_write(0, pf::MAXFRS.at(), ones);
  model.region_write(0, pf::MAXFRS.at() + 2, ones);
  EXPECT_EQ(lab.pf().read(pf::MAXFRS), 0x05EE'0000u);
}

// ---- the VF window ----

struct Mode {
  std::uint32_t vt_mode;
  unsigned queues;
};

class VfWindow : public testing::TestWithParam<Mode> {};

TEST_P(VfWindow, QueueRegistersAreThoseOfThePool) {
  DeviceOptions options;
  options.vfs = 4;
  Lab lab(options);
  lab.bring_up(GetParam().vt_mode);
  const unsigned queues = GetParam().queues;
  for (unsigned v = 0; v < 4; ++v) {
    for (unsigned q = 0; q < vf::kMaxQueues; ++q) {
      const std::uint32_t value = 0x1000 * (v + 1) + 0x80 * q;
      lab.vf(v).write(vf::VFRDBAL, q, value | 0x7f);
      lab.vf(v).write(vf::VFTDBAL, q, value | 0x7f);
      const bool there = q < queues;
      EXPECT_EQ(lab.vf(v).read(vf::VFRDBAL, q), there ? value : 0) << v << " " << q;
      EXPECT_EQ(lab.vf(v).read(vf::VFTDBAL, q), there ? value : 0) << v << " " << q;
      if (!there) continue;
      EXPECT_EQ(lab.pf().read(pf::RDBAL, v * queues + q), value);
      EXPECT_EQ(lab.pf().read(pf::TDBAL, v * queues + q), value);
      lab.pf().write(pf::RDLEN, v * queues + q, 128 * (q + 1));
      EXPECT_EQ(lab.vf(v).read(vf::VFRDLEN, q), 128 * (q + 1));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, VfWindow,
                         testing::Values(Mode{VtMode::pools_64, 2}, Mode{VtMode::pools_32, 4},
                                         Mode{VtMode::pools_16, 8}));

TEST(VfWindowTest, MirrorsGeneralRegistersAndKeepsVfsApart) {
  DeviceOptions options;
  options.vfs = 2;
  Lab lab(options);
  lab.bring_up();
  EXPECT_EQ(lab.vf(0).read(vf::VFLINKS), 0x7000'0000u);
  EXPECT_EQ(lab.vf(0).read(vf::VFSTATUS), lab.pf().read(pf::STATUS));
  lab.vf(0).write(vf::VFMBMEM, 3, 0xabcd);
  lab.vf(1).write(vf::VFMBMEM, 3, 0x1234);
  EXPECT_EQ(lab.pf().read(pf::PFMBMEM, 3), 0xabcdu);
  EXPECT_EQ(lab.pf().read(pf::PFMBMEM, 16 + 3), 0x1234u);
  for (unsigned i = 0; i < 4; ++i) lab.vf(1).write(vf::VTIVAR, i, 0x8080 + i);
  for (unsigned i = 0; i < 4; ++i) {
    EXPECT_EQ(lab.vf(1).read(vf::VTIVAR, i), 0x8080 + i);
    EXPECT_EQ(lab.vf(0).read(vf::VTIVAR, i), 0u);
  }
  EXPECT_EQ(lab.pf().read(pf::VTIVAR, 1), 0x8080u);
  lab.vf(1).write(vf::VTEIMS, 0, 5);
  lab.vf(1).write(vf::VTEIMC, 0, 1);
  EXPECT_EQ(lab.vf(1).read(vf::VTEIMS), 4u);
  EXPECT_EQ(lab.pf().read(pf::VTEIMS, 1), 4u);
  lab.vf(1).write(vf::VFPSRTYPE, 0, 1u << 29);
  EXPECT_EQ(lab.pf().read(pf::PSRTYPE, 1), 1u << 29);
  EXPECT_EQ(lab.vf(0).load(0x3000), 0u);  // X550 only
  lab.vf(0).store(0x3ffc, 1);
}

}  // namespace
}  // namespace vigia::softnic::kit
