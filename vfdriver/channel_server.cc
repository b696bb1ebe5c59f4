// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/channel_server.h"

#include <time.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "vfdriver/clock.h"

namespace vigia::vf {

namespace channel = hw::channel;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kTurn{100};
// Packets wait in the pull's pipe, not here: an answer is never behind more than this.
constexpr std::size_t kMostQueued = 256 * 1024;
// A client that piles up requests without reading the answers is cut off.
constexpr std::size_t kMostAnswers = 4 << 20;
// A request comes in one piece; what has stopped in the middle is a piece of an earlier client's.
constexpr milliseconds kStuckAfter{300};
constexpr milliseconds kFarewell{1000};

std::uint64_t real_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace

ChannelServer::ChannelServer(ChannelLink link, ChannelService service)
    : link_(std::move(link)), service_(std::move(service)) {}

void ChannelServer::run(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_acquire)) turn(kTurn);
  // Acquired above: the final report is there.
  const auto end = steady_clock::now() + kFarewell;
  answer_stops();
  if (pull_) pull_->cancel();
  while (link_.connected() && (pull_ || !out_.empty()) && steady_clock::now() < end) turn(kTurn);
}

void ChannelServer::turn(milliseconds time) {
  const bool room = out_.size() < kMostQueued;
  const auto event = link_.wait(!out_.empty(), pull_ && room ? pull_->output() : -1, time);
  if (event.lost) {
    forget_client();
    return;
  }
  if (event.readable) read_requests();
  if (event.other) read_pull();
  answer_stops();
  if (event.writable || !out_.empty()) write_out();
  if (parser_.waiting() && steady_clock::now() - heard_ > kStuckAfter) parser_.give_up();
}

void ChannelServer::read_requests() {
  std::array<char, 16 * 1024> bytes;
  const std::size_t got = link_.read(bytes.data(), bytes.size());
  const std::uint64_t received_ns = real_ns();
  heard_ = steady_clock::now();
  parser_.add({bytes.data(), got});
  while (const auto frame = parser_.next()) {
    if (frame->type != channel::FrameType::request) continue;  // an echo of our own, at best
    const auto json = nlohmann::json::parse(frame->payload, nullptr, false);
    if (json.is_object() && json.contains("command") && json["command"] == "time") {
      answer_time(frame->id, received_ns);
    } else {
      answer(*frame);
    }
    if (out_.size() > kMostAnswers) {
      log::warning("channel: the host asks and does not read; forgetting what it asked");
      forget_client();
      return;
    }
  }
}

void ChannelServer::answer(const channel::Frame& request) {
  const auto json = nlohmann::json::parse(request.payload, nullptr, false);
  const std::string command = json.is_object() && json.contains("command") && json["command"].is_string()
                                  ? json["command"].get<std::string>()
                                  : "";
  if (command == "hello") {
    // A new client: what an earlier one had asked for is nobody's, even if the link never showed the change.
    pull_.reset();
    stops_.clear();
    send(channel::FrameType::reply, request.id, service_.hello());
  } else if (command == "status") {
    send(channel::FrameType::reply, request.id, service_.status());
  } else if (command == "pull") {
    start_pull(request.id, request.payload);
  } else if (command == "cancel") {
    if (pull_) pull_->cancel();
    send(channel::FrameType::reply, request.id, pull_ ? "{\"cancelled\":true}" : "{\"cancelled\":false}");
  } else if (command == "mirrors") {
    take_mirrors(request.id, json.contains("port") ? json["port"].dump() : "");
  } else if (command == "stop") {
    stops_.push_back(request.id);
    service_.stop();
  } else {
    refuse(request.id, input_error("the request is none that this vigia-capture knows (hello, time, status, pull, "
                                   "cancel, mirrors, stop); are both sides of the same version?"));
  }
}

void ChannelServer::answer_time(std::uint32_t id, std::uint64_t received_ns) {
  const nlohmann::ordered_json reply{
      {"receive_ns", received_ns}, {"ticks", read_ticks(TickSource::tsc)}, {"send_ns", real_ns()}};
  send(channel::FrameType::reply, id, reply.dump());
}

void ChannelServer::take_mirrors(std::uint32_t id, const std::string& port) {
  const auto taken = service_.mirrors ? service_.mirrors(port) : input_error("mirrors: nobody here compares with them");
  if (!taken) {
    refuse(id, taken.error());
    return;
  }
  send(channel::FrameType::reply, id, "{\"taken\":true}");
}

void ChannelServer::start_pull(std::uint32_t id, std::string_view json) {
  if (pull_) {
    refuse(id, Error{std::errc::device_or_resource_busy, "pull: another pull of this client is running; cancel it"});
    return;
  }
  const auto request = parse_pull(json);
  if (!request) {
    refuse(id, request.error());
    return;
  }
  auto job = PullJob::start(service_.source(), *request);
  if (!job) {
    refuse(id, job.error());
    return;
  }
  pull_ = std::move(*job);
  pull_id_ = id;
}

void ChannelServer::read_pull() {
  if (!pull_) return;  // a new client's hello came in the same turn
  std::array<char, channel::kMaxPayload> bytes;
  const auto got = ::read(pull_->output(), bytes.data(), bytes.size());
  if (got > 0) {
    send(channel::FrameType::data, pull_id_, {bytes.data(), static_cast<std::size_t>(got)});
  } else if (got == 0) {
    end_pull();
  }
}

void ChannelServer::end_pull() {
  send(channel::FrameType::reply, pull_id_, to_json(pull_->result()));
  pull_.reset();
}

void ChannelServer::answer_stops() {
  if (stops_.empty()) return;
  const std::string report = service_.final_report();
  if (report.empty()) return;
  for (const std::uint32_t id : stops_) send(channel::FrameType::reply, id, report);
  stops_.clear();
}

void ChannelServer::send(channel::FrameType type, std::uint32_t id, std::string_view payload) {
  if (payload.size() > channel::kMaxPayload) {
    refuse(id, work_error("the answer is longer than a frame of the channel holds"));
    return;
  }
  channel::append_frame(out_, {type, id, payload});
}

void ChannelServer::refuse(std::uint32_t id, const Error& error) {
  // The text may quote the request, which may be anything; a frame holds no more than a request is long.
  const nlohmann::ordered_json reply{{"status", error.exit_status()}, {"error", error.text.substr(0, 8192)}};
  send(channel::FrameType::failure, id, reply.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void ChannelServer::forget_client() {
  pull_.reset();
  stops_.clear();
  out_.clear();
  parser_.reset();
}

void ChannelServer::write_out() {
  std::size_t done = 0;
  while (done < out_.size()) {
    const std::size_t put = link_.write(std::string_view(out_).substr(done));
    if (put == 0) break;
    done += put;
  }
  out_.erase(0, done);
}

}  // namespace vigia::vf
