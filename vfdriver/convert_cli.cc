// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "vfdriver/capture_cli.h"
#include "vfdriver/frame_writer.h"
#include "vfdriver/reader.h"

namespace vigia::vf {
namespace {

struct ConvertOptions {
  std::filesystem::path in, out;
  std::string format;
  bool json = false;
};

Result<FileFormat> wanted_format(const ConvertOptions& options) {
  if (!options.format.empty()) return parse_format(options.format);
  if (const auto format = format_of(options.out)) return *format;
  return input_error("convert to " + options.out.string() +
                     ": the suffix must be .pcapng, .pcap or .raw, or say --format");
}

Result<Done> convert_file(const ConvertOptions& options) {
  const auto format = wanted_format(options);
  if (!format) return format.error();
  std::error_code ignored;
  if (std::filesystem::equivalent(options.in, options.out, ignored)) {
    return input_error("convert " + options.in.string() + ": input and output are the same file");
  }
  auto in = open_capture(options.in);
  if (!in) return in.error();
  auto out = create_capture_file(
      options.out, *format, {"converted from " + options.in.string(), options.in.stem(), "", (*in)->report().clock, 0});
  if (!out) return out.error();
  auto done = convert(**in, **out, *format);
  // Also after an error: what was read before it is whole.
  auto finished = (*out)->finish({0, 0, (*in)->report().clock});
  const ReadReport& report = (*in)->report();
  for (const std::string& remark : report.remarks) log::warning("{}", remark);
  if (!done) return done.error();
  if (!finished) return finished;
  if (done->clipped > 0)
    log::warning("{} frames are longer than RAW can hold and were cut to 65535 bytes", done->clipped);
  if (done->unstamped > 0)
    log::warning("{} frames had the time 0, which is padding in RAW; they have 1 ns now", done->unstamped);
  if (options.json) {
    const nlohmann::ordered_json json{{"frames", done->frames},
                                      {"bytes", report.bytes},
                                      {"truncated_files", report.truncated_files},
                                      {"missing_frames", report.missing_frames},
                                      {"clipped", done->clipped},
                                      {"unstamped", done->unstamped},
                                      {"remarks", report.remarks},
                                      {"file", options.out.string()}};
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{} frames ({} bytes) to {}\n", done->frames, report.bytes, options.out.string());
  }
  return Done{};
}

}  // namespace

CaptureCommand add_convert_command(CLI::App& app) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* convert_app = app.add_subcommand("convert", "Change the format of a capture");
  convert_app->footer(
      "Reads a RAW file, a directory of RAW files, pcap or pcapng (told by content); writes RAW, pcap or pcapng, all "
      "with\n"
      "nanoseconds. A file that ends inside a frame is read up to its last whole one, with a warning.\n"
      "Exit status: 0 done, 1 a refused write, 2 the input is no capture, damaged, or not Ethernet.\n"
      "Example: vigia-capture convert /data/agent agent.pcapng");
  convert_app->add_option("in", options->in, "Capture to read")->required();
  convert_app->add_option("out", options->out, "File to write; the suffix says how: .pcapng, .pcap or .raw")
      ->required();
  convert_app->add_option("--format", options->format, "raw, pcap or pcapng, whatever the suffix");
  convert_app->add_flag("--json", options->json, "Report as one JSON object");
  return {convert_app, [options] { return exit_status_of(convert_file(*options)); }};
}

}  // namespace vigia::vf
