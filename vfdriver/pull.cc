// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/pull.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vfdriver/frame_filter.h"
#include "vfdriver/frame_writer.h"
#include "vfdriver/json_fields.h"
#include "vfdriver/ring_history.h"

namespace vigia::vf {
namespace {

constexpr std::size_t kMaxFilter = 4096;
// As much as an unprivileged process may ask for; without it the pipe has 64 KiB, which only costs wake-ups.
constexpr int kPipeBytes = 1 << 20;

std::uint64_t real_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

// Now, as stamps have it: after the system clock was set back, they are ahead of it for a while.
std::uint64_t capture_now(const RingMemory* ring) {
  const auto newest = ring ? RingHistory(*ring).newest_ns() : std::nullopt;
  return std::max(real_ns(), newest.value_or(0) + 1);
}

ReplayWindow window_of(const PullRequest& request, const RingMemory* ring) {
  ReplayWindow window;
  window.follow = request.follow;
  window.from_now = request.follow && !request.last_ns && !request.from_ns;
  window.from_ns = request.from_ns.value_or(0);
  window.to_ns = request.to_ns.value_or(~std::uint64_t{0});
  if (request.last_ns) {
    const std::uint64_t now = capture_now(ring);
    window.from_ns = now - std::min(now, *request.last_ns);
  }
  return window;
}

std::string summary_text(const PullEnd& end) {
  std::string text = fmt::format("pulled from a running capture: {} frames of the window, {} left out by the filter",
                                 end.frames, end.filtered);
  if (end.replay.gap_frames > 0) text += fmt::format("; {} frames were no longer there", end.replay.gap_frames);
  if (!end.replay.why.empty()) text += "; the window begins before what is kept: " + end.replay.why;
  if (end.limited) text += "; ended by the limit of bytes";
  return text;
}

}  // namespace

Result<PullRequest> parse_pull(std::string_view text) {
  PullRequest pull;
  JsonFields fields(text, "pull");
  fields.word("command");
  pull.last_ns = fields.integer("last_ns", 1, ~std::uint64_t{0} >> 1);
  pull.from_ns = fields.integer("from_ns", 0, ~std::uint64_t{0});
  pull.to_ns = fields.integer("to_ns", 0, ~std::uint64_t{0});
  pull.filter = fields.word("filter").value_or("");
  pull.max_bytes = fields.integer("max_bytes", 0, ~std::uint64_t{0}).value_or(0);
  pull.snaplen = static_cast<std::uint32_t>(fields.integer("snaplen", 0, kMaxCaptured).value_or(0));
  pull.follow = fields.boolean("follow").value_or(false);
  if (pull.last_ns && (pull.from_ns || pull.to_ns)) fields.fault("last_ns", "goes with neither from_ns nor to_ns");
  if (pull.from_ns && pull.to_ns && *pull.from_ns >= *pull.to_ns) fields.fault("to_ns", "is not after from_ns");
  if (pull.follow && pull.to_ns) fields.fault("follow", "goes on until it is cancelled, not until to_ns");
  if (pull.filter.size() > kMaxFilter) fields.fault("filter", "is longer than 4096 bytes");
  if (auto ok = fields.finish(); !ok) return ok.error();
  return pull;
}

std::string to_json(const PullEnd& end) {
  nlohmann::ordered_json missing = nullptr;
  if (end.replay.history_from_ns) {
    missing = {{"before_ns", *end.replay.history_from_ns},
               {"frames_before", end.replay.frames_before},
               {"why", end.replay.why}};
  }
  return nlohmann::ordered_json{{"frames", end.frames},
                                {"bytes", end.bytes},
                                {"file_bytes", end.file_bytes},
                                {"first_ns", end.first_ns},
                                {"last_ns", end.last_ns},
                                {"from_ns", end.from_ns},
                                {"to_ns", end.to_ns},
                                {"filtered", end.filtered},
                                {"gap_frames", end.replay.gap_frames},
                                {"missing", missing},
                                {"from_ring", end.replay.ring_frames},
                                {"from_disk", end.replay.disk_frames},
                                {"limited", end.limited},
                                {"cancelled", end.cancelled}}
      .dump();
}

Result<std::unique_ptr<PullJob>> PullJob::start(PullSource source, const PullRequest& request) {
  auto filter = FrameFilter::compile(request.filter);
  if (!filter) return filter.error();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return os_error("make a pipe for the pull");
  Fd read_end{ends[0]}, write_end{ends[1]};
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(read_end.get(), F_SETPIPE_SZ, kPipeBytes);
  std::unique_ptr<PullJob> job(new PullJob(std::move(source), request, std::move(read_end)));
  job->thread_ = std::thread([raw = job.get(), pipe = std::move(write_end), compiled = std::move(*filter)]() mutable {
    ::prctl(PR_SET_NAME, "pull");
    // A pipe that nobody reads any more is an error of the write, in this thread only.
    sigset_t broken_pipe;
    ::sigemptyset(&broken_pipe);
    ::sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    raw->run(std::move(pipe), std::move(compiled));
  });
  return job;
}

PullJob::~PullJob() {
  cancel();
  output_ = Fd();  // the thread may be waiting for room in the pipe
  if (thread_.joinable()) thread_.join();
}

PullEnd PullJob::result() {
  if (thread_.joinable()) thread_.join();
  return end_;
}

void PullJob::run(Fd pipe, FrameFilter filter) {
  const ReplayWindow window = window_of(request_, source_.ring.get());
  end_.from_ns = window.from_ns;
  end_.to_ns = std::min(window.to_ns, capture_now(source_.ring.get()));
  const std::uint32_t snaplen = request_.snaplen == 0 ? source_.snaplen : std::min(request_.snaplen, source_.snaplen);
  const auto writer = write_captures_to(OutputFile::adopt(std::move(pipe), "the pull"), FileFormat::pcapng,
                                        {source_.hardware, source_.name, request_.filter, source_.clock, snaplen});
  const auto take = [&](FrameView frame) {
    if (!filter.passes(frame)) {
      ++end_.filtered;
      return true;
    }
    frame.bytes = frame.bytes.first(std::min<std::size_t>(frame.bytes.size(), snaplen));
    // A packet block is 32 bytes and padding around the frame.
    if (request_.max_bytes > 0 && writer->file().size() + frame.bytes.size() + 36 > request_.max_bytes) {
      end_.limited = true;
      return false;
    }
    writer->write(frame);
    if (end_.frames++ == 0) end_.first_ns = frame.stamp.total_ns();
    end_.last_ns = frame.stamp.total_ns();
    end_.bytes += frame.bytes.size();
    return !writer->file().failure();
  };
  Replay replay(source_.ring.get(), std::move(source_.stored), window);
  replay.run(
      take, [&] { writer->flush(); }, cancel_);
  end_.replay = replay.report();
  end_.cancelled = cancel_.load(std::memory_order_relaxed);
  const std::uint64_t gone = end_.replay.gap_frames;
  // A refused write means that nobody reads any more: there is nobody to tell.
  (void)writer->finish({end_.frames + end_.filtered + gone, gone, summary_text(end_)});
  end_.file_bytes = writer->file().size();
}

}  // namespace vigia::vf
