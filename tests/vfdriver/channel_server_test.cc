// SPDX-License-Identifier: Apache-2.0
// The guest's end of the channel against hosts that ask well, badly, too much, too slowly, or not any more.
#include "vfdriver/channel_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "tests/vfdriver/channel_client.h"
#include "vfdriver/reader.h"

namespace vigia::vf {
namespace {

using hw::channel::FrameType;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr const char* kPullAll = "{\"command\":\"pull\"}";
// 16 MiB of ring: more than pipe, socket and server hold together.
constexpr RingGeometry kLarge{
    .data_bytes = 16 << 20, .segment_bytes = 32 << 20, .mark_bytes = 4096 * 16, .max_captured = 1514};

std::uint64_t frames_of(const std::string& pcapng) {
  TempDir dir;
  spill(dir / "a.pcapng", {pcapng.begin(), pcapng.end()});
  auto reader = must(open_capture(dir / "a.pcapng"));
  FrameView view;
  std::uint64_t frames = 0;
  while (must(reader->next(view))) {
    EXPECT_TRUE(is_frame(view, view.stamp.total_ns() - 1'000'000'000));
    ++frames;
  }
  return frames;
}

TEST(ChannelServer, AnswersUnderTheIdOfTheRequest) {
  ServedRing t;
  ChannelClient host(t.socket());
  EXPECT_EQ(host.ask(5, "{\"command\":\"hello\"}").json()["name"], "p1");
  EXPECT_EQ(host.ask(0xffffffffu, "{\"command\":\"status\"}").json()["state"], "capturing");
  const auto time = host.ask(6, "{\"command\":\"time\"}").json();
  EXPECT_LE(time["receive_ns"].get<std::uint64_t>(), time["send_ns"].get<std::uint64_t>());
  EXPECT_GT(time["ticks"].get<std::uint64_t>(), 0u);
  EXPECT_EQ(host.ask(7, "{\"command\":\"cancel\"}").json()["cancelled"], false);
}

TEST(ChannelServer, TakesWhatIsMirrored) {
  ServedRing t;
  ChannelClient host(t.socket());
  EXPECT_EQ(host.ask(1, R"({"command":"mirrors","port":{"vfs":[]}})").json()["taken"], true);
  EXPECT_EQ(t.mirrors, "{\"vfs\":[]}");
  const ClientFrame without = host.ask(2, R"({"command":"mirrors"})");
  EXPECT_EQ(without.type, FrameType::failure);
  EXPECT_THAT(without.payload, HasSubstr("no mirrors"));
}

TEST(ChannelServer, WhatIsNoRequestIsRefusedInWords) {
  ServedRing t;
  ChannelClient host(t.socket());
  const std::pair<std::string, const char*> cases[] = {
      {"", "none that this vigia-capture knows"},
      {"[]", "none that"},
      {"{\"command\":1}", "none that"},
      {"{\"command\":\"reboot\"}", "none that"},
      {"\xff\xfe", "none that"},
      {R"({"command":"pull","filter":"("})", "filter \\\"("},
      {R"({"command":"pull","filter":"host a.vigia.example"})", "give its address"},
      {R"({"command":"pull","last_ns":1,"from_ns":1})", "neither"},
      {R"({"command":"pull","from_ns":5,"to_ns":5})", "not after from_ns"},
      {R"({"command":"pull","follow":true,"to_ns":5})", "until it is cancelled"},
      {R"({"command":"pull","lst_ns":5})", "did you mean last_ns?"},
      {R"({"command":"pull","last_ns":-5})", "last_ns: want a whole number"},
      {R"({"command":"pull","snaplen":65536})", "snaplen: want"},
      {R"({"command":"pull","filter":")" + std::string(5000, ' ') + "\"}", "longer than 4096"}};
  std::uint32_t id = 1;
  for (const auto& [json, says] : cases) {
    const ClientFrame answer = host.ask(++id, json);
    EXPECT_EQ(answer.type, FrameType::failure) << json;
    EXPECT_EQ(answer.json()["status"], 2);
    EXPECT_THAT(answer.payload, HasSubstr(says));
  }
  EXPECT_EQ(host.ask(99, "{\"command\":\"hello\"}").json()["name"], "p1");
}

TEST(ChannelServer, PullsAreWholeFilesWithAnEndRecord) {
  ServedRing t;
  t.feed(50);
  ChannelClient host(t.socket());
  std::string file;
  const auto end = host.ask(1, kPullAll, &file).json();
  EXPECT_EQ(frames_of(file), 50u);
  EXPECT_EQ(end["frames"], 50);
  EXPECT_EQ(end["bytes"], 50 * 600);
  EXPECT_EQ(end["file_bytes"], file.size());
  EXPECT_EQ(end["first_ns"], 1'000'000'000);
  EXPECT_EQ(end["last_ns"], 1'000'000'049);
  EXPECT_EQ(end["filtered"], 0);
  EXPECT_EQ(end["gap_frames"], 0);
  EXPECT_EQ(end["from_ring"], 50);
  EXPECT_EQ(end["limited"], false);
  EXPECT_EQ(end["missing"]["frames_before"], 0) << "the window began before the capture";

  std::string part;
  const auto window = host.ask(2, R"({"command":"pull","from_ns":1000000010,"to_ns":1000000020})", &part).json();
  EXPECT_EQ(frames_of(part), 10u);
  EXPECT_TRUE(window["missing"].is_null());

  std::string none;
  const auto filtered = host.ask(3, R"({"command":"pull","filter":"less 100"})", &none).json();
  EXPECT_EQ(frames_of(none), 0u);
  EXPECT_EQ(filtered["filtered"], 50);
  EXPECT_EQ(filtered["frames"], 0);

  std::string limited;
  const auto limit = host.ask(4, R"({"command":"pull","max_bytes":2000,"snaplen":64})", &limited).json();
  EXPECT_EQ(limit["limited"], true);
  EXPECT_GT(limit["frames"].get<std::uint64_t>(), 3u);
  EXPECT_EQ(limit["bytes"].get<std::uint64_t>(), 64 * limit["frames"].get<std::uint64_t>());
}

TEST(ChannelServer, AnOverwrittenWindowIsSaid) {
  ServedRing t;
  t.feed(500);
  ChannelClient host(t.socket());
  std::string file;
  const auto end = host.ask(1, kPullAll, &file).json();
  EXPECT_EQ(end["frames"].get<std::uint64_t>(), frames_of(file));
  EXPECT_EQ(end["missing"]["frames_before"].get<std::uint64_t>() + end["frames"].get<std::uint64_t>(), 500u);
  EXPECT_THAT(end["missing"]["why"].get<std::string>(), HasSubstr("overwritten"));
  EXPECT_THAT(file, HasSubstr("overwritten")) << "the file says it too";
}

TEST(ChannelServer, NothingCapturedYetIsAnEmptyFile) {
  ServedRing t;
  t.source.ring = nullptr;
  ChannelClient host(t.socket());
  std::string file;
  EXPECT_EQ(host.ask(1, kPullAll, &file).json()["frames"], 0);
  EXPECT_EQ(frames_of(file), 0u);
}

TEST(ChannelServer, FollowGoesOnUntilItIsCancelled) {
  ServedRing t;
  t.feed(10);
  ChannelClient host(t.socket());
  host.send(1, R"({"command":"pull","follow":true,"from_ns":1})");
  std::string file;
  const auto read_until = [&](std::size_t bytes) {
    while (file.size() < bytes) {
      const auto frame = host.next();
      ASSERT_TRUE(frame);
      ASSERT_EQ(frame->type, FrameType::data);
      file += frame->payload;
    }
  };
  read_until(10 * 600);
  const std::size_t before = file.size();
  t.feed(5);
  read_until(before + 5 * 600);
  // Another pull is refused meanwhile; everything else is answered.
  EXPECT_THAT(host.ask(2, kPullAll).payload, HasSubstr("another pull"));
  EXPECT_EQ(host.ask(3, "{\"command\":\"status\"}").json()["state"], "capturing");
  EXPECT_EQ(host.ask(4, "{\"command\":\"cancel\"}").json()["cancelled"], true);
  for (auto frame = host.next(); frame; frame = host.next()) {
    if (frame->type == FrameType::data) {
      file += frame->payload;
      continue;
    }
    EXPECT_EQ(frame->id, 1u);
    EXPECT_EQ(frame->json()["frames"], 15);
    EXPECT_EQ(frame->json()["cancelled"], true);
    break;
  }
  EXPECT_EQ(frames_of(file), 15u);
}

// A host that does not read fills the pipe; the writer of the ring goes on, and other requests are still taken.
TEST(ChannelServer, ASlowReaderHoldsUpNothing) {
  ServedRing t(kLarge);
  t.feed(20'000);
  ChannelClient host(t.socket());
  host.send(1, kPullAll);
  std::this_thread::sleep_for(milliseconds(100));
  const auto begin = std::chrono::steady_clock::now();
  t.feed(40'000);  // comes round: the pull is lapped, the writer is not slowed down
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  host.send(2, "{\"command\":\"status\"}");
  std::string file;
  std::optional<nlohmann::json> end;
  bool status = false;
  while (!end) {
    const auto frame = host.next();
    ASSERT_TRUE(frame);
    if (frame->id == 2) status = true;
    if (frame->id == 1 && frame->type == FrameType::data) file += frame->payload;
    if (frame->id == 1 && frame->type == FrameType::reply) end = frame->json();
  }
  EXPECT_TRUE(status) << "answered in the middle of the pull";
  const auto missing = (*end)["missing"].is_null() ? 0 : (*end)["missing"]["frames_before"].get<std::uint64_t>();
  const std::uint64_t got = (*end)["frames"], gap = (*end)["gap_frames"];
  EXPECT_EQ(frames_of(file), got);
  EXPECT_GT(gap, 0u);
  EXPECT_EQ(missing + got + gap, 20'000u) << "of the frames that were there when the pull began";
}

TEST(ChannelServer, AClientThatLeavesInTheMiddleIsForgotten) {
  ServedRing t(kLarge);
  t.feed(20'000);
  for (int i = 0; i < 5; ++i) {
    ChannelClient host(t.socket());
    host.send(1, kPullAll);
    if (i % 2 == 0) {
      ASSERT_TRUE(host.next());
    }
    host.send_bytes(std::string("VGCH\x01\x01", 6));  // and a request that breaks off
  }
  ChannelClient host(t.socket());
  EXPECT_EQ(host.ask(1, "{\"command\":\"hello\"}").json()["name"], "p1");
  std::string file;
  EXPECT_EQ(host.ask(2, kPullAll, &file).json()["frames"], 20'000);
  EXPECT_EQ(frames_of(file), 20'000u);
}

TEST(ChannelServer, HelloEndsWhatAnEarlierClientHadAskedFor) {
  ServedRing t(kLarge);
  t.feed(20'000);
  ChannelClient host(t.socket());
  host.send(1, kPullAll);
  EXPECT_EQ(host.ask(2, "{\"command\":\"hello\"}").json()["name"], "p1");
  std::string file;
  EXPECT_EQ(host.ask(3, kPullAll, &file).json()["frames"], 20'000) << "not refused as a second one";
  EXPECT_EQ(frames_of(file), 20'000u);
}

TEST(ChannelServer, ASecondClientIsToldThatTheChannelIsBusy) {
  ServedRing t;
  auto first = std::make_optional<ChannelClient>(t.socket());
  EXPECT_EQ(first->ask(1, "{\"command\":\"hello\"}").json()["name"], "p1");
  ChannelClient second(t.socket());
  const auto busy = second.next();
  ASSERT_TRUE(busy);
  EXPECT_EQ(busy->type, FrameType::failure);
  EXPECT_EQ(busy->id, 0u);
  EXPECT_THAT(busy->payload, HasSubstr("busy"));
  EXPECT_FALSE(second.next()) << "and hung up on";
  EXPECT_EQ(first->ask(2, "{\"command\":\"status\"}").json()["state"], "capturing");
  first.reset();
  ChannelClient third(t.socket());
  EXPECT_EQ(third.ask(1, "{\"command\":\"hello\"}").json()["name"], "p1");
}

TEST(ChannelServer, GarbageBeforeARequestIsPassedOver) {
  ServedRing t;
  ChannelClient host(t.socket());
  host.send_bytes(std::string(50'000, 'V'));
  host.send_bytes("VGCH\x01\x01");
  EXPECT_EQ(host.ask(1, "{\"command\":\"hello\"}").json()["name"], "p1");
  // A header that promises bytes which do not come: given up after a while.
  std::string begun;
  hw::channel::append_frame(begun, {FrameType::request, 2, std::string(1000, 'x')});
  host.send_bytes(begun.substr(0, 30));
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(host.ask(3, "{\"command\":\"hello\"}").json()["name"], "p1");
}

TEST(ChannelServer, ManyRequestsWithoutReadingAreCutOffNotCollected) {
  ServedRing t;
  ChannelClient host(t.socket());
  std::string burst;
  for (std::uint32_t i = 1; i < 2000; ++i) {
    hw::channel::append_frame(burst, {FrameType::request, i, "{\"command\":\"" + std::string(7000, '\\') + "\"}"});
  }
  std::thread flood([&] { host.send_bytes(burst); });
  std::this_thread::sleep_for(milliseconds(300));
  std::size_t answers = 0;
  while (host.next(milliseconds(500))) ++answers;
  flood.join();
  while (host.next(milliseconds(500))) ++answers;
  EXPECT_GT(answers, 0u);
  EXPECT_EQ(host.ask(9999, "{\"command\":\"hello\"}").json()["name"], "p1") << "the channel still works";
}

TEST(ChannelServer, StopIsAnsweredWithTheFinalStatistics) {
  ServedRing t;
  ChannelClient host(t.socket());
  host.send(1, "{\"command\":\"stop\"}");
  EXPECT_FALSE(host.next(milliseconds(300))) << "not before the capture has ended";
  EXPECT_TRUE(t.stop_asked);
  t.final_said = true;
  t.stop();
  const auto answer = host.next();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->id, 1u);
  EXPECT_EQ(answer->json()["frames"], 5);
}

TEST(ChannelServer, AStopInTheMiddleOfAPullEndsItWithAWholeFile) {
  ServedRing t;
  t.feed(20);
  ChannelClient host(t.socket());
  host.send(1, R"({"command":"pull","follow":true,"from_ns":1})");
  std::string file = host.next()->payload;
  t.stop();
  std::optional<ClientFrame> last;
  for (auto frame = host.next(); frame; frame = host.next()) {
    last = frame;
    if (frame->type != FrameType::data) break;
    file += frame->payload;
  }
  ASSERT_TRUE(last);
  EXPECT_EQ(last->type, FrameType::reply);
  // The first bytes may be the file's header alone: how many of the 20 got out before the stop is a matter of time.
  EXPECT_LE(last->json()["frames"], 20);
  EXPECT_EQ(last->json()["frames"], frames_of(file));
}

// A terminal stands in for a virtio-serial port: bytes as they are, POLLHUP while nobody holds the other end.
TEST(ChannelServer, ADeviceComesAndItsHostComesAndGoes) {
  TempDir dir;
  const auto link_path = dir / "port";
  ChannelServer server(must(ChannelLink::open(link_path.string())),
                       {[] { return std::string("{\"name\":\"p1\"}"); }, [] { return std::string("{}"); },
                        [] { return PullSource{}; }, [] {}, [] { return std::string(); }});
  std::atomic<bool> stop{false};
  std::thread thread([&] { server.run(stop); });
  for (int round = 0; round < 2; ++round) {
    Fd master{::posix_openpt(O_RDWR | O_NOCTTY)};
    ASSERT_TRUE(master && ::grantpt(master.get()) == 0 && ::unlockpt(master.get()) == 0);
    std::filesystem::remove(link_path);
    std::filesystem::create_symlink(::ptsname(master.get()), link_path);
    std::this_thread::sleep_for(milliseconds(300));  // the device is opened, and made raw
    std::string request;
    hw::channel::append_frame(request, {FrameType::request, 0x0a0d0311, "{\"command\":\"hello\"}"});
    ASSERT_EQ(::write(master.get(), request.data(), request.size()), static_cast<ssize_t>(request.size()));
    hw::channel::FrameParser parser(hw::channel::kMaxPayload);
    std::optional<hw::channel::Frame> frame;
    char bytes[4096];
    for (pollfd readable{master.get(), POLLIN, 0}; !(frame = parser.next()) && ::poll(&readable, 1, 5000) > 0;) {
      const auto got = ::read(master.get(), bytes, sizeof(bytes));
      if (got <= 0) break;
      parser.add({bytes, static_cast<std::size_t>(got)});
    }
    ASSERT_TRUE(frame) << "round " << round;
    EXPECT_EQ(frame->id, 0x0a0d0311u);
  }
  stop = true;
  thread.join();
}

TEST(ChannelLink, WrongSpecsAreInputErrors) {
  TempDir dir;
  spill(dir / "file", {});
  for (const std::string& spec : {std::string("port"), std::string("unix:"), "unix:/" + std::string(200, 'x'),
                                  "unix:" + (dir / "file").string()}) {
    const auto link = ChannelLink::open(spec);
    ASSERT_FALSE(link) << spec;
    EXPECT_EQ(link.error().exit_status(), 2) << link.error().text;
  }
}

}  // namespace
}  // namespace vigia::vf
