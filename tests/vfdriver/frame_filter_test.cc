// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/frame_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "tests/vfdriver/ring_fixture.h"

namespace vigia::vf {
namespace {

using ::testing::HasSubstr;

// An IPv4 TCP frame from 10.0.0.1:1234 to 10.0.0.2:80.
std::vector<std::byte> tcp_frame() {
  const unsigned char bytes[] = {2, 0, 0,  0, 0, 2, 2,  0, 0, 0, 0,  1, 8, 0, 0x45, 0,    0, 46, 0, 0,
                                 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 4,    0xd2, 0, 80, 0, 0};
  std::vector<std::byte> frame(60);
  std::memcpy(frame.data(), bytes, sizeof(bytes));
  return frame;
}

bool passes(const std::string& text, std::uint32_t wire = 60, std::size_t captured = 60) {
  const auto frame = tcp_frame();
  const FrameFilter filter = must(FrameFilter::compile(text));
  return filter.passes({Stamp::of_ns(1), wire, std::span(frame).first(captured)});
}

TEST(FrameFilter, LetsPassWhatPcapFilterSays) {
  const std::pair<const char*, bool> cases[] = {{"", true},
                                                {"tcp", true},
                                                {"udp", false},
                                                {"tcp port 80", true},
                                                {"tcp port http", true},
                                                {"tcp port 81", false},
                                                {"src host 10.0.0.1 and dst net 10.0.0.0/24", true},
                                                {"host 10.0.0.3", false},
                                                {"ether src 02:00:00:00:00:01", true},
                                                {"less 60", true},
                                                {"greater 61", false},
                                                {"host ::1", false},
                                                {"vlan 7", false},
                                                {"not tcp", false}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(passes(text), expected) << text;
}

TEST(FrameFilter, LengthIsTheWiresAndBytesAreTheCaptured) {
  EXPECT_TRUE(passes("greater 1500", 1500, 60));
  EXPECT_TRUE(passes("ether src 02:00:00:00:00:01", 60, 14));
  EXPECT_FALSE(passes("tcp port 80", 60, 20)) << "what is cut off cannot match, and is not read";
  EXPECT_FALSE(passes("tcp", 60, 0));
}

TEST(FrameFilter, RefusalsAreInputErrorsInLibpcapsWords) {
  for (const char* text : {"tcp prt 80", "(", "port 65536", "ether[0:3] = 1", "host 10.0.0.256", "\x01", "tcp and"}) {
    const auto filter = FrameFilter::compile(text);
    ASSERT_FALSE(filter) << text;
    EXPECT_EQ(filter.error().exit_status(), 2);
    EXPECT_THAT(filter.error().text, HasSubstr("filter \"" + std::string(text)));
  }
}

// A name server that does not answer would hold up the host's other requests.
TEST(FrameFilter, NamesAreNeverAskedOfAServer) {
  for (const char* text : {"host no-such-host.vigia.example", "net no-such-net.vigia.example",
                           "src a.vigia.example or dst b.vigia.example"}) {
    const auto begin = std::chrono::steady_clock::now();
    const auto filter = FrameFilter::compile(text);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1)) << text;
    ASSERT_FALSE(filter) << text;
    EXPECT_THAT(filter.error().text, HasSubstr("give its address")) << text;
  }
  EXPECT_TRUE(FrameFilter::compile("host localhost")) << "what the system's files know is known";
}

}  // namespace
}  // namespace vigia::vf
