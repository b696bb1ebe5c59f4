// SPDX-License-Identifier: Apache-2.0
// rx_bench: measurements of the receive path for benchmarks/parts/rx.py, one JSON object each.
#include <CLI/CLI.hpp>

#include "benchmarks/rx/bench.h"
#include "benchmarks/rx/pauses.h"
#include "vfdriver/clock.h"

namespace {

using namespace vigia;

void add_dedup(CLI::App& app, std::optional<vf::DuplicateOptions>& out) {
  app.add_option_function<std::string>(
      "--dedup", [&out](const std::string& text) { out = bench::must(hw::parse_duplicate_options(text)); },
      "As of vigia-capture");
}

void add_memory(CLI::App& app, bench::MemoryRun& run) {
  app.add_option("--lengths", run.lengths, "60, imix, or a capture file")->capture_default_str();
  app.add_option("--runs", run.runs)->capture_default_str();
  app.add_option("--seconds", run.seconds, "Of each run")->capture_default_str();
  app.add_option("--listeners", run.listeners, "Overwritable ones that read on")->capture_default_str();
  app.add_option("--stalled", run.stalled, "Overwritable ones that never read")->capture_default_str();
  add_dedup(app, run.duplicates);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measurements of the receive path");
  app.require_subcommand(1);
  bench::MemoryRun memory, counted;
  bench::SoftnicRun softnic;
  std::uint64_t frames = 100'000;
  double pause_seconds = 1;
  CLI::App* in_memory = app.add_subcommand("memory", "Engine on a ring that is always full, beside a loop that copies");
  add_memory(*in_memory, memory);
  CLI::App* on_softnic = app.add_subcommand("softnic", "One trial on the software 82599");
  on_softnic->add_option("--rate", softnic.rate)->capture_default_str();
  on_softnic->add_option("--count", softnic.count)->capture_default_str();
  on_softnic->add_option("--size", softnic.size)->capture_default_str();
  on_softnic->add_option("--queues", softnic.queues)->capture_default_str();
  on_softnic->add_option("--listeners", softnic.listeners)->capture_default_str();
  on_softnic->add_option("--stalled", softnic.stalled)->capture_default_str();
  on_softnic->add_option("--poll", softnic.poll)->capture_default_str();
  on_softnic->add_option("--realtime", softnic.realtime, "Before all ordinary threads, where that is allowed")
      ->capture_default_str();
  on_softnic->add_option_function<std::string>(
      "--clock",
      [&softnic](const std::string& text) { softnic.policy = bench::must(vf::parse_clock_options(text)).policy; },
      "Policy of the stamps: kpt, udts, wdts, hybrid");
  on_softnic->add_option("--at-most", softnic.at_most, "Seconds")->capture_default_str();
  add_dedup(*on_softnic, softnic.duplicates);
  on_softnic->add_option("--rx-ring", softnic.rx_ring)->capture_default_str();
  CLI::App* cores = app.add_subcommand("cores", "How far apart the two processors are");
  CLI::App* pauses = app.add_subcommand("pauses", "What the machine takes from a loop on each of two processors");
  pauses->add_option("--seconds", pause_seconds)->capture_default_str();
  CLI::App* frames_only = app.add_subcommand("frames", "So many frames and nothing else, for an instruction counter");
  frames_only->add_option("--count", frames)->capture_default_str();
  add_memory(*frames_only, counted);
  CLI11_PARSE(app, argc, argv);
  if (*in_memory) bench::measure_memory(memory);
  if (*on_softnic) bench::try_softnic(softnic);
  if (*pauses) bench::measure_pauses(pause_seconds);
  if (*cores) bench::measure_cores();
  if (*frames_only) bench::run_frames(counted, frames);
  return 0;
}
