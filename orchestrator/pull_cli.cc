// SPDX-License-Identifier: Apache-2.0
// `vigia pull`: packets out of a running probe.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "orchestrator/cli.h"
#include "orchestrator/cli_kit.h"
#include "orchestrator/guest_channel.h"
#include "orchestrator/vm_catalog.h"
#include "orchestrator/vm_spec.h"

namespace vigia::orch {
namespace {

struct PullCommand {
  PullOptions pull;
  std::string name, channel, uri = default_uri();
  bool json = false;
};

// Where to ask: the socket that was given, or that of the VM.
Result<std::filesystem::path> socket_of(const PullCommand& command) {
  if (!command.channel.empty()) return std::filesystem::path(command.channel);
  auto host = LibvirtHost::open(command.uri);
  if (!host) return host.error();
  const auto vm = find_vm(*host, command.name);
  if (!vm) return vm.error();
  if (vm->metadata.kind == word(VmKind::tenant)) {
    return input_error(fmt::format("{} is a tenant: it captures nothing; pull from its agent", vm->name));
  }
  return std::filesystem::path(vm->metadata.channel);
}

std::string summary(const nlohmann::json& end, const std::string& output) {
  const auto count = [&](const char* key) {
    const auto at = end.find(key);
    return at != end.end() && at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
  };
  std::string text = fmt::format("{} frames ({} bytes) to {}", count("frames"), count("bytes"), output);
  if (count("filtered") > 0) text += fmt::format(", {} left out by the filter", count("filtered"));
  if (count("gap_frames") > 0)
    text += fmt::format("; {} frames of the window were no longer there", count("gap_frames"));
  if (end.contains("missing") && end["missing"].is_object() && end["missing"]["why"].is_string()) {
    text += "; the window begins before what is kept: " + end["missing"]["why"].get<std::string>();
  }
  if (end.value("limited", nlohmann::json()) == true) text += "; ended by --max-bytes";
  return text;
}

int run(PullCommand& command) {
  catch_signals();
  const auto socket = socket_of(command);
  if (!socket) return report_error(socket.error(), command.json);
  const bool tty = ::isatty(STDERR_FILENO) == 1;
  if (tty) {
    command.pull.progress = [](std::uint64_t bytes) { fmt::print(stderr, "\r\x1b[K{} KiB", bytes / 1024); };
  }
  const auto end = pull(*socket, command.pull, interrupted());
  if (tty) fmt::print(stderr, "\r\x1b[K");
  if (!end) return report_error(end.error(), command.json && command.pull.output != "-");
  // Standard output may be the file.
  std::FILE* out = command.pull.output == "-" ? stderr : stdout;
  if (command.json) {
    fmt::print(out, "{}\n", *end);
  } else {
    fmt::print(out, "{}\n", summary(nlohmann::json::parse(*end), command.pull.output.string()));
  }
  return 0;
}

}  // namespace

HostCommand add_pull_command(CLI::App& app) {
  auto command = std::make_shared<PullCommand>();
  CLI::App* pull_app = app.add_subcommand("pull", "Fetch packets from a running probe or agent");
  pull_app->footer(
      "Times are --last 10s, or --from and --to as now, now-30s, or 2026-11-21T05:00:00Z; --to is not in the window.\n"
      "Without any: everything that is kept. What was no longer there is said, also in the file.\n"
      "Exit status: 0 done, 1 the guest does not answer or the disk refused data, 2 wrong input, a filter for "
      "example.\n"
      "Example: vigia pull agent1 --last 10s --filter 'tcp port 80' -o - | tshark -r -");
  auto* name = pull_app->add_option("NAME", command->name, "The probe or agent");
  auto* channel = pull_app->add_option("--channel", command->channel, "Unix socket of its channel, without libvirt");
  name->excludes(channel);
  pull_app->add_option("--uri", command->uri, "libvirt to use")->capture_default_str();
  pull_app->add_option("--last", command->pull.last, "The last so many seconds, minutes, hours: 10s, 5m");
  pull_app->add_option("--from", command->pull.from, "Begin of the window");
  pull_app->add_option("--to", command->pull.to, "End of the window (default: now)");
  pull_app->add_option("--filter", command->pull.filter, "Only what this pcap-filter(7) lets pass");
  pull_app->add_option("--max-bytes", command->pull.max_bytes, "Stop when the file has this size (default: no limit)");
  pull_app->add_option("--snaplen", command->pull.snaplen, "Bytes kept of a frame (default: as captured)")
      ->check(CLI::Range(1, 65535));
  pull_app->add_flag("--follow", command->pull.follow, "Go on with what comes, until Ctrl-C");
  pull_app->add_option("-o,--output", command->pull.output, "pcapng file, or - for standard output")->required();
  pull_app->add_flag("--json", command->json, "Report as one JSON object");
  return {pull_app, [command] {
            if (command->name.empty() && command->channel.empty()) {
              return report_error(input_error("say which probe or agent, or --channel SOCKET"), command->json);
            }
            return run(*command);
          }};
}

}  // namespace vigia::orch
