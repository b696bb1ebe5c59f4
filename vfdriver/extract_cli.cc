// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "hw/time_window.h"
#include "vfdriver/capture_cli.h"
#include "vfdriver/cli_values.h"
#include "vfdriver/extract.h"

namespace vigia::vf {
namespace {

using std::chrono::steady_clock;

struct ExtractWords {
  ExtractOptions options;
  std::string from, to, last, format;
  bool json = false;
};

std::uint64_t real_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

Result<Done> understand(ExtractWords& words) {
  ExtractOptions& o = words.options;
  const std::uint64_t now = real_ns();
  const auto window = hw::parse_window(words.last, words.from, words.to, now);
  if (!window) return window.error();
  if (window->last_ns) o.from_ns = now - std::min(now, *window->last_ns);
  if (window->from_ns) o.from_ns = *window->from_ns;
  if (window->to_ns) o.to_ns = *window->to_ns;
  if (!words.format.empty()) {
    const auto format = parse_format(words.format);
    if (!format) return format.error();
    o.format = *format;
  } else if (const auto format = format_of(o.out)) {
    o.format = *format;
  } else {
    return input_error("extract to " + o.out.string() + ": the suffix must be .pcapng or .pcap, or say --format");
  }
  std::error_code ignored;
  for (const auto& in : o.inputs) {
    if (std::filesystem::equivalent(in, o.out, ignored)) {
      return input_error("extract from " + in.string() + ": input and output are the same file");
    }
  }
  return Done{};
}

std::string json_of(const ExtractReport& r, const std::string& out) {
  const nlohmann::ordered_json json{{"frames", r.frames},
                                    {"bytes", r.bytes},
                                    {"frames_in_window", r.frames_seen},
                                    {"first_ns", r.first_ns},
                                    {"last_ns", r.last_ns},
                                    {"files", r.files},
                                    {"files_read", r.files_read},
                                    {"total_bytes", r.total_bytes},
                                    {"read_bytes", r.read_bytes},
                                    {"missing_frames", r.missing_frames},
                                    {"stopped", r.stopped},
                                    {"remarks", r.remarks},
                                    {"file", out}};
  return json.dump(2);
}

// A line on the terminal, a few times a second.
class Progress {
 public:
  void show(const ExtractReport& r) {
    const auto now = steady_clock::now();
    if (!tty_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(200);
    write(fmt::format("\r\x1b[Kextract: {} of {} files hold the window, {}; {}frames seen, {} written", r.files_read,
                      r.files, size_text(r.wanted_bytes), count_text(static_cast<double>(r.frames_seen)) + " ",
                      r.frames));
    shown_ = true;
  }
  ~Progress() {
    if (shown_) write("\r\x1b[K");
  }

 private:
  static void write(const std::string& text) {
    [[maybe_unused]] const auto n = ::write(STDERR_FILENO, text.data(), text.size());
  }
  const bool tty_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
  steady_clock::time_point next_ = steady_clock::now();
};

Result<Done> run_extract(ExtractWords& words, StopRequest& stop) {
  if (auto ok = understand(words); !ok) return ok;
  Result<ExtractReport> report = work_error("");
  {
    Progress line;
    report = extract(
        words.options, [&line](const ExtractReport& r) { line.show(r); }, stop.stop);
  }
  if (!report) return report.error();
  for (const std::string& remark : report->remarks) log::warning("{}", remark);
  const std::string out = words.options.out.string();
  if (words.json) {
    fmt::print("{}\n", json_of(*report, out));
  } else {
    fmt::print("{} frames ({}) to {}; {} of {} files looked at, {} of {} read\n", report->frames,
               size_text(report->bytes), out, report->files_read, report->files, size_text(report->read_bytes),
               size_text(report->total_bytes));
  }
  if (report->stopped) return work_error("extract: stopped by a signal; " + out + " holds what was found until then");
  return Done{};
}

}  // namespace

CaptureCommand add_extract_command(CLI::App& app) {
  auto words = std::make_shared<ExtractWords>();
  CLI::App* extract_app = app.add_subcommand("extract", "The frames of a time window out of many files");
  extract_app->footer(
      "Reads RAW files (a directory stands for all of its own) where their time indexes say, other captures as a "
      "whole; "
      "frames\n"
      "of several captures come out in the order of their stamps.\n"
      "TIMES: 2026-11-21T05:00:00Z, 2026-11-21T06:00:00.5+01:00, now-10m. Frames from --from on and before --to.\n"
      "Exit status: 0 done, 1 a refused write or stopped, 2 wrong times or filter, or an input that is no capture.\n"
      "Example: vigia-capture extract /data/agent --from 2026-11-21T05:00:00Z --to 2026-11-21T05:00:10Z \\\n"
      "           --filter 'host 10.0.0.1' -o ten-seconds.pcapng");
  extract_app->add_option("in", words->options.inputs, "Directories of RAW files, and files")->required();
  extract_app->add_option("--from", words->from, "Beginning of the window (default: of the files)");
  extract_app->add_option("--to", words->to, "Its end (default: that of the files)");
  extract_app->add_option("--last", words->last, "The time until now instead: 10s, 5m, 1h30m");
  extract_app->add_option("--filter", words->options.filter, "Only frames that pass, as pcap-filter(7) says");
  extract_app->add_option("-o,--out", words->options.out, "File to write; the suffix says how: .pcapng or .pcap")
      ->required();
  extract_app->add_option("--format", words->format, "pcap or pcapng, whatever the suffix");
  extract_app->add_flag("--json", words->json, "Report as one JSON object");
  return {extract_app, [words] { return exit_status_of(run_extract(*words, stop_on_signals())); }};
}

}  // namespace vigia::vf
