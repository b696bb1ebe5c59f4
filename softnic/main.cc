// SPDX-License-Identifier: Apache-2.0
// vigia-softnic: serves the software 82599, one vfio-user socket a function, from one thread.
#include <fmt/format.h>
#include <sched.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "hw/accounts.h"
#include "hw/log.h"
#include "softnic/device.h"
#include "softnic/server.h"

namespace {

using namespace vigia;
using namespace vigia::softnic;

constexpr std::string_view kDescription =
    "A software Intel 82599 10 GbE controller with SR-IOV. The physical function and each virtual function is a PCI\n"
    "device on a vfio-user socket in DIR: pf.sock (8086:10fb), vf0.sock, vf1.sock, .. (8086:10ed). Attach them to\n"
    "QEMU (-device vfio-user-pci) or to vigia-pf and vigia-capture (--device vfio-user:DIR/vf0.sock). Clients may\n"
    "leave, crash and come back.";

constexpr std::string_view kFooter =
    "WIRES\n"
    "  What arrives from the network. The wire starts when the PF's receiver is on and --start-when-ready VFs have\n"
    "  given descriptors; it does not stop again.\n"
    "    null                    nothing (as without --wire)\n"
    "    pcap:FILE[,rate=R][,loop=N|,count=N]\n"
    "                            frames of a pcap or pcapng capture of Ethernet; R is 1x (its own times, the default\n"
    "                            of this option is max), <n>x, <n>mpps, <n>gbps or max\n"
    "    gen:size=64,flows=4096[,count=N][,rate=R][,train=N]\n"
    "                            UDP frames of `size` bytes with FCS, numbered; endless without count\n"
    "    tap:NAME[,netns=NS]     a TAP interface, made unless it exists, in this network namespace or in NS (a name "
    "of\n"
    "                            \"ip netns\" or a path): what its side sends arrives here, what leaves here goes "
    "there.\n"
    "                            Its carrier is on while the port receives; its MTU is the longest frame it takes; "
    "what\n"
    "                            overflows its queue before it is read is in its own statistics (ip -s link: TX "
    "dropped)\n"
    "  rate=max is a closed loop: the wire holds a frame while a receiver of it is out of descriptors, for at most\n"
    "  1 s without progress of that receiver. Every other rate is an open loop: who is late loses, and is counted.\n"
    "\n"
    "EVENTS (--json-events), one object a line on standard output\n"
    "  {\"event\":\"listening\",\"dir\":..,\"vfs\":N}   sockets exist, clients may connect\n"
    "  {\"event\":\"wire_started\"}                 the first frame is on its way\n"
    "  {\"event\":\"wire_done\",\"sent\":N}           the last frame has been switched\n"
    "  {\"event\":\"stopped\",\"accounts\":{..}}      the final counts, sockets are gone\n"
    "\n"
    "SIGNALS\n"
    "  SIGINT, SIGTERM: say good-bye to the clients, print the counts, remove the sockets.\n"
    "\n"
    "EXIT STATUS\n"
    "  0 done; 1 the work failed; 2 bad input, in which case no socket was made.\n"
    "\n"
    "EXAMPLES\n"
    "  vigia-softnic --dir /run/lab --vfs 4 --wire pcap:trace.pcap,rate=1x --start-when-ready 2\n"
    "  vigia-softnic --dir /run/lab --vfs 2 --wire gen:size=64,flows=4096,count=10000000 --exit-when-done";

struct Options {
  std::string dir, wire, dump, tx_pcap, arrivals, timing = "none", doorbells = "map", counters, stats_json;
  unsigned vfs = 1, start_when_ready = 0;
  int cpu = -1;
  bool exit_when_done = false, json_events = false;
};

// Set by a signal; the loop looks at it at least every 100 ms.
std::atomic<bool> stop_asked = false;
static_assert(std::atomic<bool>::is_always_lock_free);

std::uint64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--dir", o.dir, "Directory for the sockets; made if it does not exist")->type_name("DIR");
  app.add_option("--vfs", o.vfs, "Number of virtual functions, 0 to 63 (TotalVFs)")
      ->check(CLI::Range(0u, Device::kMaxVfs))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--wire", o.wire, "What arrives from the network, see WIRES")->type_name("SPEC");
  app.add_option("--dump", o.dump, "Write what the wire would send to FILE.pcapng or FILE.pcap and end: no device")
      ->type_name("FILE");
  app.add_option("--tx-pcap", o.tx_pcap, "Keep the frames that leave the port in FILE.pcapng or FILE.pcap")
      ->type_name("FILE");
  app.add_option("--arrivals", o.arrivals,
                 "Write when each frame of the wire had arrived at the port, to judge stamps by: entries of 16 bytes,\n"
                 "u64 nanoseconds since 1970, u32 bytes, u32 delivered; needs --timing 82599 and a wire with an end")
      ->type_name("FILE");
  app.add_option("--timing", o.timing,
                 "none: as fast as memory allows. 82599: 10 Gb/s, 512 KiB packet buffer and PCIe Gen2 x8, so that "
                 "frames are lost where the real device loses them")
      ->check(CLI::IsMember({"none", "82599"}))
      ->capture_default_str();
  app.add_option("--doorbells", o.doorbells,
                 "map: VFs offer their queue registers as memory, no message per doorbell. trap: every access is a "
                 "message, and QEMU posts the writes")
      ->check(CLI::IsMember({"map", "trap"}))
      ->capture_default_str();
  app.add_option("--start-when-ready", o.start_when_ready, "Start the wire when N VFs have given receive descriptors")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--counters", o.counters, "Keep the accounts in a mapped file that outlives this process")
      ->type_name("FILE");
  app.add_option("--stats-json", o.stats_json, "Write the final accounts as JSON")->type_name("FILE");
  app.add_option("--cpu", o.cpu, "Run on this CPU only")->check(CLI::NonNegativeNumber)->type_name("N");
  app.add_flag("--exit-when-done", o.exit_when_done,
               "End when the wire is done and nothing has moved for 100 ms; needs --wire");
  app.add_flag("--json-events", o.json_events, "Report events as JSON lines on standard output, see EVENTS");
}

Result<Done> pin(int cpu) {
  if (cpu < 0) return Done{};
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= CPU_SETSIZE) return input_error(fmt::format("--cpu {}: no such CPU", cpu));
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    return input_error(fmt::format("--cpu {}: this machine or container does not have it; see nproc", cpu));
  }
  return Done{};
}

Result<Done> prepare_dir(const Options& o) {
  constexpr std::size_t kLongestName = sizeof("/vf62.sock") - 1, kSocketPath = 107;
  if (o.dir.size() + kLongestName > kSocketPath) {
    return input_error(
        fmt::format("--dir {}: socket paths in it would exceed {} bytes; use a shorter one", o.dir, kSocketPath));
  }
  std::error_code failure;
  std::filesystem::create_directory(o.dir, failure);
  if (!std::filesystem::is_directory(o.dir)) {
    return input_error(fmt::format("--dir {}: {}; its parent must exist and be writable", o.dir,
                                   failure ? failure.message() : "it is not a directory"));
  }
  return Done{};
}

class Program {
 public:
  // Everything that can be wrong with the input is found here, before a socket exists.
  static Result<Program> create(const Options& options) {
    if (options.exit_when_done && options.wire.empty()) {
      return input_error("--exit-when-done: needs --wire, there is nothing to be done with otherwise");
    }
    if (auto pinned = pin(options.cpu); !pinned) return pinned.error();
    if (auto dir = prepare_dir(options); !dir) return dir.error();
    Program p(options);
    if (!options.stats_json.empty()) {
      p.stats_.reset(std::fopen(options.stats_json.c_str(), "we"));
      if (!p.stats_) return input_error(os_error("--stats-json " + options.stats_json).text);
    }
    std::unique_ptr<Wire> wire;
    if (!options.wire.empty()) {
      auto opened = open_wire(options.wire);
      if (!opened) return opened.error();
      wire = std::move(*opened);
      if (options.exit_when_done && wire->live() != nullptr) {
        return input_error(fmt::format("--exit-when-done: the wire {} has no end", options.wire));
      }
    }
    std::unique_ptr<TxPcap> tx_pcap;
    if (!options.tx_pcap.empty()) {
      auto created = TxPcap::create(options.tx_pcap);
      if (!created) return created.error();
      tx_pcap = std::move(*created);
    }
    DeviceOptions d;
    d.vfs = options.vfs;
    d.timing = options.timing == "82599" ? Timing::intel_82599 : Timing::none;
    d.map_doorbells = options.doorbells == "map";
    d.start_when_ready = options.start_when_ready;
    d.counters = options.counters;
    auto device = Device::create(d, std::move(wire), std::move(tx_pcap));
    if (!device) return device.error();
    p.device_ = std::move(*device);
    if (auto kept = p.keep_arrivals(); !kept) return kept.error();
    return p;
  }

  Result<Done> listen() {
    auto server = Server::create();
    if (!server) return server.error();
    server_ = std::move(*server);
    const auto socket = [&](FunctionModel& f) { return std::filesystem::path(options_.dir) / (f.name() + ".sock"); };
    if (auto done = server_->listen(socket(device_->pf()), device_->pf()); !done) return done;
    for (unsigned v = 0; v < device_->vfs(); ++v) {
      if (auto done = server_->listen(socket(device_->vf(v)), device_->vf(v)); !done) return done;
    }
    if (LiveWire* live = device_->live_wire()) {
      if (auto done = server_->watch(live->fd(), [live] { return live->readable(); }); !done) return done;
    }
    event({{"event", "listening"}, {"dir", options_.dir}, {"vfs", device_->vfs()}});
    log::info("{}: pf.sock and {} VF sockets, doorbells {}, timing {}", options_.dir, device_->vfs(),
              options_.doorbells, options_.timing);
    if (const Wire* wire = device_->wire()) {
      log::info("wire {}; it waits for {}", wire->describe(),
                options_.start_when_ready == 0
                    ? std::string("the PF's receiver")
                    : fmt::format("the PF's receiver and {} VF receivers", options_.start_when_ready));
    }
    return Done{};
  }

  void run() {
    std::uint64_t last_moved = now_ns(), last_poll = 0;
    const std::uint64_t spin = options_.doorbells == "map" ? kSpinNs : 0;
    while (!stop_asked.load(std::memory_order_relaxed)) {  // relaxed: a flag, it orders nothing
      const std::uint64_t now = now_ns();
      bool moved = device_->run_once(now);
      report_wire();
      // A system call now would make the next frame late. Not while doorbells are messages: those wait for us.
      const bool expecting = moved || (now - last_moved < spin && device_->may_sleep_ns(now) < kPollNs);
      if (!expecting || now - last_poll >= kPollNs) {
        last_poll = now;
        if (!moved && now - last_moved >= spin) server_->wait(rest(now, now - last_moved));
        moved = server_->poll(0) != 0 || moved;
      }
      if (moved) last_moved = now;
      if (options_.exit_when_done && device_->wire_done() && now - last_moved > kQuietNs) break;
    }
  }

  Result<Done> finish() {
    server_->close();
    const auto accounts = device_->accounts();
    const auto faults = device_->faults();
    nlohmann::json all{{"event", "stopped"}, {"accounts", accounts}};
    if (!faults.empty()) all["faults"] = faults;
    event(all);
    log::info("sent {} frames, {} bytes; accepted {}, {} copies, {} frames transmitted", accounts.at("wire.sent"),
              accounts.at("wire.sent_bytes"), accounts.at("wire.accepted"), accounts.at("switch.copies"),
              accounts.at("tx.sent"));
    for (const auto& [name, value] : accounts) {
      if (value != 0) log::info("  {:>14}  {:<24} {}", value, name, hw::accounts::meaning_of(name));
    }
    for (const auto& [name, value] : faults) log::info("  {:>14}  {:<24} Queue stopped for a fault.", value, name);
    if (stats_) {
      all.erase("event");
      const std::string text = all.dump(2) + "\n";
      const bool written = std::fputs(text.c_str(), stats_.get()) >= 0 && std::fclose(stats_.release()) == 0;
      if (!written) return os_error("write --stats-json " + options_.stats_json);
    }
    Result<Done> result = Done{};
    if (arrivals_) result = arrivals_->close();
    if (TxPcap* tx = device_->tx_pcap()) {
      if (auto closed = tx->close(); !closed && result) result = closed;
    }
    return result;
  }

 private:
  // While frames move, sockets are looked at so often; a system call each round would cost a tenth of the speed.
  static constexpr std::uint64_t kPollNs = 50'000;
  // Work that ended so recently is likely to go on: no sleep while doorbells are memory, of which nobody wakes us. Then
  // sleeps grow to 1 ms, what a doorbell in memory or an interrupt that waits for its time may be late.
  static constexpr std::uint64_t kSpinNs = 1'000'000, kShortestNs = 50'000, kLongestNs = 1'000'000;
  static constexpr std::uint64_t kQuietNs = 100'000'000;

  explicit Program(Options options) : options_(std::move(options)) {}

  Result<Done> keep_arrivals() {
    if (options_.arrivals.empty()) return Done{};
    const std::uint64_t frames = device_->wire() != nullptr ? device_->wire()->total_frames() : 0;
    if (options_.timing != "82599" || frames == 0) {
      return input_error("--arrivals: needs --timing 82599, which knows them, and a --wire with an end");
    }
    auto log = ArrivalLog::create(options_.arrivals, frames);
    if (!log) return log.error();
    arrivals_ = std::make_unique<ArrivalLog>(std::move(*log));
    device_->keep_arrivals(*arrivals_);
    return Done{};
  }

  // How long to sleep now, unless a socket wakes us.
  std::chrono::nanoseconds rest(std::uint64_t now, std::uint64_t idle_ns) const {
    if (!device_->has_clients()) return std::chrono::milliseconds(100);
    const std::uint64_t due = device_->may_sleep_ns(now);
    const std::uint64_t wanted = std::clamp(idle_ns / 16, kShortestNs, kLongestNs);
    return std::chrono::nanoseconds(due == 0 ? wanted : std::min(wanted, due));
  }

  void report_wire() {
    if (!started_ && device_->wire_started()) {
      started_ = true;
      if (device_->wire() == nullptr) return;
      event({{"event", "wire_started"}});
      log::info("wire started");
    }
    if (started_ && !done_ && device_->wire_done()) {
      done_ = true;
      const std::uint64_t sent = device_->wire()->counts().frames;
      event({{"event", "wire_done"}, {"sent", sent}});
      log::info("wire done: {} frames sent", sent);
    }
  }

  void event(const nlohmann::json& what) const {
    if (!options_.json_events) return;
    fmt::print("{}\n", what.dump());
    std::fflush(stdout);
  }

  struct CloseFile {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };

  Options options_;
  std::unique_ptr<std::FILE, CloseFile> stats_;
  std::unique_ptr<ArrivalLog> arrivals_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Server> server_;
  bool started_ = false, done_ = false;
};

Result<Done> dump(const Options& options) {
  auto wire = open_wire(options.wire);
  if (!wire) return wire.error();
  if ((*wire)->total_frames() == 0) return input_error("--dump: the wire is empty or has no end; give it a count");
  auto file = TxPcap::create(options.dump);
  if (!file) return file.error();
  while (const WireFrame* frame = (*wire)->next()) (*file)->write(frame->bytes, frame->departure_ns);
  return (*file)->close();
}

int fail(const Error& error) {
  log::error("{}", error.text);
  return error.exit_status();
}

}  // namespace

int main(int argc, char** argv) {
  log::set_program("vigia-softnic");
  CLI::App app{std::string(kDescription), "vigia-softnic"};
  app.footer(std::string(kFooter));
  Options options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (!options.dump.empty()) {
    const auto dumped = dump(options);
    return dumped ? 0 : fail(dumped.error());
  }
  if (options.dir.empty()) return fail(input_error("--dir is required: where the sockets are to be"));
  auto program = Program::create(options);
  if (!program) return fail(program.error());
  struct sigaction action {};
  action.sa_handler = [](int) { stop_asked.store(true, std::memory_order_relaxed); };  // relaxed: as in run()
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  if (auto listening = program->listen(); !listening) return fail(listening.error());
  program->run();
  if (auto finished = program->finish(); !finished) return fail(finished.error());
  return 0;
}
