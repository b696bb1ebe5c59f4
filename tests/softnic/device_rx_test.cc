// SPDX-License-Identifier: Apache-2.0
// Receive queues through a whole device: ring boundaries, descriptor formats, queue choice, back-pressure.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;

DeviceOptions with(unsigned vfs) {
  DeviceOptions options;
  options.vfs = vfs;
  return options;
}

std::vector<Frame> numbered(unsigned count, std::size_t bytes = 60) {
  std::vector<Frame> frames;
  for (unsigned i = 0; i < count; ++i) {
    frames.push_back(make_frame(mac_of(0), kOutside, bytes));
    frames.back()[20] = static_cast<std::byte>(i);
    frames.back()[21] = static_cast<std::byte>(i >> 8);
  }
  return frames;
}
unsigned number(const Received& r) {
  return std::to_integer<unsigned>(r.bytes.at(20)) | std::to_integer<unsigned>(r.bytes.at(21)) << 8;
}

// ---- refusals to enable ----

struct BadRing {
  const char* what;
  std::uint32_t rdlen, srrctl, rdh;
};

TEST(DeviceRx, RefusesToEnableWhatCannotWork) {
  const std::uint32_t good = 2 | Srrctl::desctype_advanced;
  const BadRing rows[] = {{"RDLEN 0", 0, good, 0},
                          {"RDLEN odd", 127, good, 0},
                          {"RDLEN not a multiple of 128", 128 * 3 + 16, good, 0},
                          {"RDLEN above 512 KiB", 512 * 1024 + 128, good, 0},
                          {"RDLEN huge", ~0u, good, 0},
                          {"BSIZEPACKET 0", 1024, Srrctl::desctype_advanced, 0},
                          {"BSIZEPACKET 17", 1024, 17 | Srrctl::desctype_advanced, 0},
                          {"header split", 1024, 2 | 2u << 25, 0},
                          {"RDH beyond the ring", 1024, good, 64},
                          {"ring outside DMA memory", 512 * 1024, good, 0}};
  for (const BadRing& row : rows) {
    SCOPED_TRACE(row.what);
    Lab lab(with(1));
    lab.bring_up();
    Client v = lab.vf(0);
    auto memory = dma_memory(64 * 1024);
    v.bus_master();
    v.map(memory, 0x10000);
    // Its last 64 KiB: on a machine with free huge pages it is larger than asked.
    v.write(vf::VFRDBAL, 0, static_cast<std::uint32_t>(0x10000 + memory.size() - 64 * 1024));
    v.write(vf::VFRDLEN, 0, row.rdlen);
    v.write(vf::VFRDH, 0, row.rdh);
    v.write(vf::VFSRRCTL, 0, row.srrctl);
    v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
    EXPECT_EQ(v.read(vf::VFRXDCTL) & Rxdctl::enable, 0u);
    EXPECT_GE(lab.device->faults().at("vf0.rx_faults"), 1u);
    // Put right, it works.
    v.write(vf::VFRDLEN, 0, 1024);
    v.write(vf::VFRDH, 0, 0);
    v.write(vf::VFSRRCTL, 0, good);
    v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
    EXPECT_NE(v.read(vf::VFRXDCTL) & Rxdctl::enable, 0u);
  }
}

// ---- ring boundaries ----

TEST(DeviceRx, BurstEndsExactlyOnTheLastDescriptor) {
  Lab lab(with(1), numbered(8), Rate::Kind::packets);
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 8);
  ring.give(7);
  lab.run(40);
  ASSERT_EQ(ring.take_all().size(), 7u);
  EXPECT_EQ(lab.account("vf0.no_descriptor"), 1u);
  EXPECT_EQ(lab.vf(0).read(vf::VFRDH), 7u) << "head meets tail";
  ring.give(1);
  EXPECT_EQ(lab.vf(0).read(vf::VFRDT), 0u);
}

TEST(DeviceRx, WrapsForManyRounds) {
  constexpr unsigned kFrames = 1000;
  Lab lab(with(1), numbered(kFrames));  // closed loop
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 8);
  ring.give(7);
  unsigned expected = 0;
  for (unsigned round = 0; round < 4000 && expected < kFrames; ++round) {
    lab.run(1);
    const auto got = ring.take_all();
    for (const Received& r : got) ASSERT_EQ(number(r), expected++);
    ring.give(static_cast<std::uint32_t>(got.size()));
  }
  EXPECT_EQ(expected, kFrames);
  EXPECT_TRUE(lab.device->wire_done());
  EXPECT_EQ(lab.account("vf0.no_descriptor"), 0u);
  EXPECT_GT(lab.account("wire.held_ns"), 0u);
}

TEST(DeviceRx, LongestRingWrapsToo) {
  constexpr std::uint32_t kEntries = 32768;
  Lab lab(with(1), numbered(100));
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, kEntries, 1);
  Client v = lab.vf(0);
  v.write(vf::VFRXDCTL, 0, 0);
  v.read(vf::VFSTATUS);
  v.write(vf::VFRDH, 0, kEntries - 50);
  v.write(vf::VFRDT, 0, kEntries - 50);
  v.write(vf::VFRXDCTL, 0, Rxdctl::enable);
  v.write(vf::VFRDT, 0, 60);
  lab.run(60);
  EXPECT_EQ(v.read(vf::VFRDH), 50u);
  EXPECT_NE(ring.descriptor(kEntries - 1)->word1 & dd, 0u);
  EXPECT_NE(ring.descriptor(49)->word1 & dd, 0u);
  EXPECT_EQ(ring.descriptor(50)->word1 & dd, 0u);
}

TEST(DeviceRx, MappedDoorbellsNeedNoMessage) {
  Lab lab(with(1), numbered(5));
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 16);
  ring.give_mapped(10, lab.device->chip().pages[0]);
  lab.run(40);
  EXPECT_EQ(ring.take_all().size(), 5u);
  // Disabling through the mapped page is complete after a trapped read.
  std::atomic_ref(*lab.device->chip().pages[0].word(vf::VFRXDCTL.at(0))).store(0);
  EXPECT_TRUE(lab.device->chip().rx[0].enabled());
  lab.vf(0).read(vf::VFSTATUS);
  EXPECT_FALSE(lab.device->chip().rx[0].enabled());
}

// ---- descriptor contents ----

TEST(DeviceRx, WriteBackOfOneFrame) {
  Lab lab(with(1), {make_frame(mac_of(0), kOutside, 60, 7)});
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 16);
  ring.give(4);
  lab.run(40);
  const auto got = ring.take_all();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].bytes, make_frame(mac_of(0), kOutside, 60, 7));
  EXPECT_EQ(got[0].word0, 0u) << "not IP, no hash";
  EXPECT_EQ(got[0].word1, RxStatus::dd | RxStatus::eop | 60ull << 32);
}

TEST(DeviceRx, FramesLongerThanABufferTakeSeveralDescriptors) {
  Lab lab(with(1), {make_frame(mac_of(0), kOutside, 2048), make_frame(mac_of(0), kOutside, 2049, 1),
                    make_frame(mac_of(0), kOutside, 9000, 2)});
  lab.pf().write(pf::HLREG0, 0, lab.pf().read(pf::HLREG0) | Hlreg0::jumboen);
  lab.pf().write(pf::MAXFRS, 0, 9018u << 16);
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 16);
  ring.give(15);
  lab.run(40);
  EXPECT_EQ(ring.descriptor(1)->word1, RxStatus::dd | 2ull << RxStatus::nextp_shift | 2048ull << 32)
      << "not the last: done, next, length";
  const auto got = ring.take_all();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].descriptors, 1u);
  EXPECT_EQ(got[1].descriptors, 2u);
  EXPECT_EQ(got[1].bytes, make_frame(mac_of(0), kOutside, 2049, 1));
  EXPECT_EQ(got[2].descriptors, 5u);
  EXPECT_EQ(got[2].bytes, make_frame(mac_of(0), kOutside, 9000, 2));
}

TEST(DeviceRx, AChainWithoutEnoughDescriptorsIsDroppedWhole) {
  Lab lab(with(1), {make_frame(mac_of(0), kOutside, 1500)}, Rate::Kind::packets);
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 8, 1);
  ring.give(1);
  lab.run(40);
  EXPECT_TRUE(ring.take_all().empty());
  EXPECT_EQ(ring.descriptor(0)->word1, 0u);
  EXPECT_EQ(lab.account("vf0.no_descriptor"), 1u);
}

TEST(DeviceRx, LegacyDescriptors) {
  Lab lab(with(1), {make_frame(mac_of(0), kOutside, 80, 0, 0x2005)});
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 16);
  Client v = lab.vf(0);
  v.write(vf::VFSRRCTL, 0, 2);
  v.write(vf::VFRXDCTL, 0, Rxdctl::enable | Rxdctl::vme);
  ring.give(4);
  lab.run(40);
  EXPECT_EQ(ring.descriptor(0)->word0, ring.buffer_iova(0)) << "the address stays";
  EXPECT_EQ(ring.descriptor(0)->word1, 76ull | 0x0bull << 32 | 0x2005ull << 48);  // DD, EOP, VP
}

TEST(DeviceRx, VlanTagIsStrippedPerQueue) {
  const Frame tagged = make_frame(mac_of(0), kOutside, 100, 9, 0x6123);
  Lab lab(with(2), {tagged});
  lab.bring_up();
  lab.mirror(0, Mrctl::vpme, 1, 1);
  RxRing stripping(lab.vf(0), 0, 16, 2, 0, Rxdctl::vme), plain(lab.vf(1), 0, 16);
  stripping.give(4);
  plain.give(4);
  lab.run(40);
  const auto a = stripping.take_all(), b = plain.take_all();
  ASSERT_EQ(a.size(), 1u);
  ASSERT_EQ(b.size(), 1u);
  Frame without = tagged;
  without.erase(without.begin() + 12, without.begin() + 16);
  EXPECT_EQ(a[0].bytes, without);
  EXPECT_EQ(a[0].word1 >> 48, 0x6123u);
  EXPECT_NE(a[0].word1 & RxStatus::vp, 0u);
  EXPECT_EQ(b[0].bytes, tagged);
  EXPECT_EQ(b[0].word1 >> 48, 0u);
}

// A chain whose tag falls into the first buffer, stripped: nothing shifts.
TEST(DeviceRx, StripWorksAcrossDescriptors) {
  const Frame tagged = make_frame(mac_of(0), kOutside, 1500, 3, 5);
  Lab lab(with(1), {tagged});
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 16, 1, 0, Rxdctl::vme);
  ring.give(8);
  lab.run(40);
  const auto got = ring.take_all();
  ASSERT_EQ(got.size(), 1u);
  Frame without = tagged;
  without.erase(without.begin() + 12, without.begin() + 16);
  EXPECT_EQ(got[0].bytes, without);
  EXPECT_EQ(got[0].descriptors, 2u);
}

// ---- queue choice ----

Frame ipv4_udp(std::uint16_t source_port, const hw::Mac& to) {
  Frame f = make_frame(to, kOutside, 80);
  const unsigned char header[] = {0x08, 0x00, 0x45, 0, 0, 66, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
  std::memcpy(f.data() + 12, header, sizeof header);
  f[34] = static_cast<std::byte>(source_port >> 8);
  f[35] = static_cast<std::byte>(source_port);
  f[36] = std::byte{0};
  f[37] = std::byte{53};
  return f;
}

TEST(DeviceRx, RssSpreadsOverThePoolsQueuesAndReportsTheHash) {
  std::vector<Frame> frames;
  for (std::uint16_t i = 0; i < 64; ++i) frames.push_back(ipv4_udp(static_cast<std::uint16_t>(1000 + i), mac_of(1)));
  Lab lab(with(2), frames);
  lab.bring_up(VtMode::pools_32);
  Client p = lab.pf();
  for (unsigned i = 0; i < 10; ++i) p.write(pf::RSSRK, i, 0x6d5a'6d5a + i);
  for (unsigned i = 0; i < 32; ++i) p.write(pf::RETA, i, 0x03020100);
  p.write(pf::MRQC, 0, Mrqc::vmdq_rss_32x4 | Mrqc::udp_ipv4 | Mrqc::ipv4);
  p.write(pf::PSRTYPE, 1, 2u << Psrtype::rqpl_shift);
  std::vector<std::unique_ptr<RxRing>> rings;
  for (unsigned q = 0; q < 4; ++q) {
    rings.push_back(std::make_unique<RxRing>(lab.vf(1), q, 128));
    rings.back()->give(100);
  }
  lab.run(60);
  std::size_t total = 0;
  for (unsigned q = 0; q < 4; ++q) {
    const auto got = rings[q]->take_all();
    EXPECT_GT(got.size(), 0u) << q;
    total += got.size();
    for (const Received& r : got) {
      EXPECT_EQ(r.word0 & 0xf, RssType::udp_ipv4);
      EXPECT_EQ(r.word0 & 0xfff0, PacketType::ipv4 | PacketType::udp);
      EXPECT_EQ(r.word0 >> 32 & 3, q) << "the low bits of the hash index RETA";
    }
  }
  EXPECT_EQ(total, 64u);
}

TEST(DeviceRx, WithoutRqplAllGoesToTheFirstQueue) {
  std::vector<Frame> frames;
  for (std::uint16_t i = 0; i < 16; ++i) frames.push_back(ipv4_udp(static_cast<std::uint16_t>(1000 + i), mac_of(0)));
  Lab lab(with(1), frames);
  lab.bring_up();
  lab.pf().write(pf::MRQC, 0, Mrqc::vmdq_rss_64x2 | Mrqc::udp_ipv4);
  for (unsigned i = 0; i < 32; ++i) lab.pf().write(pf::RETA, i, 0x01000100);
  RxRing first(lab.vf(0), 0, 64), second(lab.vf(0), 1, 64);
  first.give(32);
  second.give(32);
  lab.run(60);
  EXPECT_EQ(first.take_all().size(), 16u);
  EXPECT_TRUE(second.take_all().empty());
}

TEST(DeviceRx, TrafficClassByPriorityIn16Pools) {
  Lab lab(with(1), {make_frame(mac_of(0), kOutside, 80, 0, 5u << 13 | 1), make_frame(mac_of(0), kOutside, 80)});
  lab.bring_up(VtMode::pools_16);
  lab.pf().write(pf::RTRUP2TC, 0, 3u << 15);  // priority 5 to class 3
  RxRing q0(lab.vf(0), 0, 16), q3(lab.vf(0), 3, 16);
  q0.give(4);
  q3.give(4);
  lab.run(40);
  EXPECT_EQ(q0.take_all().size(), 1u);
  EXPECT_EQ(q3.take_all().size(), 1u);
}

TEST(DeviceRx, EthertypeFilterPicksAQueueOfItsPool) {
  Lab lab(with(1), {make_frame(mac_of(0), kOutside, 80)});
  lab.bring_up();
  lab.pf().write(pf::ETQF, 2, Etqf::enable | 0x88B5);
  lab.pf().write(pf::ETQS, 2, Etqs::queue_enable | 1u << Etqs::queue_shift);
  RxRing q1(lab.vf(0), 1, 16);
  q1.give(4);
  lab.run(40);
  const auto got = q1.take_all();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].word0, PacketType::etqf | 2u << 4);
}

TEST(DeviceRx, WithoutVtModeThePfReceives) {
  Lab lab(with(1), {make_frame(hw::Mac::unpack(0x9059'8200'0002), kOutside)});
  Client p = lab.pf();
  p.bus_master();
  auto memory = dma_memory(64 * 1024);
  p.map(memory, 0);
  auto* const ring = reinterpret_cast<std::uint64_t*>(memory.data());
  ring[0] = 0x8000;
  p.write(pf::RDLEN, 0, 128);
  p.write(pf::SRRCTL, 0, 2 | Srrctl::desctype_advanced);
  p.write(pf::RXDCTL, 0, Rxdctl::enable);
  EXPECT_NE(p.read(pf::RXDCTL, 0) & Rxdctl::enable, 0u);
  p.write(pf::RDT, 0, 4);
  p.write(pf::RXCTRL, 0, Rxctrl::rxen);
  lab.run(40);
  EXPECT_NE(ring[1] & dd, 0u);
  EXPECT_EQ(lab.account("pf.written"), 1u);
}

// ---- drop-enable, back-pressure, the closed loop ----

TEST(DeviceRx, DropEnableLosesOnlyTheSlowPoolsFrames) {
  constexpr unsigned kFrames = 100;
  Lab lab(with(2), numbered(kFrames), Rate::Kind::packets);
  lab.bring_up();
  lab.mirror(0, Mrctl::vpme, 1, 1);
  lab.pf().write(pf::RQSMR, 0, 0x0003'0001);  // queue 0 to counter 1, queue 2 to counter 3
  RxRing fast(lab.vf(0), 0, 256), slow(lab.vf(1), 0, 16);
  fast.give(200);
  slow.give(10);
  lab.run(60);
  EXPECT_EQ(fast.take_all().size(), kFrames);
  EXPECT_EQ(slow.take_all().size(), 10u);
  EXPECT_EQ(lab.account("vf1.no_descriptor"), kFrames - 10);
  EXPECT_EQ(lab.account("wire.missed"), 0u);
  EXPECT_EQ(lab.pf().read(pf::QPRDC, 3), kFrames - 10);
  EXPECT_EQ(lab.pf().read(pf::QPRDC, 3), 0u);
  EXPECT_EQ(lab.pf().read(pf::QPRC, 1), kFrames);
}

TEST(DeviceRx, DropEnMayComeFromSrrctlAlone) {
  Lab lab(with(1), numbered(10), Rate::Kind::packets);
  lab.bring_up();
  lab.no_drop(0);
  RxRing ring(lab.vf(0), 0, 16, 2, Srrctl::drop_en);
  ring.give(4);
  lab.run(40);
  EXPECT_EQ(lab.account("vf0.no_descriptor"), 6u);
}

TEST(DeviceRx, WithoutDropEnableThePacketBufferHoldsAndInOrder) {
  constexpr unsigned kFrames = 100;
  Lab lab(with(2), numbered(kFrames), Rate::Kind::packets);
  lab.bring_up();
  lab.no_drop(0);
  lab.mirror(0, Mrctl::vpme, 1, 1);
  RxRing blocked(lab.vf(0), 0, 16), other(lab.vf(1), 0, 256);
  blocked.give(10);
  other.give(250);
  lab.run(60);
  EXPECT_EQ(lab.account("buffer.left"), kFrames - 10);
  EXPECT_EQ(lab.account("wire.done"), 0u);
  EXPECT_EQ(lab.account("wire.accepted"), kFrames);
  EXPECT_EQ(lab.account("switch.routed"), 10u);
  EXPECT_EQ(other.take_all().size(), 11u) << "the first frame that waits gave its other copy already";
  unsigned expected = 0;
  for (unsigned round = 0; round < 200 && expected < kFrames; ++round) {
    const auto got = blocked.take_all();
    for (const Received& r : got) ASSERT_EQ(number(r), expected++);
    blocked.give(static_cast<std::uint32_t>(got.size()));
    lab.run(1);
  }
  EXPECT_EQ(expected, kFrames);
  EXPECT_EQ(other.take_all().size(), kFrames - 11);
  EXPECT_EQ(lab.account("buffer.left"), 0u);
  EXPECT_TRUE(lab.device->wire_done());
}

TEST(DeviceRx, AFullPacketBufferMisses) {
  constexpr unsigned kFrames = 600;
  Lab lab(with(1), numbered(kFrames, 1500), Rate::Kind::packets);
  lab.bring_up();
  lab.no_drop(0);
  RxRing ring(lab.vf(0), 0, 16);
  ring.give(8);
  lab.run(60);
  const std::uint64_t held = 512 * 1024 / 1500;
  EXPECT_EQ(lab.account("wire.missed"), kFrames - 8 - held);
  EXPECT_EQ(lab.pf().read(pf::RXMPC, 0), kFrames - 8 - held);
  EXPECT_EQ(lab.account("buffer.left"), held);
  // A queue that is switched off lets the buffer go: its copies end as queue_disabled.
  lab.vf(0).write(vf::VFRXDCTL, 0, 0);
  lab.run(4);
  EXPECT_EQ(lab.account("vf0.queue_disabled"), held);
  EXPECT_EQ(lab.account("buffer.left"), 0u);
}

TEST(DeviceRx, ClosedLoopWaitsForABusyReaderButNotForADeadOne) {
  constexpr unsigned kFrames = 50;
  Lab lab(with(1), numbered(kFrames));
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 16);
  ring.give(10);
  lab.run(1000);
  EXPECT_EQ(lab.account("wire.sent"), 10u);
  EXPECT_EQ(lab.account("vf0.no_descriptor"), 0u);
  lab.now += 900'000'000;
  lab.run(2);
  EXPECT_EQ(lab.account("wire.sent"), 10u) << "still patient";
  ring.give(5);
  lab.run(4);
  EXPECT_EQ(lab.account("wire.sent"), 15u);
  lab.now += 900'000'000;
  lab.run(2);
  EXPECT_EQ(lab.account("wire.sent"), 15u) << "progress starts the clock anew";
  lab.now += 1'200'000'000;
  lab.run(4);
  EXPECT_EQ(lab.account("wire.sent"), kFrames) << "not waited for any more";
  EXPECT_EQ(lab.account("vf0.no_descriptor"), kFrames - 15);
}

// ---- timing ----

TEST(DeviceTiming, TheCableCarriesTenGigabit) {
  DeviceOptions options = with(1);
  options.timing = Timing::intel_82599;
  Lab lab(options, numbered(20000), Rate::Kind::packets);
  lab.bring_up();
  RxRing ring(lab.vf(0), 0, 32768, 1);
  ring.give(32767);
  lab.run(1000);  // a millisecond: 14880 frames of 64 bytes
  EXPECT_NEAR(static_cast<double>(lab.account("wire.sent")), 14881.0, 320.0);
}

TEST(DeviceTiming, FourMirrorCopiesDoNotFitThroughTheSlot) {
  DeviceOptions options = with(5);
  options.timing = Timing::intel_82599;
  constexpr unsigned kFrames = 60000;
  Lab lab(options, numbered(kFrames), Rate::Kind::packets);
  lab.bring_up();
  std::vector<std::unique_ptr<RxRing>> rings;
  for (unsigned v = 0; v < 5; ++v) {
    if (v != 0) lab.mirror(v - 1, Mrctl::vpme, v, 1);
    rings.push_back(std::make_unique<RxRing>(lab.vf(v), 0, 32768, 1));
    rings.back()->give(32767);
  }
  for (unsigned i = 0; i < 200; ++i) {
    lab.run(10);
    for (auto& r : rings) r->give(static_cast<std::uint32_t>(r->take_all().size()));
  }
  // 2 ms: 4.0e9 B/s over 109 bytes a copy are 7.3 million frames a second with five copies; the buffer holds 8738.
  const std::uint64_t missed = lab.account("wire.missed"), sent = lab.account("wire.sent");
  EXPECT_GT(missed, 0u);
  const double delivered = static_cast<double>(lab.account("vf0.written"));
  EXPECT_NEAR(delivered, 2e-3 * 4.0e9 / 109 / 5, 600);
  EXPECT_EQ(sent, lab.account("wire.accepted") + missed);
}

}  // namespace
}  // namespace vigia::softnic::kit
