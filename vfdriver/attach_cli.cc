// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "hw/log.h"
#include "vfdriver/capture_cli.h"
#include "vfdriver/cli_values.h"
#include "vfdriver/frame_writer.h"
#include "vfdriver/listener_server.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kPiece = 4096;  // frames
constexpr std::chrono::milliseconds kFlushEvery{200};

struct AttachOptions {
  std::string target;
  std::optional<unsigned> queue;  // of the target; empty: all
  std::filesystem::path file;
  std::uint64_t count = 0;
  bool lossless = false, json = false;
};

struct AttachTotals {
  std::uint64_t frames = 0, bytes = 0;
};

// One listener's work: read, count, maybe write, until the end of the capture, the count, or a signal.
class Listener {
 public:
  Listener(const AttachOptions& options, Attachment attachment, std::unique_ptr<FrameWriter> writer)
      : options_(options), attachment_(std::move(attachment)), writer_(std::move(writer)) {}

  Result<Done> run(const std::atomic<bool>& stop);
  void report() const;

 private:
  std::size_t read_piece(bool no_writer);
  void tell_gap();
  bool enough() const { return options_.count != 0 && totals_.frames >= options_.count; }

  const AttachOptions& options_;
  Attachment attachment_;
  std::unique_ptr<FrameWriter> writer_;
  AttachTotals totals_;
  RingGap told_;
  std::string end_ = "stopped";
};

std::size_t Listener::read_piece(bool no_writer) {
  const std::uint64_t wanted = options_.count != 0 ? options_.count - totals_.frames : kPiece;
  return attachment_.reader().read(
      std::min<std::uint64_t>(wanted, kPiece),
      [this](const FrameView& frame) {
        if (writer_) writer_->write(frame);
        totals_.bytes += frame.bytes.size();
        ++totals_.frames;
      },
      no_writer);
}

void Listener::tell_gap() {
  const RingGap gap = attachment_.reader().gap();
  if (gap.bytes == told_.bytes) return;
  log::warning("too slow: {} frames ({} bytes of the ring) were overwritten before they were read",
               gap.frames - told_.frames, gap.bytes - told_.bytes);
  told_ = gap;
}

Result<Done> Listener::run(const std::atomic<bool>& stop) {
  const auto nap = nap_beside(attachment_.reader().queue(0).memory().geometry());
  auto last_flush = steady_clock::now();
  // Relaxed: a flag, orders nothing.
  while (!stop.load(std::memory_order_relaxed) && !enough()) {
    // Asked before reading: what a capture published before it died is read first.
    const bool connected = attachment_.connected();
    const std::size_t got = read_piece(!connected);
    const auto now = steady_clock::now();
    if (now - last_flush >= kFlushEvery) {
      if (writer_) writer_->flush();
      tell_gap();
      last_flush = now;
    }
    if (writer_ && writer_->file().failure()) return *writer_->file().failure();
    if (attachment_.reader().broken()) return work_error("the ring of " + options_.target + " contradicts itself");
    if (got > 0) continue;
    if (attachment_.reader().finished()) {
      end_ = "capture ended";
      break;
    }
    if (!connected) {
      end_ = "capture process died";
      break;
    }
    std::this_thread::sleep_for(nap);
  }
  tell_gap();
  if (!writer_) return Done{};
  const RingGap gap = attachment_.reader().gap();
  return writer_->finish(
      {totals_.frames + gap.frames, gap.frames,
       fmt::format("listener of a running capture: {} frames read, {} lapped", totals_.frames, gap.frames)});
}

void Listener::report() const {
  const RingGap gap = attachment_.reader().gap();
  if (options_.json) {
    const MergedReader& reader = attachment_.reader();
    nlohmann::ordered_json queues = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < reader.queues(); ++i) {
      const RingReader& queue = reader.queue(i);
      queues.push_back({{"queue", options_.queue.value_or(static_cast<unsigned>(i))},
                        {"frames", queue.frames_read()},
                        {"lapped_frames", queue.gap().frames},
                        {"lapped_bytes", queue.gap().bytes}});
    }
    const nlohmann::ordered_json json{{"capture", options_.target}, {"frames", totals_.frames},
                                      {"bytes", totals_.bytes},     {"lapped_frames", gap.frames},
                                      {"lapped_bytes", gap.bytes},  {"end", end_},
                                      {"queues", queues},           {"file", options_.file.string()}};
    fmt::print("{}\n", json.dump(2));
    return;
  }
  fmt::print("{}: {} frames ({}), {} lost by being too slow{}; {}\n", options_.target, totals_.frames,
             size_text(totals_.bytes), gap.frames, options_.file.empty() ? "" : ", in " + options_.file.string(), end_);
}

Result<Done> attach(AttachOptions& options, StopRequest& stop) {
  std::optional<FileFormat> format;
  if (!options.file.empty()) {
    format = format_of(options.file);
    if (!format) return input_error("--write " + options.file.string() + ": the suffix must be .pcapng, .pcap or .raw");
  }
  const auto target = target_of(options.target);
  if (!target) return target.error();
  options.queue = target->queue;
  auto attachment = Attachment::attach(
      target->socket, options.lossless ? ListenerKind::lossless : ListenerKind::overwritable, target->queue);
  if (!attachment) return attachment.error();
  std::unique_ptr<FrameWriter> writer;
  if (format) {
    const RingHeader& header = attachment->ring().header();
    std::string name(header.name, ::strnlen(header.name, sizeof(header.name)));
    if (target->queue) name += fmt::format("@{}", *target->queue);
    const std::string clock(header.clock, ::strnlen(header.clock, sizeof(header.clock)));
    auto created = create_capture_file(
        options.file, *format,
        {"listener of capture " + name, name, "", clock, attachment->ring().geometry().max_captured});
    if (!created) return created.error();
    writer = std::move(*created);
  }
  Listener listener(options, std::move(*attachment), std::move(writer));
  auto result = listener.run(stop.stop);
  listener.report();
  return result;
}

}  // namespace

CaptureCommand add_attach_command(CLI::App& app) {
  auto options = std::make_shared<AttachOptions>();
  CLI::App* attach_app = app.add_subcommand("attach", "Listen to a running capture, from now on");
  attach_app->footer(
      "Reads the rings of `vigia-capture run --name NAME` beside its store and other listeners: NAME stands for all\n"
      "queues, merged in the order of the stamps, NAME@1 for queue 1 alone. Too slow a listener loses\n"
      "frames, is told how many, and costs nobody else any; with --lossless it costs everybody.\n"
      "Exit status: 0 done, 1 no such capture or a refused write, 2 wrong input.\n"
      "Example: vigia-capture attach agent --count 1000 --write look.pcapng\n"
      "         vigia-capture attach agent@1");
  attach_app
      ->add_option("capture", options->target,
                   "Name of the capture, or its socket (a word with a /); NAME@Q: its queue Q")
      ->required();
  attach_app->add_option("--count", options->count, "Stop after this many frames (default: until the capture ends)");
  attach_app->add_option("--write", options->file, "Write the frames; the suffix says how: .pcapng, .pcap or .raw");
  attach_app->add_flag("--lossless", options->lossless,
                       "Let the capture drop frames, for everybody, rather than overwrite what is not read here");
  attach_app->add_flag("--json", options->json, "Report as one JSON object");
  return {attach_app, [options] { return exit_status_of(attach(*options, stop_on_signals())); }};
}

}  // namespace vigia::vf
