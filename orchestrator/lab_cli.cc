// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "hw/log.h"
#include "orchestrator/capture_ledger.h"
#include "orchestrator/cli.h"
#include "orchestrator/cli_kit.h"
#include "orchestrator/lab_files.h"
#include "orchestrator/lab_report.h"
#include "orchestrator/lab_run.h"
#include "orchestrator/lab_setup.h"
#include "orchestrator/ledger_print.h"
#include "orchestrator/vm_ledger.h"

namespace vigia::orch {
namespace {

// One line on the terminal that is written over and over.
class ProgressLine {
 public:
  void show(const LabProgress& p) {
    std::string text = fmt::format("{:6.1f} s  wire {} of {}", p.elapsed_s, grouped(p.sent), grouped(p.to_send));
    for (const auto& [name, taken] : p.taken) text += fmt::format("  {} {}", name, grouped(taken));
    // \033[K: erase to the end of the line; cut, so that it never wraps.
    fmt::print(stderr, "\r{}\033[K", text.substr(0, 118));
    std::fflush(stderr);
    shown_ = true;
  }
  void clear() {
    if (shown_) fmt::print(stderr, "\r\033[K");
    shown_ = false;
  }

 private:
  bool shown_ = false;
};

struct LabOptions {
  std::string file, out = "out/lab";
  bool json = false, quiet = false;
};

int run(const LabOptions& options) {
  catch_signals();
  auto spec = load_lab(options.file);
  if (!spec) return report_error(spec.error(), options.json);
  auto setup = set_up_lab(std::move(*spec), options.out, interrupted());
  if (!setup) return report_error(setup.error(), options.json);
  // Words go to stdout, or with --json, where stdout is the object's, to stderr.
  std::FILE* const words = options.json ? stderr : stdout;
  if (!options.quiet) fmt::print(words, "{}", lab_opening(*setup));
  std::fflush(words);

  ProgressLine line;
  LabHooks hooks;
  if (!options.quiet && ::isatty(STDERR_FILENO)) hooks.progress = [&](const LabProgress& p) { line.show(p); };
  hooks.notice = [&](const std::string& text) {
    line.clear();
    log::warning("{}", text);
  };
  auto result = run_lab(*setup, interrupted(), hooks);
  line.clear();
  if (!result) return report_error(result.error(), options.json);
  if (!options.quiet || !options.json) fmt::print(words, "{}", lab_text(*setup, *result));
  if (options.json) {
    print_json(lab_json(*setup, *result));
  }
  return result->exit_status;
}

// Of a lab's folder, of a software NIC's and the VMs on it, or of one capture.
Result<LedgerInput> ledger_input(const std::filesystem::path& dir, const std::string& uri) {
  if (std::filesystem::is_regular_file(dir)) return read_capture_ledger(dir);
  if (!std::filesystem::exists(dir / "lab.json") && std::filesystem::exists(dir / "pf.sock")) {
    auto host = LibvirtHost::open(uri);
    if (!host) return host.error();
    return read_vm_ledger(*host, std::filesystem::absolute(dir).lexically_normal());
  }
  auto manifest = read_manifest(dir);
  if (!manifest) return manifest.error();
  return read_ledger_input(dir, *manifest);
}

int print_ledger(const std::string& dir, const std::string& uri, bool json) {
  const auto input = ledger_input(dir, uri);
  if (!input) return report_error(input.error(), json);
  const Ledger ledger = make_ledger(*input);
  fmt::print("{}", json ? ledger_json(ledger).dump(2) + "\n" : ledger_text(ledger));
  return ledger.balanced ? 0 : 1;
}

}  // namespace

HostCommand add_lab_command(CLI::App& app) {
  auto options = std::make_shared<LabOptions>();
  CLI::App* lab = app.add_subcommand("lab", "A whole NFV host in processes, on a software 82599");
  lab->require_subcommand(1);
  CLI::App* run_command = lab->add_subcommand(
      "run",
      "Run a lab: starts the NIC, its manager, tenants and agents, sends the traffic, stops all, prints the ledger");
  run_command->add_option("FILE", options->file, "The lab, as `vigia explain lab` describes it")->required();
  run_command->add_option("--out", options->out, "Folder for captures, logs and counters; made if need be")
      ->capture_default_str();
  run_command->add_flag("--json", options->json, "Print one JSON object on stdout; words go to stderr");
  run_command->add_flag("-q,--quiet", options->quiet, "No opening words and no progress line");
  run_command->footer(
      "Frames of the traffic go to the tenant whose match takes them; agents receive the copies that their tap's "
      "mirror\n"
      "rule makes, and write them to files in the folder. The effective scope of each rule is printed before it runs.\n"
      "\n"
      "The folder holds NAME.pcapng (or NAME.raw/), NAME.json (statistics), NAME.log and NAME.counters of everyone,\n"
      "wire.pcap (the traffic as sent), pf.yaml and lab.json. `vigia ledger FOLDER` prints the ledger again, also "
      "while\n"
      "the lab runs. Nothing is left running, whatever happens; Ctrl-C ends a run early, with the ledger of that "
      "part.\n"
      "\n"
      "Exit status: 0 the ledger balances, nobody died and nothing failed; 1 not so; 2 wrong input, nothing started.\n"
      "\n"
      "Example: vigia lab run lab.yaml --out /tmp/lab --json | jq .agent");
  return {lab, [options] { return run(*options); }};
}

HostCommand add_ledger_command(CLI::App& app) {
  struct Options {
    std::string dir, uri = default_uri();
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* ledger = app.add_subcommand("ledger", "The account of every frame, from the wire to the disk");
  ledger
      ->add_option("WHAT", options->dir,
                   "The folder of a finished or running lab; or of a vigia-softnic, for the VMs on it; or the counter\n"
                   "file of one capture (`vigia-capture run --counters FILE`) on any port")
      ->required();
  ledger->add_option("--uri", options->uri, "libvirt that has the VMs")->capture_default_str();
  ledger->add_flag("--json", options->json, "Print one JSON object");
  ledger->footer(
      "Each line is an equation between counters of different processes: what one has handed over, another must have\n"
      "booked. \"holds\": it does; \"does not\": frames are missing, which is an error; \"unknown\": a side cannot be\n"
      "seen. The first stage that loses frames is named. A capture on several queues has a line for each, NAME@QUEUE;\n"
      "one on its own begins with what its port saw.\n"
      "\n"
      "Exit status: 0 every line holds, 1 one does not or is unknown, 2 there is no lab in the folder, or the file is "
      "none of a capture.");
  return {ledger, [options] { return print_ledger(options->dir, options->uri, options->json); }};
}

}  // namespace vigia::orch
