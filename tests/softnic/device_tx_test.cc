// SPDX-License-Identifier: Apache-2.0
// Transmit queues and offloads: what arrives is compared with what a sender without offloads would have sent.
#include <gtest/gtest.h>

#include "tests/softnic/device_kit.h"

namespace vigia::softnic::kit {
namespace {

using namespace hw::ixgbe;

DeviceOptions two() {
  DeviceOptions o;
  o.vfs = 2;
  return o;
}

struct Pair {
  Lab lab{two()};
  std::unique_ptr<RxRing> rx;
  std::unique_ptr<TxRing> tx;

  explicit Pair(std::uint32_t entries = 64, std::uint64_t head_write_back = 0) {
    lab.bring_up();
    rx = std::make_unique<RxRing>(lab.vf(1), 0, 256);
    rx->give(255);
    tx = std::make_unique<TxRing>(lab.vf(0), 0, entries, head_write_back);
  }
  std::vector<Frame> received() {
    lab.run(20);
    std::vector<Frame> frames;
    for (auto& r : rx->take_all()) frames.push_back(std::move(r.bytes));
    return frames;
  }
};

Frame local(std::size_t bytes, std::uint8_t mark = 0) { return make_frame(mac_of(1), mac_of(0), bytes, mark); }

TEST(DeviceTx, OneFrameAndItsReport) {
  Pair p;
  p.tx->send(local(60, 3));
  EXPECT_EQ(p.received(), std::vector<Frame>{local(60, 3)});
  EXPECT_NE(p.tx->word1(0) & TxCommand::dd, 0u);
  EXPECT_EQ(p.lab.vf(0).read(vf::VFTDH), 1u);
}

TEST(DeviceTx, WithoutRsNothingIsReported) {
  Pair p;
  const Frame f = local(60);
  std::memcpy(p.tx->memory().data() + TxRing::kHead, f.data(), f.size());
  p.tx->put(p.tx->iova() + TxRing::kHead,
            60 | TxCommand::dtyp_data | TxCommand::dext | TxCommand::eop | 60ull << TxCommand::paylen_shift);
  p.tx->ring();
  EXPECT_EQ(p.received().size(), 1u);
  EXPECT_EQ(p.tx->word1(0) & TxCommand::dd, 0u);
  EXPECT_EQ(p.lab.vf(0).read(vf::VFTDH), 1u);
}

TEST(DeviceTx, FrameInManyPieces) {
  Pair p;
  p.tx->send(local(1500, 1), 0, 70);
  EXPECT_EQ(p.received(), std::vector<Frame>{local(1500, 1)});
  EXPECT_EQ(p.tx->word1(0) & TxCommand::dd, 0u) << "only the last asked for a report";
  EXPECT_NE(p.tx->word1(21) & TxCommand::dd, 0u);
}

TEST(DeviceTx, ShortFramesArePaddedWithZeros) {
  Pair p;
  Frame f = local(60);
  f.resize(20);
  p.tx->send(f);
  f.resize(60);
  EXPECT_EQ(p.received(), std::vector<Frame>{f});
}

TEST(DeviceTx, AnUnfinishedPacketWaitsForItsEnd) {
  Pair p;
  const Frame f = local(100);
  std::memcpy(p.tx->memory().data() + TxRing::kHead, f.data(), f.size());
  const std::uint64_t base = TxCommand::dtyp_data | TxCommand::dext;
  p.tx->put(p.tx->iova() + TxRing::kHead, 50 | base);
  p.tx->ring();
  EXPECT_TRUE(p.received().empty());
  EXPECT_EQ(p.lab.vf(0).read(vf::VFTDH), 0u);
  p.tx->put(p.tx->iova() + TxRing::kHead + 50, 50 | base | TxCommand::eop | TxCommand::rs);
  p.tx->ring();
  EXPECT_EQ(p.received(), std::vector<Frame>{f});
}

TEST(DeviceTx, RingWrapsInOrder) {
  Pair p(8);
  std::uint8_t next = 0;
  for (std::uint8_t i = 0; i < 100; ++i) {
    p.tx->send(local(64, i));
    for (const Frame& f : p.received()) EXPECT_EQ(f, local(64, next++));
    p.rx->give(1);
  }
  EXPECT_EQ(next, 100);
}

TEST(DeviceTx, HeadWriteBackInsteadOfDoneBits) {
  constexpr std::uint64_t kAt = TxRing::kIova + 0x8000;
  Pair p(64, kAt | Tdwbal::enable);
  p.tx->send(local(60));
  p.tx->send(local(60));
  EXPECT_EQ(p.received().size(), 2u);
  std::uint32_t head = 0;
  std::memcpy(&head, p.tx->memory().data() + 0x8000, 4);
  EXPECT_EQ(head, 2u);
  EXPECT_EQ(p.tx->word1(0) & TxCommand::dd, 0u);
}

TEST(DeviceTx, DescriptorTagIsInserted) {
  Pair p;
  p.tx->context(std::uint64_t{0x3007} << 16 | 14u << 9, 0);
  p.tx->send(local(100, 2), TxCommand::vle);
  Frame want = local(100, 2);
  const Frame tag{std::byte{0x81}, std::byte{0x00}, std::byte{0x30}, std::byte{0x07}};
  want.insert(want.begin() + 12, tag.begin(), tag.end());
  EXPECT_EQ(p.received(), std::vector<Frame>{want});
}

TEST(DeviceTx, QueueCountersAndInterruptCause) {
  Pair p;
  p.lab.pf().write(pf::TQSM, 0, 2);
  p.lab.vf(0).write(vf::VTIVAR, 0, 0x8100);  // transmit of queue 0: vector 1
  p.tx->send(local(60));
  p.received();
  EXPECT_EQ(p.lab.pf().read(pf::QPTC, 2), 1u);
  EXPECT_EQ(p.lab.pf().read(pf::QBTC_L, 2), 64u);
  EXPECT_EQ(p.lab.pf().read(pf::TXDGPC), 1u);
  EXPECT_EQ(p.lab.vf(0).read(vf::VTEICR), 2u);
}

TEST(DeviceTx, RateLimitSpacesFrames) {
  Pair p(128);
  p.lab.pf().write(pf::RTTDQSEL, 0, 0);
  p.lab.pf().write(pf::RTTBCNRC, 0, Rttbcnrc::enable | 100u << 14);  // 100 Mb/s
  for (int i = 0; i < 100; ++i) p.tx->send(local(1226));             // 1250 bytes on the wire: 100 us each
  p.lab.run(5000);
  EXPECT_NEAR(static_cast<double>(p.lab.account("tx.sent")), 51.0, 2.0);
}

// ---- offloads, against plain arithmetic ----

std::uint16_t checksum(std::span<const std::byte> bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    sum += std::to_integer<std::uint32_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}
void put(Frame& f, std::size_t at, std::uint32_t value) {
  f[at] = static_cast<std::byte>(value >> 8);
  f[at + 1] = static_cast<std::byte>(value);
}
std::uint32_t get(const Frame& f, std::size_t at) {
  return std::to_integer<std::uint32_t>(f[at]) << 8 | std::to_integer<std::uint32_t>(f[at + 1]);
}
std::uint32_t pseudo(const Frame& f, bool v6, std::uint32_t protocol, std::uint32_t l4_bytes) {
  std::uint32_t sum = protocol + l4_bytes;
  const std::size_t from = v6 ? 22 : 26, bytes = v6 ? 32 : 8;
  for (std::size_t i = 0; i < bytes; i += 2) sum += get(f, from + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

// An IPv4 or IPv6 frame with zero checksums; payload counts up.
Frame ip_frame(bool v6, std::uint8_t protocol, std::size_t l4_header, std::size_t payload) {
  const std::size_t ip = v6 ? 40 : 20;
  Frame f = local(14 + ip + l4_header + payload);
  put(f, 12, v6 ? 0x86DD : 0x0800);
  std::fill(f.begin() + 14, f.begin() + 14 + static_cast<std::ptrdiff_t>(ip + l4_header), std::byte{0});
  if (v6) {
    f[14] = std::byte{0x60};
    put(f, 18, static_cast<std::uint32_t>(l4_header + payload));
    f[20] = std::byte{protocol};
    for (std::size_t i = 22; i < 54; ++i) f[i] = static_cast<std::byte>(i * 7);
  } else {
    f[14] = std::byte{0x45};
    put(f, 16, static_cast<std::uint32_t>(ip + l4_header + payload));
    put(f, 18, 0xfffe);  // identification, about to wrap
    f[22] = std::byte{64};
    f[23] = std::byte{protocol};
    for (std::size_t i = 26; i < 34; ++i) f[i] = static_cast<std::byte>(i * 5);
  }
  return f;
}

std::uint64_t context1(bool v6, std::uint64_t l4, std::uint64_t l4_bytes = 0, std::uint64_t mss = 0) {
  return (v6 ? 0 : TxContext::ipv4) | l4 << TxContext::l4_shift | l4_bytes << TxContext::l4len_shift |
         mss << TxContext::mss_shift;
}

struct OffloadCase {
  bool v6;
  std::uint8_t protocol;
  std::uint64_t l4;
  std::size_t header, payload, field;
};

TEST(DeviceTxOffload, ChecksumsOfEachProtocolEvenAndOddLengths) {
  for (const bool v6 : {false, true}) {
    for (const std::size_t payload : {1u, 64u, 101u, 1400u}) {
      for (const auto& c : {OffloadCase{v6, 6, TxContext::l4_tcp, 20, payload, 16},
                            OffloadCase{v6, 17, TxContext::l4_udp, 8, payload, 6}}) {
        Pair p;
        Frame f = ip_frame(v6, c.protocol, c.header, payload);
        const std::size_t ip = v6 ? 40 : 20, l4 = 14 + ip;
        const auto l4_bytes = static_cast<std::uint32_t>(c.header + payload);
        if (c.protocol == 17) put(f, l4 + 4, l4_bytes);
        Frame want = f;
        put(f, l4 + c.field, pseudo(f, v6, c.protocol, l4_bytes));  // the driver's seed
        p.tx->context(14u << 9 | ip, context1(v6, c.l4));
        p.tx->send(f, TxOption::txsm | (v6 ? 0 : TxOption::ixsm) | TxCommand::cc);
        if (!v6) put(want, 24, checksum(std::span(want).subspan(14, 20)));
        put(want, l4 + c.field, checksum(std::span(want).subspan(l4), pseudo(want, v6, c.protocol, l4_bytes)));
        if (want.size() < 60) want.resize(60);
        EXPECT_EQ(p.received(), std::vector<Frame>{want}) << v6 << " " << int{c.protocol} << " " << payload;
      }
    }
  }
}

TEST(DeviceTxOffload, SctpCrcKnownAnswer) {
  // RFC 3720 B.4: CRC-32C of 32 zero bytes is 0x8A9136AA.
  const Frame zeros(32);
  EXPECT_EQ(crc32c(zeros), 0x8A9136AAu);
  Pair p;
  Frame f = ip_frame(false, 132, 12, 40);
  p.tx->context(14u << 9 | 20, context1(false, TxContext::l4_sctp));
  p.tx->send(f, TxOption::txsm);
  const auto got = p.received();
  ASSERT_EQ(got.size(), 1u);
  const std::uint32_t crc = crc32c(std::span(f).subspan(34));
  EXPECT_EQ(std::memcmp(got[0].data() + 42, &crc, 4), 0);
}

TEST(DeviceTxOffload, TcpSegmentation) {
  for (const bool v6 : {false, true}) {
    Pair p;
    constexpr std::size_t kMss = 1000, kPayload = 3500, kHeader = 32;  // with options
    Frame big = ip_frame(v6, 6, kHeader, kPayload);
    const std::size_t ip = v6 ? 40 : 20, l4 = 14 + ip;
    put(big, l4 + 4, 0xffff);
    put(big, l4 + 6, 0xfe00);               // sequence wraps from the low half to the high one
    big[l4 + 12] = std::byte{0x80};         // header of 32 bytes
    big[l4 + 13] = std::byte{0x80 | 0x19};  // CWR, ACK, PSH, FIN
    Frame sent = big;
    put(sent, l4 + 16, pseudo(sent, v6, 6, 0));  // seed without the length
    p.tx->context(14u << 9 | ip, context1(v6, TxContext::l4_tcp, kHeader, kMss));
    p.tx->send(sent, TxCommand::tse | TxOption::txsm | (v6 ? 0 : TxOption::ixsm), 700);
    const auto got = p.received();
    ASSERT_EQ(got.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t n = std::min(kMss, kPayload - i * kMss);
      Frame want(big.begin(), big.begin() + static_cast<std::ptrdiff_t>(l4 + kHeader));
      const auto from = big.begin() + static_cast<std::ptrdiff_t>(l4 + kHeader + i * kMss);
      want.insert(want.end(), from, from + static_cast<std::ptrdiff_t>(n));
      const std::uint32_t sequence = 0xffff'fe00u + static_cast<std::uint32_t>(i * kMss);
      put(want, l4 + 4, sequence >> 16);
      put(want, l4 + 6, sequence);
      const unsigned flags[] = {0x90, 0x10, 0x10, 0x19};
      want[l4 + 13] = static_cast<std::byte>(flags[i]);
      const auto l4_bytes = static_cast<std::uint32_t>(kHeader + n);
      if (v6) {
        put(want, 18, l4_bytes);
      } else {
        put(want, 16, 20 + l4_bytes);
        put(want, 18, 0xfffe + static_cast<std::uint32_t>(i));
        put(want, 24, 0);
        put(want, 24, checksum(std::span(want).subspan(14, 20)));
      }
      put(want, l4 + 16, checksum(std::span(want).subspan(l4), pseudo(want, v6, 6, l4_bytes)));
      EXPECT_EQ(got[i], want) << v6 << " segment " << i;
    }
    EXPECT_EQ(p.lab.account("tx.sent"), 4u);
  }
}

TEST(DeviceTxOffload, UdpSegmentationWithATag) {
  Pair p;
  Frame big = ip_frame(false, 17, 8, 250);
  put(big, 38, 258);
  put(big, 40, pseudo(big, false, 17, 0));
  p.tx->context(std::uint64_t{77} << 16 | 14u << 9 | 20, context1(false, TxContext::l4_udp, 8, 100));
  p.tx->send(big, TxCommand::tse | TxCommand::vle | TxOption::txsm | TxOption::ixsm);
  const auto got = p.received();
  ASSERT_EQ(got.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint32_t n = i < 2 ? 100 : 50;
    EXPECT_EQ(get(got[i], 12), 0x8100u);
    EXPECT_EQ(get(got[i], 14), 77u);
    EXPECT_EQ(got[i].size(), 14 + 4 + 20 + 8 + n);
    EXPECT_EQ(get(got[i], 42), 8 + n) << "UDP length";
    Frame bare = got[i];
    bare.erase(bare.begin() + 12, bare.begin() + 16);
    EXPECT_EQ(checksum(std::span(bare).subspan(14, 20)), 0);
    EXPECT_EQ(checksum(std::span(bare).subspan(34), pseudo(bare, false, 17, 8 + n)), 0);
  }
}

struct BadOffload {
  const char* what;
  std::uint64_t word0, word1, options;
};

TEST(DeviceTxOffload, RequestsThatMakeNoSenseStopTheQueue) {
  const BadOffload rows[] = {
      {"IP checksum without an IPv4 header", 14u << 9 | 10, context1(false, 1), TxOption::ixsm},
      {"IP checksum of IPv6", 14u << 9 | 40, context1(true, 1), TxOption::ixsm},
      {"IP header beyond the frame", 127u << 9 | 20, context1(false, 1), TxOption::ixsm},
      {"L4 beyond the frame", 14u << 9 | 40, context1(false, TxContext::l4_tcp), TxOption::txsm},
      {"reserved L4 type", 14u << 9 | 20, context1(false, 3), TxOption::txsm},
      {"MSS 0", 14u << 9 | 20, context1(false, TxContext::l4_tcp, 20, 0), TxCommand::tse},
      {"L4 header too short", 14u << 9 | 20, context1(false, TxContext::l4_tcp, 8, 100), TxCommand::tse},
      {"headers longer than data", 14u << 9 | 20, context1(false, TxContext::l4_tcp, 60, 100), TxCommand::tse},
      {"segmentation of SCTP", 14u << 9 | 20, context1(false, TxContext::l4_sctp, 12, 100), TxCommand::tse},
      {"no context at all", 0, 0, TxCommand::tse},
  };
  for (const BadOffload& row : rows) {
    Pair p;
    p.tx->context(row.word0, row.word1);
    p.tx->send(ip_frame(false, 6, 20, 16), row.options);
    EXPECT_TRUE(p.received().empty()) << row.what;
    EXPECT_EQ(p.lab.account("tx.malformed"), 1u) << row.what;
    EXPECT_EQ(p.lab.vf(0).read(vf::VFTXDCTL) & Txdctl::enable, 0u) << row.what;
  }
}

}  // namespace
}  // namespace vigia::softnic::kit
