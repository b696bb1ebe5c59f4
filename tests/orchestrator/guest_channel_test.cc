// SPDX-License-Identifier: Apache-2.0
// The host's end of the channel against guests that answer well, late, wrongly, or not at all.
#include "orchestrator/guest_channel.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "hw/unix_socket.h"
#include "tests/temp_dir.h"

namespace vigia::orch {
namespace {

namespace channel = hw::channel;
using channel::FrameType;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

std::string framed(FrameType type, std::uint32_t id, std::string_view payload) {
  std::string out;
  channel::append_frame(out, {type, id, payload});
  return out;
}

// Says what answers() returns for each request; "hang up" ends the connection.
class FakeGuest {
 public:
  using Answers = std::function<std::string(std::uint32_t id, const nlohmann::json& request)>;
  explicit FakeGuest(Answers answers) : answers_(std::move(answers)) {
    auto listener = hw::listen_unix(socket(), hw::Audience::owner);
    if (!listener) std::abort();
    listener_ = std::move(*listener);
    thread_ = std::thread([this] { run(); });
  }
  ~FakeGuest() {
    stop_ = true;
    thread_.join();
  }
  std::filesystem::path socket() const { return dir_ / "c.sock"; }
  std::filesystem::path operator/(std::string_view name) const { return dir_ / name; }

 private:
  void run() {
    Fd client;
    channel::FrameParser parser(channel::kMaxRequest);
    while (!stop_) {
      pollfd readable{client ? client.get() : listener_.get(), POLLIN, 0};
      if (::poll(&readable, 1, 10) <= 0) continue;
      if (!client) {
        client = Fd(::accept(listener_.get(), nullptr, nullptr));
        parser.reset();
        continue;
      }
      char bytes[4096];
      const auto got = ::recv(client.get(), bytes, sizeof bytes, 0);
      if (got <= 0) {
        client = Fd();
        continue;
      }
      parser.add({bytes, static_cast<std::size_t>(got)});
      while (const auto frame = parser.next()) {
        const std::string answer = answers_(frame->id, nlohmann::json::parse(frame->payload));
        if (answer == "hang up") {
          client = Fd();
          break;
        }
        (void)::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    }
  }

  vigia::test::TempDir dir_;
  Answers answers_;
  Fd listener_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Greets; what follows is the test's.
FakeGuest::Answers polite(FakeGuest::Answers rest) {
  return [rest = std::move(rest)](std::uint32_t id, const nlohmann::json& request) {
    if (request["command"] == "hello") return framed(FrameType::reply, id, "{\"name\":\"p1\"}");
    return rest(id, request);
  };
}

std::string connect_fault(const std::filesystem::path& socket, milliseconds limit = milliseconds(700)) {
  const auto guest = GuestChannel::connect(socket, limit);
  if (guest) return "connected";
  EXPECT_EQ(guest.error().exit_status(), 1);
  return guest.error().text;
}

TEST(GuestChannel, GreetingsThatFailSayWhy) {
  vigia::test::TempDir dir;
  EXPECT_THAT(connect_fault(dir / "none"), HasSubstr("is the probe up?"));
  const FakeGuest silent([](std::uint32_t, const nlohmann::json&) { return std::string(); });
  EXPECT_THAT(connect_fault(silent.socket()), HasSubstr("no answer within 700 ms; it is still booting"));
  const FakeGuest leaving([](std::uint32_t, const nlohmann::json&) { return std::string("hang up"); });
  EXPECT_THAT(connect_fault(leaving.socket()), HasSubstr("hung up"));
  const FakeGuest busy([](std::uint32_t, const nlohmann::json&) {
    return framed(FrameType::failure, 0, "{\"status\":1,\"error\":\"the channel is busy\"}");
  });
  EXPECT_THAT(connect_fault(busy.socket()), HasSubstr("the channel is busy"));
  const FakeGuest senseless(
      [](std::uint32_t id, const nlohmann::json&) { return framed(FrameType::reply, id, "hello yourself"); });
  EXPECT_THAT(connect_fault(senseless.socket()), HasSubstr("no JSON object"));
  const FakeGuest terse([](std::uint32_t id, const nlohmann::json&) { return framed(FrameType::failure, id, "no"); });
  EXPECT_THAT(connect_fault(terse.socket()), HasSubstr("without a reason"));
  EXPECT_EQ(GuestChannel::connect(std::string(200, 'x')).error().exit_status(), 2);
}

TEST(GuestChannel, TellsWhatIsMirrored) {
  const FakeGuest guest([](std::uint32_t id, const nlohmann::json& request) {
    const bool taken =
        request["command"] == "hello" || (request["command"] == "mirrors" && request["port"]["vfs"] == 5);
    return framed(taken ? FrameType::reply : FrameType::failure, id, taken ? "{}" : "{\"status\":2,\"error\":\"no\"}");
  });
  auto connected = GuestChannel::connect(guest.socket());
  ASSERT_TRUE(connected) << connected.error().text;
  EXPECT_TRUE(connected->tell_mirrors("{\"vfs\":5}"));
  EXPECT_EQ(connected->tell_mirrors("{\"vfs\":6}").error().text, "no");
  const auto more = connected->tell_mirrors("\"" + std::string(channel::kMaxRequest, 'x') + "\"");
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().text, HasSubstr("of which the channel takes 16384"));
}

TEST(GuestChannel, LeavingsOfEarlierClientsArePassedOver) {
  const FakeGuest guest([](std::uint32_t id, const nlohmann::json&) {
    return std::string(70'000, 'V') + framed(FrameType::data, id + 1, std::string(60'000, 'd')) +
           framed(FrameType::reply, id - 1, "{\"name\":\"other\"}") + framed(FrameType::reply, id, "{\"name\":\"p1\"}");
  });
  const auto connected = GuestChannel::connect(guest.socket());
  ASSERT_TRUE(connected) << connected.error().text;
  EXPECT_EQ(connected->greeting(), "{\"name\":\"p1\"}");
}

// A frame that an earlier client did not wait for the end of swallows the first answer; the second greeting is heard.
TEST(GuestChannel, AnAnswerInsideACutFrameIsAskedForAgain) {
  int asked = 0;
  const FakeGuest guest([&asked](std::uint32_t id, const nlohmann::json&) {
    const std::string answer = framed(FrameType::reply, id, "{\"name\":\"p1\"}");
    return ++asked == 1 ? framed(FrameType::data, 1, std::string(5000, 'd')).substr(0, 1000) : answer;
  });
  const auto connected = GuestChannel::connect(guest.socket());
  ASSERT_TRUE(connected) << connected.error().text;
  EXPECT_GE(asked, 2);
}

TEST(GuestChannel, ErrorsOfTheGuestKeepTheirStatusAndNoTerminalCodes) {
  const FakeGuest guest(polite([](std::uint32_t id, const nlohmann::json& request) {
    return framed(FrameType::failure, id,
                  request["command"] == "status" ? "{\"status\":2,\"error\":\"a\\u001b[2Jb\"}" : "{\"status\":1}");
  }));
  auto connected = GuestChannel::connect(guest.socket());
  ASSERT_TRUE(connected);
  const auto status = connected->status();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().exit_status(), 2);
  EXPECT_EQ(status.error().text, "a?[2Jb");
  const auto stopped = connected->stop_capture(milliseconds(1000));
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().exit_status(), 1);
}

TEST(GuestChannel, TheOffsetOfTheClocks) {
  const FakeGuest guest(polite([](std::uint32_t id, const nlohmann::json&) {
    timespec t{};
    ::clock_gettime(CLOCK_REALTIME, &t);
    const auto ns =
        static_cast<std::uint64_t>(t.tv_sec - 3600) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
    return framed(FrameType::reply, id, fmt::format("{{\"receive_ns\":{},\"send_ns\":{}}}", ns, ns));
  }));
  auto connected = GuestChannel::connect(guest.socket());
  ASSERT_TRUE(connected);
  const auto offset = connected->clock_offset();
  ASSERT_TRUE(offset) << offset.error().text;
  EXPECT_NEAR(static_cast<double>(offset->guest_minus_host_ns), -3600e9, static_cast<double>(offset->error_ns) + 1);
  EXPECT_LT(offset->error_ns, 1'000'000'000u);
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(GuestChannel, APulledFileAppearsWhenItIsWhole) {
  nlohmann::json asked;
  const FakeGuest guest(polite([&asked](std::uint32_t id, const nlohmann::json& request) {
    asked = request;
    return framed(FrameType::data, id, "abc") + framed(FrameType::data, id, std::string(40'000, 'd')) +
           framed(FrameType::reply, id, "{\"file_bytes\":40003,\"frames\":1}");
  }));
  const std::atomic<bool> stop{false};
  PullOptions options;
  options.output = guest / "a.pcapng";
  options.last = "10s";
  options.filter = "tcp";
  options.max_bytes = 5;
  options.snaplen = 64;
  std::ofstream(options.output) << "an older file";
  const auto end = pull(guest.socket(), options, stop);
  ASSERT_TRUE(end) << end.error().text;
  EXPECT_THAT(*end, HasSubstr("\"frames\":1"));
  EXPECT_EQ(text_of(options.output), "abc" + std::string(40'000, 'd'));
  EXPECT_EQ(asked["last_ns"], 10'000'000'000);
  EXPECT_EQ(asked["filter"], "tcp");
  EXPECT_EQ(asked["max_bytes"], 5);
  EXPECT_EQ(asked["snaplen"], 64);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(guest / ""), {}), 2) << "socket and file, no leavings";
}

TEST(GuestChannel, PullsThatFailLeaveTheOlderFile) {
  std::string answer;
  const FakeGuest guest(polite([&answer](std::uint32_t id, const nlohmann::json&) {
    if (answer == "hang up") return answer;
    if (answer == "refuse") return framed(FrameType::failure, id, "{\"status\":2,\"error\":\"filter\"}");
    return framed(FrameType::data, id, "abc") + framed(FrameType::reply, id, answer);
  }));
  const std::atomic<bool> stop{false};
  PullOptions options;
  options.output = guest / "a.pcapng";
  std::ofstream(options.output) << "an older file";
  struct Case {
    const char *answer, *says;
    int status;
  };
  for (const Case& c : {Case{"hang up", "hung up", 1}, Case{"refuse", "filter", 2}, Case{"{}", "3 bytes came", 1},
                        Case{"[]", "3 bytes came", 1}, Case{"{\"file_bytes\":4}", "3 bytes came", 1},
                        Case{"{\"file_bytes\":\"3\"}", "3 bytes came", 1}}) {
    answer = c.answer;
    const auto end = pull(guest.socket(), options, stop);
    ASSERT_FALSE(end) << c.answer;
    EXPECT_EQ(end.error().exit_status(), c.status);
    EXPECT_THAT(end.error().text, HasSubstr(c.says));
    EXPECT_EQ(text_of(options.output), "an older file");
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(guest / ""), {}), 2) << "no half files";
  options.last = "soon";
  EXPECT_EQ(pull(guest / "nobody", options, stop).error().exit_status(), 2) << "said before anybody is asked";
  options.last = "";
  options.output = guest / "no/folder/a.pcapng";
  EXPECT_EQ(pull(guest.socket(), options, stop).error().exit_status(), 1);
}

TEST(GuestChannel, AStopCancelsAndKeepsTheWholeFile) {
  std::uint32_t pull_id = 0;
  const FakeGuest guest(polite([&pull_id](std::uint32_t id, const nlohmann::json& request) {
    if (request["command"] == "pull") {
      pull_id = id;
      return framed(FrameType::data, id, "abc");
    }
    return framed(FrameType::reply, id, "{\"cancelled\":true}") +
           framed(FrameType::reply, pull_id, "{\"file_bytes\":3,\"cancelled\":true}");
  }));
  std::atomic<bool> stop{false};
  PullOptions options;
  options.follow = true;
  options.output = guest / "a.pcapng";
  options.progress = [&stop](std::uint64_t bytes) {
    if (bytes > 0) stop = true;
  };
  const auto end = pull(guest.socket(), options, stop);
  ASSERT_TRUE(end) << end.error().text;
  EXPECT_EQ(text_of(options.output), "abc");
}

}  // namespace
}  // namespace vigia::orch
