// SPDX-License-Identifier: Apache-2.0
// The frames between host and probe: whatever comes, only whole frames come out, and nothing is lost behind garbage.
#include "hw/channel_frame.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace vigia::hw::channel {
namespace {

std::string framed(FrameType type, std::uint32_t id, std::string_view payload) {
  std::string out;
  append_frame(out, {type, id, payload});
  return out;
}

struct Got {
  FrameType type;
  std::uint32_t id;
  std::string payload;
  bool operator==(const Got&) const = default;
};

std::vector<Got> drain(FrameParser& parser) {
  std::vector<Got> all;
  while (const auto frame = parser.next()) all.push_back({frame->type, frame->id, std::string(frame->payload)});
  return all;
}

const Got kOne{FrameType::request, 7, "{\"command\":\"hello\"}"},
    kTwo{FrameType::data, 0xffffffffu, std::string("\0\n", 2)};
const std::string kFrames = framed(kOne.type, kOne.id, kOne.payload) + framed(kTwo.type, kTwo.id, kTwo.payload);

TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u) << "the check value of the polynomial";
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau) << "RFC 3720 B.4";
  EXPECT_EQ(crc32c("56789", crc32c("1234")), 0xe3069283u) << "in pieces";
}

TEST(FrameParser, AnyCutOfTheStreamGivesTheSameFrames) {
  for (std::size_t step = 1; step <= kFrames.size(); ++step) {
    FrameParser parser(kMaxRequest);
    std::vector<Got> all;
    for (std::size_t at = 0; at < kFrames.size(); at += step) {
      parser.add(std::string_view(kFrames).substr(at, step));
      for (Got& got : drain(parser)) all.push_back(std::move(got));
    }
    EXPECT_EQ(all, (std::vector{kOne, kTwo})) << "pieces of " << step;
    EXPECT_EQ(parser.passed_over(), 0u);
    EXPECT_FALSE(parser.waiting());
  }
}

TEST(FrameParser, GarbageIsPassedOverAndCounted) {
  const std::string magic = kFrames.substr(0, 4);
  const std::string cases[] = {"x",
                               std::string(100'000, '\0'),
                               magic,
                               magic + magic,
                               magic.substr(0, 3),
                               kFrames.substr(5),
                               magic + std::string(16, '\xff'),
                               "{\"command\":\"hello\"}\n"};
  for (const std::string& garbage : cases) {
    FrameParser parser(kMaxRequest);
    parser.add(garbage);
    std::vector<Got> all = drain(parser);
    const std::size_t early = all.size();  // garbage may hold whole frames of its own
    parser.add(kFrames);
    for (Got& got : drain(parser)) all.push_back(std::move(got));
    ASSERT_EQ(all.size(), early + 2) << garbage.size();
    EXPECT_EQ(all[early], kOne);
    EXPECT_EQ(all[early + 1], kTwo);
    std::size_t known = kFrames.size();
    for (std::size_t i = 0; i < early; ++i) known += kFrameHeader + all[i].payload.size();
    EXPECT_EQ(parser.passed_over() + known, garbage.size() + kFrames.size())
        << "each byte is of a frame or passed over";
  }
}

// One flipped bit, wherever: that frame is none, the next one is found.
TEST(FrameParser, EveryBitIsGuarded) {
  const std::size_t first = kFrameHeader + kOne.payload.size();
  for (std::size_t bit = 0; bit < first * 8; ++bit) {
    std::string broken = kFrames;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << bit % 8));
    FrameParser parser(kMaxRequest);
    parser.add(broken);
    std::vector<Got> all = drain(parser);
    // A length that has grown asks for bytes that never come.
    while (parser.waiting()) {
      parser.give_up();
      for (Got& got : drain(parser)) all.push_back(std::move(got));
    }
    EXPECT_EQ(all, std::vector{kTwo}) << "bit " << bit;
  }
}

TEST(FrameParser, LengthsBeyondTheBoundAreNoFrames) {
  const std::string largest(kMaxRequest, 'a'), longer(kMaxRequest + 1, 'a');
  FrameParser parser(kMaxRequest);
  parser.add(framed(FrameType::request, 1, largest) + framed(FrameType::request, 2, longer) + kFrames);
  const auto all = drain(parser);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].payload, largest);
  EXPECT_EQ(all[1], kOne);
  EXPECT_EQ(parser.passed_over(), kFrameHeader + longer.size());
  FrameParser wide(kMaxPayload);
  wide.add(framed(FrameType::data, 3, std::string(kMaxPayload, 'b')));
  EXPECT_EQ(drain(wide).size(), 1u);
}

TEST(FrameParser, ResetForgetsWhatHasBegun) {
  FrameParser parser(kMaxRequest);
  parser.add(std::string_view(kFrames).substr(0, 30));
  EXPECT_TRUE(drain(parser).empty());
  EXPECT_TRUE(parser.waiting());
  parser.reset();
  EXPECT_FALSE(parser.waiting());
  parser.add(kFrames);
  EXPECT_EQ(drain(parser).size(), 2u);
}

// Captured packets may hold frames of this protocol: inside a frame they are payload, behind a cut one they are not
// told apart by the stream, which is why ids are not guessable.
TEST(FrameParser, FramesInsideFramesArePayload) {
  FrameParser parser(kMaxPayload);
  parser.add(framed(FrameType::data, 9, kFrames));
  const auto all = drain(parser);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].payload, kFrames);
}

TEST(FrameParser, ManySmallPiecesOfALargeFrameStayCheap) {
  const std::string frame = framed(FrameType::data, 1, std::string(kMaxPayload, '\x47'));
  FrameParser parser(kMaxPayload);
  for (const char c : frame) {
    parser.add({&c, 1});
    if (const auto got = parser.next()) {
      EXPECT_EQ(got->payload.size(), kMaxPayload);
    }
  }
  EXPECT_FALSE(parser.waiting());
}

}  // namespace
}  // namespace vigia::hw::channel
