// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/capture_cli.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>

#include "hw/log.h"
#include "vfdriver/cli_values.h"
#include "vfdriver/simulate.h"

namespace vigia::vf {
namespace {

StopRequest stop_request;
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

void on_signal(int) {
  // Relaxed: flags, they order nothing.
  if (stop_request.stop.exchange(true, std::memory_order_relaxed)) {
    stop_request.hurry.store(true, std::memory_order_relaxed);
  }
}

void add_device_options(CLI::App& run, CaptureOptions& o) {
  run.add_option("--device", o.device, "Where frames come from; DEVICES below");
  run.add_option("--queues", o.port.queues, "Receive queues: 1, 2 or 4; each has an engine and a ring of its own")
      ->capture_default_str();
  run.add_option("--queue-size", o.port.rx_ring, "Descriptors per queue, a power of two, 64..32768")
      ->capture_default_str();
  run.add_option("--mtu", o.port.mtu, "Largest packet in bytes, without Ethernet header")->capture_default_str();
  run.add_option_function<std::string>(
      "--mac",
      [&o](const std::string& text) {
        o.port.mac = hw::Mac::parse(text);
        if (!o.port.mac) throw CLI::ValidationError("--mac", "\"" + text + "\": want six hex pairs, 02:00:00:00:00:03");
      },
      "Address to ask of the PF; without it, the one the PF assigned");
  run.add_option("--vlan", o.port.vlans, "VLAN to join; may be repeated")->allow_extra_args(false);
  run.add_option_function<std::vector<std::string>>(
         "--multicast",
         [&o](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             const auto group = hw::Mac::parse(text);
             if (!group) throw CLI::ValidationError("--multicast", "\"" + text + "\": want six hex pairs");
             o.port.multicast.push_back(*group);
           }
         },
         "Multicast group to receive; may be repeated (default: all that the PF gives without a name)")
      ->allow_extra_args(false);
}

void add_store_options(CLI::App& run, CaptureOptions& o) {
  auto* out = run.add_option("--out", o.out, "Store in this file; the suffix says how: .pcapng, .pcap or .raw");
  auto* raw =
      run.add_option("--raw", o.raw,
                     "Store in this directory: RAW files of fixed size with a time index beside each; of several\n"
                     "queues each has files of its own, NAME@QUEUE-00000001.raw");
  raw->excludes(out);
  add_size_option(run, "--file-size", o.ring.segment_bytes, "Size of one RAW file, a multiple of 1M (default 2G)");
  run.add_option_function<std::string>(
         "--rotate",
         [&o](const std::string& text) {
           const auto time = parse_duration(text);
           if (!time) throw CLI::ValidationError("--rotate", time.error().text);
           o.rotate = *time;
         },
         "End a RAW file that holds something when it is that old, 60s, full or not (default: only when it is full)")
      ->needs(raw);
  add_size_option(run, "--quota", o.quota,
                  "Space for the RAW files of this name; the oldest are deleted (default: none)")
      ->needs(raw);
  run.add_option("--snaplen", o.snaplen, "Bytes kept of each frame")->capture_default_str();
  run.add_option("--tap", o.tap, "What this port shows, in words, for the file: \"rx of web\"");
  auto* lossless = run.add_flag_callback(
      "--lossless", [&o] { o.store_kind = ListenerKind::lossless; },
      "When the disk is a full ring behind, drop new frames for every listener (engine.ring_full); the default");
  run.add_flag_callback(
         "--overwritable", [&o] { o.store_kind = ListenerKind::overwritable; },
         "When the disk is a full ring behind, the store alone loses frames (store.lapped)")
      ->excludes(lossless);
}

void add_engine_options(CLI::App& run, CaptureOptions& o) {
  run.add_option("--name", o.name, "Name of the capture: of its socket, files, interface")->capture_default_str();
  add_size_option(run, "--ring", o.ring.data_bytes,
                  "Shared memory between engine and listeners, of each queue, a multiple of 1M (default 256M)");
  run.add_flag("--poll", o.poll, "Never sleep: for an engine with a CPU of its own");
  run.add_option_function<std::string>(
         "--clock",
         [&o](const std::string& text) {
           const auto clock = parse_clock_options(text);
           if (!clock) throw CLI::ValidationError("--clock", clock.error().text);
           o.clock = *clock;
         },
         "How frames get their time: POLICY[,ticks=tsc|monotonic][,reference=/dev/ptpN], see CLOCK")
      ->type_name("SPEC")
      ->default_str("hybrid");
  o.cpus.choose = true;
  run.add_option_function<std::string>(
         "--cpus",
         [&o](const std::string& text) {
           const auto wish = parse_cpu_wish(text);
           if (!wish) throw CLI::ValidationError("--cpus", wish.error().text);
           o.cpus = *wish;
         },
         "CPUs of the engines. auto: a physical core each, near the device, siblings left alone, when one core is\n"
         "left for the rest of the machine; none: the scheduler's choice; or a list with one for each queue: 2,3 or "
         "4-7")
      ->type_name("auto|none|LIST")
      ->default_str("auto");
  run.add_option_function<std::string>(
         "--dedup",
         [&o](const std::string& text) {
           const auto options = hw::parse_duplicate_options(text);
           if (!options) throw CLI::ValidationError("--dedup", options.error().text);
           o.duplicates = *options;
         },
         "Leave out frames that repeat a recent one (engine.duplicate): same length, same first bytes. \"on\", "
         "\"off\", or\n"
         "any of records=32K,window=200ms,bytes=70,keep=drop. With keep=mark they stay: in pcapng with a comment, in\n"
         "RAW behind a padding record that says so; pcap has no place for a mark")
      ->type_name("HOW");
  run.add_option("--mirror-rules", o.mirror_rules,
                 "With --dedup: what `vigia pf show --json` prints of the port that mirrors to this device. Predicts "
                 "which\n"
                 "frames come several times, and counts duplicates that the mirrors do not explain "
                 "(engine.copy_unpredicted)\n"
                 "and copies that did not come (engine.copy_missing). Read again whenever it changes");
  run.add_option(
      "--mirror-agent", o.mirror_agent,
      "Which VF of that port this device is (default: the only one that is mirrored to, or that of the same\n"
      "address)");
  run.add_option("--count", o.max_frames, "Stop after this many frames (default: no limit)");
  run.add_option_function<std::string>(
      "--for",
      [&o](const std::string& text) {
        const auto time = parse_duration(text);
        if (!time) throw CLI::ValidationError("--for", time.error().text);
        o.max_time = *time;
      },
      "Stop after this time: 30s, 10m, 2h (default: no limit)");
  run.add_option("--stats-json", o.stats_json, "Statistics, written at the end; - for standard output");
  run.add_option("--counters", o.counters, "Counter file for the ledger; outlives the process");
  run.add_option("--ready-file", o.ready_file, "Written when the capture has begun");
}

struct SimulateOptions {
  std::string what;
  std::uint32_t frame_bytes = 1514;
  bool keep = false;
};

void add_simulate_options(CLI::App& run, SimulateOptions& o) {
  auto* what = run.add_option("--simulate", o.what,
                              "Instead of a device. capture: frames from memory through engine and ring into --raw, "
                              "--out or nowhere; store: blocks straight to --raw. 10 s without --for or --count; "
                              "what was written to --raw is deleted");
  run.add_option("--frame-size", o.frame_bytes, "Bytes of a simulated frame, FCS not counted, 60..9018")
      ->capture_default_str()
      ->needs(what);
  run.add_flag("--keep", o.keep, "Leave the RAW files of a simulation")->needs(what);
}

Result<Done> run_simulation(const SimulateOptions& simulation, const CaptureOptions& options) {
  if (!options.device.empty()) return input_error("--simulate: takes the place of --device; give one of them");
  const auto what = parse_simulation(simulation.what);
  if (!what) return what.error();
  const auto report = simulate(*what, options, simulation.frame_bytes, simulation.keep, stop_on_signals());
  if (!report) return report.error();
  log::info("{}", text_of(*report));
  return options.stats_json.empty() ? Done{} : write_text(options.stats_json, to_json(*report));
}

}  // namespace

StopRequest& stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: sleeps end at once
  for (const int signal : {SIGTERM, SIGINT}) ::sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  return stop_request;
}

int exit_status_of(const Result<Done>& result) {
  if (result) return 0;
  log::error("{}", result.error().text);
  return result.error().exit_status();
}

CLI::Option* add_size_option(CLI::App& app, const std::string& flag, std::uint64_t& target, const std::string& help) {
  return app.add_option_function<std::string>(
      flag,
      [&target, flag](const std::string& text) {
        const auto size = parse_size(text);
        if (!size) throw CLI::ValidationError(flag, size.error().text);
        target = *size;
      },
      help);
}

CaptureCommand add_run_command(CLI::App& app) {
  auto options = std::make_shared<CaptureOptions>();
  options->port.tx_ring = 0;
  auto simulation = std::make_shared<SimulateOptions>();
  CLI::App* run = app.add_subcommand("run", "Capture from a device: stamp, keep in a shared ring, store");
  run->footer(
      std::string() +
      "Other processes listen with `vigia-capture attach NAME`, to one of several queues with NAME@QUEUE. SIGINT or\n"
      "SIGTERM ends the capture with everything written; a second one gives up what the store has not read. Frames\n"
      "that are lost are counted by cause, in the last lines, the counter file and the pcapng's interface statistics.\n"
      "Exit status: 0 done, 1 the device went away or the disk refused data, 2 wrong input.\n"
      "DEVICES\n" +
      port_specs_help() +
      "CLOCK: policy kpt stamps each frame when the polling thread saw it; udts and wdts spread a burst over the time\n"
      "since the frame before, evenly or by time on the wire; hybrid does as kpt on an idle link, as wdts on a full "
      "one.\n"
      "Without --poll an engine that has nothing to do sleeps: a frame after a pause is seen late by the wake-up. "
      "Ticks\n"
      "come from the processor's counter where it runs evenly, and are calibrated against CLOCK_REALTIME, or against "
      "a\n"
      "PTP clock: a NIC's, or the host's in a guest (ptp_kvm); stamps are then that clock's time, TAI if it keeps "
      "TAI.\n"
      "Example: vigia-capture run --device vfio-user:/run/lab/vf3.sock --name agent --out agent.pcapng --for 10m\n"
      "         vigia-capture run --simulate capture --raw /data/try --for 10s");
  add_device_options(*run, *options);
  add_store_options(*run, *options);
  add_engine_options(*run, *options);
  add_simulate_options(*run, *simulation);
  return {run, [options, simulation] {
            if (!simulation->what.empty()) return exit_status_of(run_simulation(*simulation, *options));
            if (options->device.empty()) {
              return exit_status_of(
                  input_error("--device: a capture needs one; without a device, --simulate capture "
                              "shows what this machine can do"));
            }
            auto result = run_capture(*options, stop_on_signals());
            // Stopped while it still waited for the PF: that is a stop, not a failure.
            if (!result && result.error().code == std::errc::operation_canceled) return 0;
            return exit_status_of(result);
          }};
}

}  // namespace vigia::vf
