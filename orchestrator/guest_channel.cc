// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/guest_channel.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "hw/time_window.h"
#include "hw/unix_socket.h"

namespace vigia::orch {

namespace channel = hw::channel;
namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kAgain{500};       // between greetings: the first may fall into an earlier client's leavings
constexpr milliseconds kStuckAfter{300};  // a frame that has stopped in the middle is a leaving too
constexpr milliseconds kAnswerLimit{10'000};
constexpr milliseconds kSilenceLimit{60'000};  // of a pull: a filter may find nothing for long
constexpr milliseconds kLook{200};
constexpr int kClockRounds = 8;

std::uint64_t real_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

Result<Done> write_all(int fd, std::string_view bytes, const fs::path& name) {
  while (!bytes.empty()) {
    const auto n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return os_error("write " + (name == "-" ? std::string("standard output") : name.string()));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return Done{};
}

std::uint64_t shifted(std::uint64_t host_ns, std::int64_t offset) {
  return host_ns + static_cast<std::uint64_t>(offset);
}

}  // namespace

struct GuestChannel::Answer {
  std::optional<channel::FrameType> type;  // nothing: no frame came
  std::string payload;
};

GuestChannel::GuestChannel(Fd fd, fs::path socket)
    // Ids that no earlier client had, so that what it was sent is not taken for ours.
    : fd_(std::move(fd)), socket_(std::move(socket)), next_id_(std::random_device{}() | 1u) {}

Result<Done> GuestChannel::send(std::uint32_t id, std::string_view text) {
  std::string frame;
  channel::append_frame(frame, {channel::FrameType::request, id, text});
  for (std::string_view left = frame; !left.empty();) {
    pollfd writable{fd_.get(), POLLOUT, 0};
    if (::poll(&writable, 1, static_cast<int>(kAnswerLimit.count())) == 0) {
      return Error{std::errc::timed_out, fmt::format("send to {}: the guest does not read", socket_.string())};
    }
    const auto n = ::send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return os_error("send to " + socket_.string());
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  return Done{};
}

Result<Done> GuestChannel::next(std::uint32_t id, milliseconds time, Answer& out) {
  out = {};
  const auto end = steady_clock::now() + time;
  for (;;) {
    while (const auto frame = parser_.next()) {
      // Id 0: the listener itself says that it is busy.
      if (frame->id != id && !(frame->id == 0 && frame->type == channel::FrameType::failure)) continue;
      out.type = frame->type;
      out.payload.assign(frame->payload);
      return Done{};
    }
    const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
    if (left.count() <= 0) return Done{};
    pollfd readable{fd_.get(), POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(std::min(left, kStuckAfter).count())) <= 0) {
      if (parser_.waiting() && steady_clock::now() - heard_ >= kStuckAfter) parser_.give_up();
      continue;
    }
    std::array<char, channel::kMaxPayload> bytes;
    const auto got = ::recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) {
      return work_error(
          fmt::format("read {}: the other end hung up; did the guest or its QEMU end?", socket_.string()));
    }
    heard_ = steady_clock::now();
    parser_.add({bytes.data(), static_cast<std::size_t>(got)});
  }
}

namespace {

// The error that a failure frame carries. Foreign text.
Error failure_of(const std::string& payload) {
  const json failure = json::parse(payload, nullptr, false);
  if (!failure.is_object()) return work_error("the guest refused, without a reason that can be read");
  const bool input = failure.contains("status") && failure["status"] == 2;
  std::string text = failure.contains("error") && failure["error"].is_string() ? failure["error"].get<std::string>()
                                                                               : "the guest gave no reason";
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n') c = '?';  // it goes to a terminal
  }
  return input ? input_error(text) : work_error(text);
}

}  // namespace

Result<std::string> GuestChannel::ask(std::string_view text, milliseconds limit, std::string_view what) {
  const std::uint32_t id = next_id_++;
  if (auto sent = send(id, text); !sent) return sent.error();
  Answer answer;
  if (auto ok = next(id, limit, answer); !ok) return ok.error();
  if (!answer.type) {
    return Error{std::errc::timed_out,
                 fmt::format("{}: no answer through {} within {} ms", what, socket_.string(), limit.count())};
  }
  if (*answer.type == channel::FrameType::failure) return failure_of(answer.payload);
  if (json::parse(answer.payload, nullptr, false).is_object()) return answer.payload;
  return work_error(fmt::format("{}: the guest's answer is no JSON object", what));
}

Result<GuestChannel> GuestChannel::connect(const fs::path& socket, milliseconds limit) {
  auto fd = hw::connect_unix(socket);
  if (!fd) {
    Error error = fd.error();
    if (error.code != std::errc::invalid_argument) error.text += "; is the probe up?";
    return error;
  }
  GuestChannel guest(std::move(*fd), socket);
  for (const auto end = steady_clock::now() + limit; steady_clock::now() < end;) {
    auto greeting = guest.ask("{\"command\":\"hello\"}", std::min(kAgain, limit), "greet the guest");
    if (greeting) {
      guest.greeting_ = std::move(*greeting);
      return guest;
    }
    if (greeting.error().code != std::errc::timed_out) return greeting.error();
  }
  return Error{
      std::errc::timed_out,
      fmt::format("greet the guest through {}: no answer within {} ms; it is still booting, vigia-capture serve "
                  "does not run in it, or another client holds the channel (QEMU lets one in at a time)",
                  socket.string(), limit.count())};
}

Result<std::string> GuestChannel::status(milliseconds limit) {
  return ask("{\"command\":\"status\"}", limit, "ask for the status");
}

Result<Done> GuestChannel::tell_mirrors(std::string_view port) {
  const std::string request = fmt::format("{{\"command\":\"mirrors\",\"port\":{}}}", port);
  if (request.size() > channel::kMaxRequest) {
    return work_error(fmt::format("tell what is mirrored: {} bytes, of which the channel takes {}", request.size(),
                                  channel::kMaxRequest));
  }
  const auto answer = ask(request, kAnswerLimit, "tell what is mirrored");
  return answer ? Result<Done>(Done{}) : Result<Done>(answer.error());
}

Result<std::string> GuestChannel::stop_capture(milliseconds limit) {
  return ask("{\"command\":\"stop\"}", limit, "end the capture");
}

Result<GuestChannel::Offset> GuestChannel::clock_offset() {
  Offset best;
  for (int i = 0; i < kClockRounds; ++i) {
    const std::uint64_t sent = real_ns();
    const auto answer = ask("{\"command\":\"time\"}", kAnswerLimit, "ask for the guest's time");
    const std::uint64_t back = real_ns();
    if (!answer) return answer.error();
    const json times = json::parse(*answer, nullptr, false);
    const auto ns = [&](const char* key) { return times.value(key, json()).is_number_unsigned(); };
    if (!ns("receive_ns") || !ns("send_ns")) return work_error("ask for the guest's time: the answer has none");
    const auto received = times["receive_ns"].get<std::uint64_t>(), left = times["send_ns"].get<std::uint64_t>();
    // As NTP does it (RFC 5905, section 8), in unsigned arithmetic: foreign numbers may be anything.
    const auto there = static_cast<std::int64_t>(received - sent), here = static_cast<std::int64_t>(left - back);
    const std::uint64_t error = (back - sent) / 2;
    if (i == 0 || error < best.error_ns) best = {there / 2 + here / 2, error};
  }
  return best;
}

Result<std::string> GuestChannel::receive_pull(std::uint32_t id, int out, const PullOptions& options,
                                               const std::atomic<bool>& stop) {
  std::uint64_t bytes = 0;
  bool cancelled = false;
  auto last_frame = steady_clock::now(), last_progress = last_frame;
  for (;;) {
    if (stop.load(std::memory_order_relaxed) && !cancelled) {  // a flag, orders nothing
      cancelled = true;
      if (auto sent = send(next_id_++, "{\"command\":\"cancel\"}"); !sent) return sent.error();
    }
    Answer answer;
    if (auto ok = next(id, kLook, answer); !ok) return ok.error();
    const auto now = steady_clock::now();
    if (options.progress && now - last_progress >= kLook) {
      options.progress(bytes);
      last_progress = now;
    }
    if (!answer.type) {
      const auto limit = cancelled ? kAnswerLimit : kSilenceLimit;
      if ((options.follow && !cancelled) || now - last_frame < limit) continue;
      return Error{std::errc::timed_out, fmt::format("pull through {}: the guest has been silent for {} s",
                                                     socket_.string(), limit.count() / 1000)};
    }
    last_frame = now;
    if (*answer.type == channel::FrameType::failure) return failure_of(answer.payload);
    if (*answer.type == channel::FrameType::data) {
      bytes += answer.payload.size();
      if (auto ok = write_all(out, answer.payload, options.output); !ok) return ok.error();
      continue;
    }
    const json end = json::parse(answer.payload, nullptr, false);
    if (!end.is_object() || !end.contains("file_bytes") || end["file_bytes"] != bytes) {
      return work_error(fmt::format("pull through {}: {} bytes came, which is not what the guest says it sent",
                                    socket_.string(), bytes));
    }
    return answer.payload;
  }
}

Result<std::string> GuestChannel::pull(const PullOptions& options, const std::atomic<bool>& stop) {
  const auto window = hw::parse_window(options.last, options.from, options.to, real_ns());
  if (!window) return window.error();
  json request{{"command", "pull"},
               {"filter", options.filter},
               {"max_bytes", options.max_bytes},
               {"snaplen", options.snaplen},
               {"follow", options.follow}};
  if (window->last_ns) request["last_ns"] = *window->last_ns;
  if (window->from_ns || window->to_ns) {
    const auto offset = clock_offset();
    if (!offset) return offset.error();
    if (window->from_ns) request["from_ns"] = shifted(*window->from_ns, offset->guest_minus_host_ns);
    if (window->to_ns) request["to_ns"] = shifted(*window->to_ns, offset->guest_minus_host_ns);
  }
  const bool standard = options.output == "-";
  fs::path part = options.output;
  part += fmt::format(".part-{}", ::getpid());
  Fd file;
  if (!standard) {
    file = Fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file) return os_error("create " + part.string());
  }
  const std::uint32_t id = next_id_++;
  auto result = Result<std::string>(std::string());
  if (auto sent = send(id, request.dump(-1, ' ', false, json::error_handler_t::replace)); !sent) {
    result = sent.error();
  } else {
    result = receive_pull(id, standard ? STDOUT_FILENO : file.get(), options, stop);
  }
  if (standard) return result;
  if (result && ::rename(part.c_str(), options.output.c_str()) != 0) {
    result = os_error(fmt::format("rename {} to {}", part.string(), options.output.string()));
  }
  if (!result) ::unlink(part.c_str());
  return result;
}

Result<std::string> pull(const fs::path& socket, const PullOptions& options, const std::atomic<bool>& stop) {
  // Said before the guest is asked anything.
  if (const auto window = hw::parse_window(options.last, options.from, options.to, real_ns()); !window) {
    return window.error();
  }
  auto guest = GuestChannel::connect(socket);
  if (!guest) return guest.error();
  return guest->pull(options, stop);
}

}  // namespace vigia::orch
