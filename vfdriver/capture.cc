// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/capture.h"

#include <fmt/core.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "hw/accounts.h"
#include "hw/log.h"
#include "vfdriver/capture_report.h"
#include "vfdriver/cli_values.h"
#include "vfdriver/raw_files.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// How often the control thread looks around; also how late it notices a signal.
constexpr milliseconds kTurn{20};
constexpr milliseconds kCalibrateEvery{250};
constexpr milliseconds kProgressEvery{500};
constexpr milliseconds kRetryPause{50};
constexpr milliseconds kShowEvery{100};
// Some of what a port knows of itself costs mailbox messages to the PF.
constexpr milliseconds kAskPortEvery{2000};

void pin_to(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (const int failed = ::pthread_setaffinity_np(::pthread_self(), sizeof(set), &set); failed != 0) {
    log::warning("{}; the engine runs on any CPU", os_error(fmt::format("pin the engine to CPU {}", cpu), failed).text);
  }
}

// Shows one line that is written over again; only on terminals, and not when somebody else tells how it goes.
class Terminal {
 public:
  explicit Terminal(bool wanted) : tty_(wanted && ::isatty(STDERR_FILENO) == 1) {}
  void show(const std::string& line) {
    if (!tty_) return;
    const std::string out = "\r\x1b[K" + line;
    [[maybe_unused]] const auto n = ::write(STDERR_FILENO, out.data(), out.size());
    shown_ = true;
  }
  void clear() {
    if (!shown_) return;
    [[maybe_unused]] const auto n = ::write(STDERR_FILENO, "\r\x1b[K", 4);
    shown_ = false;
  }
  bool tty() const { return tty_; }

 private:
  bool tty_;
  bool shown_ = false;
};

// One capture from start to end. The control thread calls everything here; engine and store have threads of their own.
class Session {
 public:
  Session(const CaptureOptions& options, StopRequest& stop, VfDevice& device, const PortInfo& info, RingMemory ring,
          ListenerTable table, hw::CounterFile counters, std::unique_ptr<Clock> clock, CaptureObserver* observer)
      : observer_(observer),
        options_(options),
        stop_(stop),
        device_(device),
        info_(info),
        ring_(std::move(ring)),
        table_(std::move(table)),
        counters_(std::move(counters)),
        clock_(std::move(clock)),
        writer_(ring_, table_),
        engine_(ports(), writer_, *clock_, ring_, counters_,
                {options.snaplen, options.poll, options.max_frames, info.link_mbps, options.duplicates}) {
    const std::string text = clock_->report().text();
    text.copy(ring_.header().clock, sizeof(ring_.header().clock) - 1);
  }

  Result<Done> prepare();
  Result<Done> run();

 private:
  std::vector<RxPort*> ports();
  CaptureDescription describe() const;
  Result<std::unique_ptr<Store>> make_store();
  void start_engine();
  void stop_engine();
  Result<Done> watch();
  Result<Done> recover();
  void close_ring();
  void count_port();
  CaptureReport report(bool running) const;
  std::uint64_t ring_used() const;
  void show_observer();

  CaptureObserver* observer_;  // may be null
  const CaptureOptions& options_;
  StopRequest& stop_;
  VfDevice& device_;
  PortInfo info_;
  RingMemory ring_;
  ListenerTable table_;
  hw::CounterFile counters_;
  std::unique_ptr<Clock> clock_;
  RingWriter writer_;
  Engine engine_;
  std::unique_ptr<Store> store_;
  std::optional<ListenerServer> server_;
  std::thread engine_thread_, store_thread_;
  Terminal terminal_{observer_ == nullptr};
  ProgressLine progress_;
  unsigned restarts_ = 0;
  steady_clock::time_point begin_ = steady_clock::now(), port_asked_ = begin_ - kAskPortEvery;
  Result<PortInfo> port_ = info_;
};

std::vector<RxPort*> Session::ports() {
  std::vector<RxPort*> all;
  for (unsigned q = 0; q < device_.queues(); ++q) all.push_back(&device_.queue(q));
  return all;
}

CaptureDescription Session::describe() const {
  return {info_.hardware(), options_.name, options_.tap, clock_->report().text(),
          std::min(options_.snaplen, options_.ring.max_captured)};
}

Result<std::unique_ptr<Store>> Session::make_store() {
  if (options_.out.empty() && options_.raw.empty()) return std::unique_ptr<Store>();
  auto joined = table_.join(ring_, options_.store_kind);
  if (!joined) return joined.error();
  RingReader reader = RingReader::local(ring_, table_, *joined);
  if (!options_.raw.empty()) {
    RawStoreOptions raw = raw_store_options(options_);
    raw.description = describe();
    return create_raw_store(std::move(reader), raw, counters_);
  }
  const CaptureDescription description = describe();
  return create_file_store(std::move(reader), options_.out, *format_of(options_.out), description, counters_);
}

Result<Done> Session::prepare() {
  auto dir = make_run_dir();
  if (!dir) return dir.error();
  auto socket = socket_of(options_.name);
  if (!socket) return socket.error();
  auto server = ListenerServer::create(*socket, ring_, table_, [this] { return to_json(report(true)); });
  if (!server) return server.error();
  server_.emplace(std::move(*server));
  auto store = make_store();
  if (!store) return store.error();
  store_ = std::move(*store);
  return Done{};
}

void Session::start_engine() {
  engine_.restart();
  engine_thread_ = std::thread([this] {
    ::prctl(PR_SET_NAME, "engine");
    if (options_.cpu) pin_to(*options_.cpu);
    engine_.run();
  });
}

void Session::stop_engine() {
  engine_.request_stop();
  if (engine_thread_.joinable()) engine_thread_.join();
}

Result<Done> Session::run() {
  begin_ = steady_clock::now();
  if (observer_) observer_->begun(ring_, report(true));
  if (store_) {
    store_thread_ = std::thread([this] {
      ::prctl(PR_SET_NAME, "store");
      store_->run();
    });
  }
  start_engine();
  Result<Done> result = Done{};
  if (!options_.ready_file.empty()) result = write_text(options_.ready_file, "ready\n");
  log::info("{}: {} captures on {} queue(s) of {}, ring {}{}; {}", options_.name, info_.who(), device_.queues(),
            info_.device, size_text(options_.ring.data_bytes), ring_.hugepages() ? " on hugepages" : "",
            clock_->report().text());
  if (result) result = watch();
  stop_engine();
  // A device that is gone cannot be stopped: what it finished can still be taken.
  if (auto stopped = device_.stop(); !stopped && result) result = stopped;
  engine_.drain();
  count_port();
  close_ring();
  terminal_.clear();

  const CaptureReport final_report = report(false);
  if (store_) {
    store_->describe(describe());
    auto finished = store_->finish(summary_of(final_report));
    if (!finished && result) result = finished;
  }
  if (observer_) observer_->ended(final_report);
  for (const std::string& line : closing_lines(final_report)) log::info("{}", line);
  if (!options_.stats_json.empty()) {
    auto written = write_text(options_.stats_json, to_json(final_report));
    if (!written && result) result = written;
  }
  return result;
}

// Until there is a reason to stop. An error: the device is gone.
Result<Done> Session::watch() {
  auto next_calibration = begin_ + kCalibrateEvery, next_progress = begin_ + kProgressEvery, next_show = begin_;
  // Relaxed: a flag, orders nothing.
  while (!stop_.stop.load(std::memory_order_relaxed)) {
    server_->serve(kTurn);
    const auto now = steady_clock::now();
    if (now >= next_calibration) {
      clock_->calibrate();
      if (store_) store_->describe(describe());
      next_calibration = now + kCalibrateEvery;
    }
    if (options_.progress && terminal_.tty() && now >= next_progress) {
      terminal_.show(progress_.next(report(true), ring_used()));
      next_progress = now + kProgressEvery;
    }
    if (now >= next_show) {
      count_port();
      show_observer();
      next_show = now + kShowEvery;
    }
    if (options_.max_time.count() > 0 && now - begin_ >= options_.max_time) return Done{};
    const bool running = engine_.running();  // asked first: an engine that has reached its limit has ended too
    if (engine_.reached_max()) return Done{};
    Result<Done> device = Done{};
    const Health health = device_.health();
    if (health == Health::pf_reset) {
      device = recover();
    } else if (health == Health::finished) {
      return Done{};
    } else if (health == Health::gone || !running) {
      device = work_error(fmt::format("{}: device {}: {}", options_.name, info_.device, device_.trouble()));
    }
    if (!device) return device;
  }
  return Done{};
}

void Session::count_port() {
  const PortCounts counts = device_.counts();
  if (counts.offered) counters_.named(hw::accounts::kPortOffered).set(*counts.offered);
  if (counts.dropped) counters_.named(hw::accounts::kPortDropped).set(*counts.dropped);
}

void Session::show_observer() {
  if (!observer_) return;
  const auto now = steady_clock::now();
  if (now - port_asked_ >= kAskPortEvery) {
    port_ = device_.info();
    port_asked_ = now;
  }
  observer_->turn(report(true), port_);
}

// The PF restarted: the same ring and files go on with the device started anew.
Result<Done> Session::recover() {
  terminal_.clear();
  log::warning("{}: the PF restarted or has forgotten this VF; initialising again", options_.name);
  stop_engine();
  if (auto stopped = device_.stop(); !stopped) log::warning("{}: {}", options_.name, stopped.error().text);
  engine_.drain();
  std::string told;
  while (!stop_.stop.load(std::memory_order_relaxed)) {  // relaxed: as in watch()
    auto started = device_.start();
    if (started) {
      ++restarts_;
      engine_.set_ports(ports());
      start_engine();
      port_asked_ = steady_clock::now() - kAskPortEvery;
      log::info("{}: receiving again", options_.name);
      return Done{};
    }
    if (started.error().code == std::errc::no_such_device) return started;
    if (started.error().code != std::errc::operation_canceled && started.error().text != told) {
      told = started.error().text;
      log::warning("{}: {}; trying again", options_.name, told);
    }
    if (observer_) observer_->turn(report(true), started.error());
    server_->serve(kRetryPause);
  }
  return Done{};
}

// Nothing follows; waits until the store has read everything. Listeners of other processes keep the memory and read on.
void Session::close_ring() {
  writer_.close();
  if (!store_thread_.joinable()) return;
  std::atomic<bool> done{false};
  std::thread waiter([this, &done] {
    store_thread_.join();
    done.store(true, std::memory_order_release);  // pairs with the load below; the totals are final
  });
  while (!done.load(std::memory_order_acquire)) {
    server_->serve(kTurn);
    if (stop_.hurry.load(std::memory_order_relaxed)) store_->abandon();
    if (terminal_.tty()) terminal_.show(fmt::format("{}: writing what is left in the ring", options_.name));
  }
  waiter.join();
}

std::uint64_t Session::ring_used() const {
  const std::uint64_t end = ring_.published().position;
  return end - table_.lossless_floor(end);
}

CaptureReport Session::report(bool running) const {
  CaptureReport r;
  r.running = running;
  r.name = options_.name;
  r.device = info_.device;
  r.driver = info_.driver;
  r.mac = info_.mac ? info_.mac->text() : "";
  r.hardware = info_.hardware();
  r.api = info_.api;
  r.file = store_ ? store_->path().string() : "";
  r.queues = device_.queues();
  r.restarts = restarts_;
  r.hugepages = ring_.hugepages();
  r.clock = clock_->report();
  r.engine = engine_.totals();
  if (store_) {
    r.store = store_->totals();
    r.store_way = store_->way();
    r.store_problem = store_->problem();
    r.first_file = store_->first_file();
  }
  r.ring_bytes = options_.ring.data_bytes;
  r.snaplen = std::min(options_.snaplen, options_.ring.max_captured);
  if (options_.duplicates) r.dedup = text_of(*options_.duplicates);
  r.seconds = std::chrono::duration<double>(steady_clock::now() - begin_).count();
  r.accounts = counters_.snapshot();
  if (server_) r.listeners = server_->listeners();
  return r;
}

}  // namespace

Result<Done> write_text(const fs::path& path, const std::string& text) {
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return Done{};
  }
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) return os_error("write " + path.string());
  return Done{};
}

Result<Done> validate(const CaptureOptions& o) {
  if (auto ok = check_name(o.name); !ok) return ok;
  if (auto ok = validate(o.ring); !ok) return ok;
  if (!o.out.empty() && !o.raw.empty())
    return input_error("--out and --raw: a capture has one store; give one of them");
  if (!o.out.empty() && !format_of(o.out)) {
    return input_error("--out " + o.out.string() + ": the suffix must be .pcapng, .pcap or .raw");
  }
  if (o.snaplen == 0) return input_error("--snaplen 0: a frame keeps at least one byte");
  if (o.quota != 0 && o.raw.empty()) return input_error("--quota: needs --raw DIR");
  if (o.rotate.count() != 0 && o.raw.empty()) return input_error("--rotate: needs --raw DIR");
  if (o.cpu && *o.cpu >= static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_CONF))) {
    return input_error(
        fmt::format("--cpu {}: this machine has CPUs 0 to {}", *o.cpu, ::sysconf(_SC_NPROCESSORS_CONF) - 1));
  }
  return Done{};
}

RawStoreOptions raw_store_options(const CaptureOptions& o) { return {o.raw, o.name, o.quota, o.store_retry, o.rotate}; }

namespace {

Result<Done> capture_into(RingMemory ring, std::unique_ptr<Clock> clock, const CaptureOptions& options,
                          StopRequest& stop, VfDevice& device, CaptureObserver* observer) {
  const auto info = device.info();
  if (!info) return info.error();
  auto table = ListenerTable::create();
  if (!table) return table.error();
  // What the port cannot tell has no account: unknown is not zero.
  const PortCounts known = device.counts();
  std::vector<std::string> names = hw::accounts::capture_names();
  if (known.offered) names.emplace_back(hw::accounts::kPortOffered);
  if (known.dropped) names.emplace_back(hw::accounts::kPortDropped);
  auto counters = hw::CounterFile::create(options.counters, names);
  if (!counters) return counters.error();
  Session session(options, stop, device, *info, std::move(ring), std::move(*table), std::move(*counters),
                  std::move(clock), observer);
  if (auto ok = session.prepare(); !ok) return ok;
  return session.run();
}

}  // namespace

Result<Done> run_capture(const CaptureOptions& options, StopRequest& stop, VfDevice& device) {
  auto ring = RingMemory::create(options.ring, options.name);
  if (!ring) return ring.error();
  auto clock = Clock::open(options.clock);
  if (!clock) return clock.error();
  return capture_into(std::move(*ring), std::move(*clock), options, stop, device, nullptr);
}

Result<Done> run_capture(const CaptureOptions& options, StopRequest& stop, CaptureObserver* observer) {
  if (auto ok = validate(options); !ok) return ok;
  std::error_code ignored;
  if (!options.ready_file.empty()) fs::remove(options.ready_file, ignored);  // of an earlier run
  // The ring first: on ordinary pages of a guest it takes a second, in which a device that is on would overflow.
  auto ring = RingMemory::create(options.ring, options.name);
  if (!ring) return ring.error();
  auto clock = Clock::open(options.clock);
  if (!clock) return clock.error();
  PortOptions port = options.port;
  port.cancel = &stop.stop;
  port.interrupts = !options.poll;
  if (options.snaplen < options.ring.max_captured) port.snaplen = options.snaplen;
  auto device = open_port(options.device, port);
  if (!device) return device.error();
  return capture_into(std::move(*ring), std::move(*clock), options, stop, **device, observer);
}

}  // namespace vigia::vf
