// SPDX-License-Identifier: Apache-2.0
#include "softnic/wire_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace vigia::softnic {
namespace {

using testing::HasSubstr;

TEST(WireSpec, RefusalsSayWhatWasExpected) {
  const struct {
    std::string spec, expected;
  } rows[] = {
      {"", "unknown kind of wire; expected pcap:FILE"},
      {"tap", "unknown kind of wire"},
      {"tap:", "\"\": expected the name of a network interface, 1 to 15 bytes"},
      {"tap:,netns=a", "expected the name of a network interface"},
      {"tap:a23456789012345x", "expected the name of a network interface"},
      {"tap:a/b", "expected the name of a network interface"},
      {"tap:..", "expected the name of a network interface"},
      {"tap:t0,netns=", "netns=: expected a name as in \"ip netns\""},
      {"tap:t0,mtu=9000", "\"mtu=9000\": expected KEY=VALUE with one of the keys netns"},
      {"tap:t0,netns=a,netns=b", "netns is given twice"},
      {"pcap", "unknown kind of wire"},
      {"null:", "unknown kind of wire"},
      {"GEN:size=64", "unknown kind of wire"},
      {"pcap:", "no file; expected pcap:FILE[,rate=RATE][,loop=N|,count=N]"},
      {"pcap:,rate=max", "no file"},
      {std::string("pcap:a\0b", 8), "zero byte"},
      {"pcap:x.pcap,speed=1x", "\"speed=1x\": expected KEY=VALUE with one of the keys rate, loop"},
      {"pcap:x.pcap,rate=1x,", "\"rate=1x\": expected KEY=VALUE"},
      {"pcap:x.pcap,rate=1x,loop", "\"loop\": expected KEY=VALUE"},
      {"pcap:x.pcap,rate=1x,rate=2x", "rate is given twice"},
      {"pcap:x.pcap,loop=0", "loop=0: expected a whole number from 1 to 1000000000"},
      {"pcap:x.pcap,loop=-1", "loop=-1: expected a whole number"},
      {"pcap:x.pcap,loop=2.5", "loop=2.5: expected a whole number"},
      {"pcap:x.pcap,loop=", "loop=: expected a whole number"},
      {"pcap:x.pcap,loop=99999999999999999999", "expected a whole number"},
      {"pcap:x.pcap,rate=", "rate=: expected max, <n>x, <n>pps"},
      {"pcap:x.pcap,rate=fast", "rate=fast: expected max"},
      {"pcap:x.pcap,rate=1", "rate=1: expected max"},
      {"pcap:x.pcap,rate=x", "rate=x: expected max"},
      {"pcap:x.pcap,rate=-1x", "rate=-1x: expected max"},
      {"pcap:x.pcap,rate=infx", "rate=infx: expected max"},
      {"pcap:x.pcap,rate=nanpps", "rate=nanpps: expected max"},
      {"pcap:x.pcap,rate=1e3x", "rate=1e3x: expected max"},
      {"pcap:x.pcap,rate= 1x", "rate= 1x: expected max"},
      {"pcap:x.pcap,rate=0x", "rate=0x: expected a value from 0.001"},
      {"pcap:x.pcap,rate=0.0001pps", "expected a value from"},
      {"pcap:x.pcap,rate=2000gbps", "expected a value from"},
      {"pcap:x.pcap,count=0", "count=0: expected a whole number from 1"},
      {"pcap:x.pcap,loop=2,count=9", "loop and count both say how long"},
      {"gen:size", "\"size\": expected KEY=VALUE with one of the keys size, flows, count, rate, train, dst, src, vlan"},
      {"gen:sise=64", "\"sise=64\": expected KEY=VALUE"},
      {"gen:,size=64", "\"\": expected KEY=VALUE"},
      {"gen:size=64,,flows=1", "\"\": expected KEY=VALUE"},
      {"gen:size=63", "size=63: expected imix or bytes with FCS from 64 to 16000"},
      {"gen:size=16001", "size=16001: expected imix or bytes"},
      {"gen:size=imax", "size=imax: expected imix or bytes"},
      {"gen:flows=0", "flows=0: expected a whole number from 1 to 16777216"},
      {"gen:flows=16777217", "flows=16777217: expected"},
      {"gen:count=0", "count=0: expected a whole number from 1"},
      {"gen:count=1m", "count=1m: expected a whole number"},
      {"gen:train=0,rate=1mpps", "train=0: expected a whole number"},
      {"gen:rate=1x", "rate=1x replays the times of a capture"},
      {"gen:train=8", "train=8 with rate=max: expected a rate"},
      {"gen:train=8,rate=15mpps", "trains leave at 10gbps; expected a rate of at most 14.881mpps"},
      {"gen:size=1518,train=8,rate=1mpps", "expected a rate of at most 812.744kpps"},
      {"gen:train=8,rate=11gbps", "expected a rate of at most 10gbps"},
      {"gen:dst=02:00:00:00:00", "dst=02:00:00:00:00: expected an Ethernet address like 02:00:00:00:00:01"},
      {"gen:src=01:00:5e:00:00:01", "expected a unicast address"},
      {"gen:vlan=4095", "vlan=4095: expected a whole number from 0 to 4094"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.spec);
    const auto parsed = parse_wire_spec(row.spec);
    ASSERT_FALSE(parsed);
    EXPECT_THAT(parsed.error().text, HasSubstr(row.expected));
    EXPECT_THAT(parsed.error().text, HasSubstr("wire \"" + row.spec + "\": "));
    EXPECT_EQ(parsed.error().exit_status(), 2);
  }
}

TEST(WireSpec, Null) { EXPECT_EQ(parse_wire_spec("null")->kind, WireSpec::Kind::none); }

TEST(WireSpec, PcapDefaults) {
  const auto w = parse_wire_spec("pcap:trace.pcap");
  ASSERT_TRUE(w);
  EXPECT_EQ(w->kind, WireSpec::Kind::pcap);
  EXPECT_EQ(w->pcap.file, "trace.pcap");
  EXPECT_EQ(w->pcap.rate.kind, Rate::Kind::maximum);
  EXPECT_EQ(w->pcap.loop, 1u);
}

TEST(WireSpec, PcapKeysAndNamesWithCommas) {
  const auto w = parse_wire_spec("pcap:/a b/x,y,1=2.pcap,loop=3,rate=2.5x");
  ASSERT_TRUE(w) << w.error().text;
  EXPECT_EQ(w->pcap.file, "/a b/x,y,1=2.pcap");
  EXPECT_EQ(w->pcap.loop, 3u);
  EXPECT_EQ(w->pcap.rate.kind, Rate::Kind::original);
  EXPECT_EQ(w->pcap.rate.value, 2.5);
}

TEST(WireSpec, GenDefaultsAndKeys) {
  for (const char* text : {"gen", "gen:"}) {
    const auto w = parse_wire_spec(text);
    ASSERT_TRUE(w);
    EXPECT_EQ(w->kind, WireSpec::Kind::gen);
    EXPECT_EQ(w->gen.size, 64u);
    EXPECT_EQ(w->gen.flows, 4096u);
    EXPECT_EQ(w->gen.count, 0u);
    EXPECT_EQ(w->gen.destination.text(), "02:00:00:00:00:01");
    EXPECT_FALSE(w->gen.source.multicast());
    EXPECT_FALSE(w->gen.vlan);
  }
  const auto w = parse_wire_spec(
      "gen:size=imix,flows=7,count=1000000,rate=500kpps,train=32,dst=ff:ff:ff:ff:ff:ff,src=02-00-00-00-00-09,vlan=0");
  ASSERT_TRUE(w) << w.error().text;
  EXPECT_TRUE(w->gen.imix);
  EXPECT_EQ(w->gen.flows, 7u);
  EXPECT_EQ(w->gen.count, 1'000'000u);
  EXPECT_EQ(w->gen.rate.kind, Rate::Kind::packets);
  EXPECT_EQ(w->gen.rate.value, 5e5);
  EXPECT_EQ(w->gen.train, 32u);
  EXPECT_TRUE(w->gen.destination.broadcast());
  EXPECT_EQ(w->gen.source.text(), "02:00:00:00:00:09");
  EXPECT_EQ(w->gen.vlan, 0);
}

TEST(Rates, BothWays) {
  const struct {
    const char* text;
    Rate::Kind kind;
    double value;
    const char* back;
  } rows[] = {
      {"max", Rate::Kind::maximum, 1, "max"},
      {"1x", Rate::Kind::original, 1, "1x"},
      {"0.25x", Rate::Kind::original, 0.25, "0.25x"},
      {"100pps", Rate::Kind::packets, 100, "100pps"},
      {"1500pps", Rate::Kind::packets, 1500, "1.5kpps"},
      {"14.88mpps", Rate::Kind::packets, 14.88e6, "14.88mpps"},
      {"10gbps", Rate::Kind::bits, 10e9, "10gbps"},
      {"1000mbps", Rate::Kind::bits, 1e9, "1gbps"},
      {"8kbps", Rate::Kind::bits, 8e3, "8kbps"},
      {"0.5bps", Rate::Kind::bits, 0.5, "0.5bps"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    const auto rate = parse_rate(row.text);
    ASSERT_TRUE(rate);
    EXPECT_EQ(rate->kind, row.kind);
    EXPECT_DOUBLE_EQ(rate->value, row.value);
    EXPECT_EQ(to_text(*rate), row.back);
  }
}

}  // namespace
}  // namespace vigia::softnic
