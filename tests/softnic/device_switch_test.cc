// SPDX-License-Identifier: Apache-2.0
// Mirror rules, loopback, anti-spoof and tags end to end, with real rings. The mirror cases are results seen on real
// hardware (reference 9.2).
#include <gtest/gtest.h>

#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;

struct Port {
  Lab lab;
  std::vector<std::unique_ptr<RxRing>> rx;
  std::vector<std::unique_ptr<TxRing>> tx;

  explicit Port(unsigned vfs, std::vector<Frame> frames = {}) : lab(options(vfs), std::move(frames)) {
    lab.bring_up();
    for (unsigned v = 0; v < vfs; ++v) {
      rx.push_back(std::make_unique<RxRing>(lab.vf(v), 0, 256));
      rx.back()->give(250);
      tx.push_back(std::make_unique<TxRing>(lab.vf(v), 0, 64));
    }
  }
  static DeviceOptions options(unsigned vfs) {
    DeviceOptions o;
    o.vfs = vfs;
    return o;
  }
  std::vector<std::size_t> received() {
    lab.run(60);
    std::vector<std::size_t> counts;
    for (auto& r : rx) counts.push_back(r->take_all().size());
    return counts;
  }
};

using Counts = std::vector<std::size_t>;

std::vector<Frame> frames_to(unsigned vf, unsigned count, std::optional<std::uint16_t> tci = std::nullopt) {
  std::vector<Frame> frames;
  for (unsigned i = 0; i < count; ++i) {
    frames.push_back(make_frame(mac_of(vf), kOutside, 64, static_cast<std::uint8_t>(i), tci));
  }
  return frames;
}

TEST(DeviceMirror, PoolAndAllPoolsRule) {
  auto frames = frames_to(0, 51);
  const auto more = frames_to(1, 51);
  frames.insert(frames.end(), more.begin(), more.end());
  Port port(3, frames);
  port.lab.mirror(0, Mrctl::vpme, 1, 1);
  port.lab.mirror(1, Mrctl::vpme, 2, ~std::uint64_t{0});
  for (unsigned v = 0; v < 3; ++v)
    port.lab.pf().write(pf::RQSMR, v / 2, port.lab.pf().read(pf::RQSMR, v / 2) | v << 16 * (v % 2));
  EXPECT_EQ(port.received(), (Counts{51, 102, 102}));
  for (unsigned v = 0; v < 3; ++v)
    EXPECT_EQ(port.lab.pf().read(pf::QPRC, v), v == 0 ? 51u : 102u) << "mirror copies count";
  EXPECT_EQ(port.lab.account("vf1.mirror_copies"), 51u);
  EXPECT_EQ(port.lab.account("switch.mirror_copies"), 51u + 102u);
  EXPECT_EQ(port.lab.pf().read(pf::RXDDPC), 153u) << "replicated packets";
}

TEST(DeviceMirror, PoolRule) {
  Port port(2, frames_to(0, 10));
  port.lab.mirror(0, Mrctl::vpme, 1, 1);
  EXPECT_EQ(port.received(), (Counts{10, 10}));
}

TEST(DeviceMirror, UplinkRule) {
  Port port(2, frames_to(0, 10));
  port.lab.mirror(0, Mrctl::upme, 1);
  EXPECT_EQ(port.received(), (Counts{10, 10}));
}

TEST(DeviceMirror, DownlinkRule) {
  Port port(2);
  port.lab.mirror(0, Mrctl::dpme, 1);
  for (int i = 0; i < 16; ++i) port.tx[0]->send(make_frame(kOutside, mac_of(0), 64));
  EXPECT_EQ(port.received(), (Counts{0, 16}));
  EXPECT_EQ(port.lab.account("tx.wire_and_local"), 16u);
}

TEST(DeviceMirror, VlanRule) {
  Port port(2, frames_to(0, 10, 100));
  Client p = port.lab.pf();
  p.write(pf::VLNCTRL, 0, Vlnctrl::vet_8100 | Vlnctrl::vfe);
  p.write(pf::VFTA, 100 / 32, 1u << 100 % 32);
  p.write(pf::PFVLVF, 5, Vlvf::vi_en | 100);
  p.write(pf::PFVLVFB, 10, 1);
  port.lab.mirror(0, Mrctl::vlme, 1, 0, 1u << 5);
  EXPECT_EQ(port.received(), (Counts{10, 10}));
}

TEST(DeviceMirror, DownlinkAndUplinkInOneRule) {
  Port port(2, frames_to(0, 10));
  port.lab.mirror(0, Mrctl::dpme | Mrctl::upme, 1);
  for (int i = 0; i < 16; ++i) port.tx[0]->send(make_frame(kOutside, mac_of(0), 64));
  EXPECT_EQ(port.received(), (Counts{10, 26}));
}

TEST(DeviceMirror, FourRulesAndAForwarder) {
  Port port(2, frames_to(0, 1));
  port.lab.mirror(0, Mrctl::upme, 1);
  port.lab.mirror(1, Mrctl::dpme, 1);
  port.lab.mirror(2, Mrctl::vpme, 1, 1);
  port.lab.mirror(3, Mrctl::vlme, 0, 0, ~std::uint64_t{0});
  port.lab.run(60);
  auto got = port.rx[0]->take_all();
  ASSERT_EQ(got.size(), 1u);
  Frame back = got[0].bytes;  // forwards by MAC swap
  std::swap_ranges(back.begin(), back.begin() + 6, back.begin() + 6);
  port.tx[0]->send(back);
  EXPECT_EQ(port.received(), (Counts{0, 2}));
  EXPECT_EQ(port.lab.account("vf0.tx_sent"), 1u);
}

TEST(DeviceMirror, MacLoopbackReturnsWhatAPoolSendsToItself) {
  Port port(2);
  port.lab.pf().write(pf::PFDTXGSWC, 0, 0);
  port.lab.pf().write(pf::HLREG0, 0, port.lab.pf().read(pf::HLREG0) | Hlreg0::lpbk);
  port.tx[0]->send(make_frame(mac_of(0), mac_of(0), 64));
  EXPECT_EQ(port.received(), (Counts{1, 0}));
  EXPECT_EQ(port.lab.account("wire.sent"), 1u) << "the MAC received it as if from the cable";
}

TEST(DeviceMirror, ADestinationWithoutReceiveEnableGetsNothing) {
  Port port(2, frames_to(0, 10));
  port.lab.mirror(0, Mrctl::vpme, 1, 1);
  port.lab.enable_pools(1);
  EXPECT_EQ(port.received(), (Counts{10, 0}));
  EXPECT_EQ(port.lab.account("vf1.copies"), 0u);
}

// ---- local switching ----

TEST(DeviceSwitch, LocalUnicastStaysAndCarriesTheLoopbackBit) {
  Port port(3);
  port.tx[0]->send(make_frame(mac_of(1), mac_of(0), 100));
  port.lab.run(10);
  const auto got = port.rx[1]->take_all();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_NE(got[0].word1 & RxStatus::lb, 0u);
  EXPECT_EQ(got[0].bytes, make_frame(mac_of(1), mac_of(0), 100));
  EXPECT_EQ(port.lab.account("tx.local_only"), 1u);
  EXPECT_EQ(port.lab.account("tx.wire_only"), 0u);
  EXPECT_EQ(port.lab.pf().read(pf::RXLPBKPC), 1u);
  EXPECT_EQ(port.lab.vf(0).read(vf::VFGPTC), 1u);
  EXPECT_EQ(port.lab.vf(0).read(vf::VFGOTC_LSB), 104u);
  EXPECT_EQ(port.lab.vf(1).read(vf::VFGPRC), 1u);
  EXPECT_EQ(port.lab.vf(1).read(vf::VFGORC_LSB), 104u);
}

TEST(DeviceSwitch, BroadcastGoesEverywhereButBack) {
  Port port(3);
  port.tx[0]->send(make_frame(kBroadcastMac, mac_of(0), 64));
  EXPECT_EQ(port.received(), (Counts{0, 1, 1}));
  EXPECT_EQ(port.lab.account("tx.wire_and_local"), 1u);
  EXPECT_EQ(port.lab.vf(1).read(vf::VFMPRC), 1u);
  EXPECT_EQ(port.lab.pf().read(pf::BPTC), 1u);
}

TEST(DeviceSwitch, WithoutLoopbackEverythingLeavesThePort) {
  Port port(2);
  port.lab.pf().write(pf::PFDTXGSWC, 0, 0);
  port.tx[0]->send(make_frame(mac_of(1), mac_of(0), 64));
  EXPECT_EQ(port.received(), (Counts{0, 0}));
  EXPECT_EQ(port.lab.account("tx.wire_only"), 1u);
  EXPECT_EQ(port.lab.pf().read(pf::GPTC), 1u);
  EXPECT_EQ(port.lab.pf().read(pf::GOTCL), 68u);
}

TEST(DeviceSwitch, SpoofedSourceIsDroppedAndCountedForThePf) {
  Port port(2);
  Client p = port.lab.pf();
  p.write(pf::PFVFSPOOF, 0, 1);
  p.write(pf::PFVMECM, 0, 1);
  port.tx[0]->send(make_frame(mac_of(1), mac_of(1), 64));
  port.tx[0]->send(make_frame(mac_of(1), mac_of(0), 64));
  EXPECT_EQ(port.received(), (Counts{0, 1}));
  EXPECT_EQ(port.lab.account("tx.spoofed"), 1u);
  EXPECT_EQ(port.lab.account("vf0.tx_dropped"), 1u);
  EXPECT_EQ(p.read(pf::SSVPC), 1u);
  EXPECT_EQ(p.read(pf::SSVPC), 0u);
}

TEST(DeviceSwitch, PortVlanIsInsertedAndOwnTagsRefused) {
  Port port(2);
  port.lab.pf().write(pf::PFVMVIR, 0, Vmvir::vlana_default | 0x2064);
  port.tx[0]->send(make_frame(mac_of(1), mac_of(0), 80, 5));
  port.tx[0]->send(make_frame(mac_of(1), mac_of(0), 80, 5, 7));
  port.lab.run(10);
  const auto got = port.rx[1]->take_all();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].bytes.size(), 84u);
  EXPECT_EQ(got[0].bytes[14], std::byte{0x20});
  EXPECT_EQ(got[0].bytes[15], std::byte{0x64});
  EXPECT_EQ(port.lab.account("tx.refused"), 1u);
}

TEST(DeviceSwitch, AVfWithoutTransmitEnableIsNotFetchedFrom) {
  Port port(2);
  port.lab.pf().write(pf::PFVFTE, 0, 2);
  port.tx[0]->send(make_frame(mac_of(1), mac_of(0), 64));
  EXPECT_EQ(port.received(), (Counts{0, 0}));
  EXPECT_EQ(port.lab.account("tx.sent"), 0u);
  port.lab.pf().write(pf::PFVFTE, 0, 3);
  EXPECT_EQ(port.received(), (Counts{0, 1})) << "it waited in the ring";
}

TEST(DeviceSwitch, LocalFramesBackPressureInsteadOfBeingLost) {
  Port port(2);
  port.lab.no_drop(2);  // queue 0 of VF 1
  for (unsigned i = 0; i < 255; ++i) {
    port.tx[0]->send(make_frame(mac_of(1), mac_of(0), 1500, static_cast<std::uint8_t>(i)));
    port.lab.run(1);
  }
  port.lab.run(10);
  EXPECT_EQ(port.lab.account("vf1.written"), 250u);
  EXPECT_EQ(port.lab.account("vf1.no_descriptor"), 0u);
  port.rx[1]->take_all();
  port.rx[1]->give(5);
  EXPECT_EQ(port.received()[1], 5u);
}

}  // namespace
}  // namespace vigia::softnic::kit
