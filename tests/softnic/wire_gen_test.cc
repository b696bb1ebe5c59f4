// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_gen.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "hw/ixgbe/descriptor.h"

namespace vigia::softnic {
namespace {

std::unique_ptr<Wire> gen(const std::string& spec) {
  auto wire = open_wire(spec);
  EXPECT_TRUE(wire) << wire.error().text;
  return std::move(*wire);
}

unsigned at(FrameBytes f, std::size_t i) { return std::to_integer<unsigned>(f[i]); }

// RFC 1071, byte by byte: 0 for a header or datagram whose checksum is right.
unsigned checksum(FrameBytes b, unsigned sum) {
  for (std::size_t i = 0; i < b.size(); ++i) sum += at(b, i) << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

void expect_valid_udp(FrameBytes f, std::size_t ip_at) {
  const auto ip = f.subspan(ip_at);
  ASSERT_EQ(at(ip, 2) << 8 | at(ip, 3), ip.size());
  EXPECT_EQ(checksum(ip.first(20), 0), 0u);
  const auto udp = ip.subspan(20);
  EXPECT_EQ(at(udp, 4) << 8 | at(udp, 5), udp.size());
  EXPECT_NE(at(udp, 6) << 8 | at(udp, 7), 0u) << "0 would mean none";
  unsigned pseudo = 17 + static_cast<unsigned>(udp.size());
  for (std::size_t i = 12; i < 20; i += 2) pseudo += at(ip, i) << 8 | at(ip, i + 1);
  EXPECT_EQ(checksum(udp, pseudo), 0u);
}

TEST(Gen, FramesAreValidUdp) {
  for (const char* spec :
       {"gen:size=64,count=300", "gen:size=65,count=9,rate=1mpps", "gen:size=1518,count=9,rate=10gbps",
        "gen:size=9728,count=3", "gen:size=16000,count=3,rate=1pps"}) {
    SCOPED_TRACE(spec);
    const auto wire = gen(spec);
    while (const WireFrame* f = wire->next()) {
      const L2Key l2 = parse_l2(f->bytes);
      EXPECT_EQ(l2.destination, (hw::Mac{{2, 0, 0, 0, 0, 1}}.packed()));
      const L3Key l3 = parse_l3(f->bytes, l2);
      EXPECT_EQ(l3.packet_type, hw::ixgbe::PacketType::ipv4 | hw::ixgbe::PacketType::udp);
      expect_valid_udp(f->bytes, 14);
    }
  }
}

// A checksum that comes out as 0 must go out as 0xffff: among 65536 sequence numbers there is one.
TEST(Gen, ChecksumIsNeverZero) {
  const auto wire = gen("gen:flows=1,count=70000");
  while (const WireFrame* f = wire->next()) {
    ASSERT_NE(at(f->bytes, 40) << 8 | at(f->bytes, 41), 0u);
    if ((at(f->bytes, 40) << 8 | at(f->bytes, 41)) == 0xffff) expect_valid_udp(f->bytes, 14);
  }
}

TEST(Gen, SizeCountsTheFcs) {
  EXPECT_EQ(gen("gen:size=64")->next()->bytes.size(), 60u);
  EXPECT_EQ(gen("gen:size=1518")->next()->bytes.size(), 1514u);
  EXPECT_EQ(gen("gen:size=68,vlan=5")->next()->bytes.size(), 64u);
}

TEST(Gen, SequenceAndDepartureAreInThePayload) {
  const auto wire = gen("gen:size=64,count=1000,rate=1mpps");
  for (std::uint64_t n = 0; n < 1000; ++n) {
    const WireFrame* f = wire->next();
    ASSERT_NE(f, nullptr);
    const auto stamp = read_gen_stamp(f->bytes);
    ASSERT_TRUE(stamp);
    EXPECT_EQ(stamp->sequence, n);
    EXPECT_EQ(stamp->departure_ns, f->departure_ns);
    EXPECT_EQ(f->departure_ns, n * 1000);
  }
  EXPECT_EQ(wire->next(), nullptr);
  EXPECT_EQ(wire->next(), nullptr);
  EXPECT_EQ(wire->counts().frames, 1000u);
  EXPECT_EQ(wire->counts().bytes, 60'000u);
  EXPECT_EQ(wire->counts().padded, 0u);
  EXPECT_EQ(wire->total_frames(), 1000u);
}

TEST(Gen, VlanTagLeavesRoomForTheSequenceOnly) {
  const auto wire = gen("gen:size=64,vlan=4094,count=3,rate=1kpps");
  for (std::uint64_t n = 0; const WireFrame* f = wire->next(); ++n) {
    EXPECT_EQ(parse_l2(f->bytes).vid(), 4094);
    expect_valid_udp(f->bytes, 18);
    const auto stamp = read_gen_stamp(f->bytes);
    ASSERT_TRUE(stamp);
    EXPECT_EQ(stamp->sequence, n);
    EXPECT_FALSE(stamp->departure_ns);
  }
  EXPECT_TRUE(read_gen_stamp(gen("gen:size=66,vlan=1")->next()->bytes)->departure_ns);
}

TEST(Gen, ForeignFramesHaveNoStamp) {
  EXPECT_FALSE(read_gen_stamp({}));
  const auto wire = gen("gen");
  const auto bytes = wire->next()->bytes;
  std::vector<std::byte> other(bytes.begin(), bytes.end());
  other[37] = std::byte{10};  // another port
  EXPECT_FALSE(read_gen_stamp(other));
  EXPECT_FALSE(read_gen_stamp(FrameBytes(bytes).first(49)));
}

TEST(Gen, FlowsAreDistinctAndInTurn) {
  constexpr unsigned kFlows = 70'000;  // more than there are ports
  const auto wire = gen("gen:flows=70000,count=140000");
  std::set<std::string> seen;
  std::vector<std::string> flows;
  while (const WireFrame* f = wire->next()) {
    const L3Key l3 = parse_l3(f->bytes, parse_l2(f->bytes));
    std::string flow(12, '\0');
    std::memcpy(flow.data(), l3.hash_input, 12);
    if (flows.size() < kFlows) {
      EXPECT_TRUE(seen.insert(flow).second);
    }
    if (flows.size() >= kFlows) {
      ASSERT_EQ(flow, flows[flows.size() - kFlows]);
    }
    flows.push_back(flow);
  }
  EXPECT_EQ(flows.size(), 2 * kFlows);
}

TEST(Gen, ImixIsSevenFourOne) {
  const auto wire = gen("gen:size=imix,count=1200");
  std::map<std::size_t, unsigned> sizes;
  while (const WireFrame* f = wire->next()) {
    ++sizes[f->bytes.size() + 4];
    expect_valid_udp(f->bytes, 14);
  }
  EXPECT_EQ(sizes, (std::map<std::size_t, unsigned>{{64, 700}, {594, 400}, {1518, 100}}));
}

TEST(Gen, TrainsAreBackToBackAndHoldTheRate) {
  const auto wire = gen("gen:size=64,count=320,rate=1mpps,train=32");
  std::uint64_t last = 0;
  for (unsigned n = 0; const WireFrame* f = wire->next(); ++n) {
    if (n % 32 == 0) {
      EXPECT_EQ(f->departure_ns, n * 1000u);
    } else {
      EXPECT_NEAR(static_cast<double>(f->departure_ns - last), 67.2, 1);
    }
    last = f->departure_ns;
  }
}

TEST(Gen, MaximumHasNoDepartureTimes) {
  const auto wire = gen("gen:count=5");
  while (const WireFrame* f = wire->next()) EXPECT_EQ(f->departure_ns, 0u);
}

TEST(Gen, DescribesItself) {
  EXPECT_EQ(gen("gen:count=10")->describe(), "gen:size=64,flows=4096, 10 frames, max");
  EXPECT_EQ(gen("gen:size=imix,vlan=3,rate=2gbps,train=4")->describe(),
            "gen:size=imix,flows=4096,vlan=3, endless, 2gbps in trains of 4");
}

TEST(Null, SendsNothing) {
  const auto wire = gen("null");
  EXPECT_EQ(wire->next(), nullptr);
  EXPECT_EQ(wire->total_frames(), 0u);
  EXPECT_EQ(wire->counts().frames, 0u);
  EXPECT_EQ(wire->describe(), "null");
}

}  // namespace
}  // namespace vigia::softnic
