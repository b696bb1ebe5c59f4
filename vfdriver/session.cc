// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/session.h"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>

#include "hw/accounts.h"
#include "hw/log.h"
#include "vfdriver/cli_values.h"
#include "vfdriver/run_dir.h"

namespace vigia::vf {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// How often the control thread looks around; also how late it notices a signal. In a guest a wake-up may cost 40 us,
// but only a few beside another thread's on the same CPU: this one waits for that up to half a turn more.
constexpr milliseconds kTurn{50};
constexpr std::chrono::nanoseconds kTurnSlack = kTurn / 2;
constexpr milliseconds kCalibrateEvery{250};
constexpr milliseconds kProgressEvery{500};
constexpr milliseconds kRetryPause{50};
constexpr milliseconds kShowEvery{100};
// Some of what a port knows of itself costs mailbox messages to the PF.
constexpr milliseconds kAskPortEvery{2000};

// Meanwhile the calling thread's timers may be so late. Threads inherit this: start none.
class LooseTimers {
 public:
  explicit LooseTimers(std::chrono::nanoseconds slack) noexcept : before_(::prctl(PR_GET_TIMERSLACK)) {
    ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(slack.count()));
  }
  LooseTimers(const LooseTimers&) = delete;
  LooseTimers& operator=(const LooseTimers&) = delete;
  ~LooseTimers() { ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(before_)); }

 private:
  const int before_;
};

}  // namespace

Session::Session(const CaptureOptions& options, StopRequest& stop, VfDevice& device, const PortInfo& info,
                 hw::CounterFile counters, std::unique_ptr<Clock> clock, CaptureObserver* observer)
    : observer_(observer),
      options_(options),
      stop_(stop),
      device_(device),
      info_(info),
      counters_(std::move(counters)),
      clock_(std::move(clock)),
      port_asked_(begin_ - kAskPortEvery) {
  if (options_.max_frames != 0) limit_.emplace(options_.max_frames);
}

CaptureDescription Session::describe() const {
  return {info_.hardware(), options_.name, options_.tap, clock_->report().text(),
          std::min(options_.snaplen, options_.ring.max_captured)};
}

Result<Done> Session::make_lanes(std::vector<RingMemory> rings) {
  for (unsigned q = 0; q < rings.size(); ++q) {
    auto table = ListenerTable::create();
    if (!table) return table.error();
    EngineOptions engine{options_.snaplen, options_.poll, limit_ ? &*limit_ : nullptr, info_.link_mbps,
                         options_.duplicates};
    if (rings.size() > 1) engine.lane = q;
    if (mirrors_) engine.mirrors = &*mirrors_;
    ClockView& clock = q == 0 ? *clock_ : clock_->add_view();
    lanes_.push_back(std::make_unique<Lane>(std::move(rings[q]), std::move(*table), clock, counters_, engine));
    lanes_.back()->tell_clock(clock_->report().text());
  }
  return Done{};
}

// A directory gets the rings' own bytes: a store and files for each queue. One file gets one store, all queues merged.
Result<Done> Session::make_stores() {
  if (options_.out.empty() && options_.raw.empty()) return Done{};
  std::vector<RingReader> readers;
  for (const auto& lane : lanes_) {
    auto reader = lane->join(options_.store_kind);
    if (!reader) return reader.error();
    readers.push_back(std::move(*reader));
  }
  if (options_.raw.empty()) {
    auto store = create_file_store(std::move(readers), options_.out, *format_of(options_.out), describe(), counters_);
    if (!store) return store.error();
    stores_.push_back(std::move(*store));
    return Done{};
  }
  RawStoreOptions raw = raw_store_options(options_);
  raw.description = describe();
  raw.lanes = static_cast<unsigned>(lanes_.size());
  for (unsigned q = 0; q < lanes_.size(); ++q) {
    raw.lane = q;
    auto store = create_raw_store(std::move(readers[q]), raw, counters_);
    if (!store) return store.error();
    stores_.push_back(std::move(*store));
  }
  return Done{};
}

void Session::place_engines(const Result<std::vector<CpuCore>>& cores) {
  const auto engines = static_cast<unsigned>(lanes_.size());
  if (options_.cpus.choose) {
    cpus_ = cores ? choose_cpus(*cores, engines, CpuClaims::taken(*cores)) : EngineCpus{{}, cores.error().text};
  } else if (options_.cpus.cpus.empty()) {
    cpus_.why = "engines are not pinned: as asked";
  } else {
    cpus_.cpus = options_.cpus.cpus;
    cpus_.cpus.resize(engines, cpus_.cpus.back());  // the PF may have granted fewer queues
    cpus_.why = fmt::format("engines on CPU {}: as asked", fmt::join(cpus_.cpus, ","));
  }
  claims_.claim(cpus_.cpus);
}

Result<Done> Session::read_mirrors() {
  if (options_.mirror_rules.empty()) return Done{};
  MirrorRules rules;
  if (!options_.mirrors_may_come) {
    auto loaded = load_mirror_rules(options_.mirror_rules, options_.mirror_agent, info_.mac);
    if (!loaded) return loaded.error();
    rules = std::move(*loaded);
  }
  mirror_file_.emplace(options_.mirror_rules, rules.vf ? rules.vf : options_.mirror_agent, info_.mac);
  mirrors_.emplace(std::move(rules));
  follow_mirrors();
  return Done{};
}

// What is predicted follows the file; frames that came before are held against what held then.
void Session::follow_mirrors() {
  if (!mirror_file_) return;
  auto news = mirror_file_->look();
  if (!news) return;
  if (!*news && mirrors_->now().none()) {
    log::info("{}: {}; until then no copies are predicted", options_.name, news->error().text);
    return;
  }
  if (!*news) {
    log::warning("{}: {}; copies are predicted as before", options_.name, news->error().text);
    return;
  }
  const MirrorRules& rules = **news;
  log::info("{}: {}: {}", options_.name, options_.mirror_rules.string(),
            rules.none() ? "nothing is mirrored here: no copies are predicted"
            : rules.once ? std::string("the NIC makes one copy of a frame, whatever rules match")
                         : fmt::format("copies are predicted for {} mirrored tenant(s)", rules.tenants.size()));
  mirrors_->set(std::move(**news));
}

Result<Done> Session::prepare(std::vector<RingMemory> rings, const Result<std::vector<CpuCore>>& cores) {
  if (auto ok = read_mirrors(); !ok) return ok;
  if (auto ok = make_lanes(std::move(rings)); !ok) return ok;
  auto dir = make_run_dir();
  if (!dir) return dir.error();
  auto socket = socket_of(options_.name);
  if (!socket) return socket.error();
  std::vector<ServedRing> served;
  for (const auto& lane : lanes_) served.push_back(lane->served());
  auto server = ListenerServer::create(*socket, std::move(served), [this] { return to_json(report(true)); });
  if (!server) return server.error();
  server_.emplace(std::move(*server));
  place_engines(cores);
  return make_stores();
}

void Session::start_stores() {
  for (const auto& store : stores_) {
    store_threads_.emplace_back([&store] {
      ::prctl(PR_SET_NAME, "store");
      store->run();
    });
  }
}

void Session::start_engines() {
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    std::vector<RxPort*> ports;
    // A device that was started again may have more queues than at first.
    for (auto q = static_cast<unsigned>(lane); q < device_.queues(); q += static_cast<unsigned>(lanes_.size())) {
      ports.push_back(&device_.queue(q));
    }
    lanes_[lane]->start(std::move(ports),
                        cpus_.cpus.empty() ? std::nullopt : std::optional<unsigned>(cpus_.cpus[lane]));
  }
}

void Session::stop_engines() {
  for (const auto& lane : lanes_) lane->stop();
}

bool Session::engines_running() const {
  return std::all_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->engine().running(); });
}

void Session::drain() {
  for (const auto& lane : lanes_) lane->drain();
}

Result<Done> Session::run() {
  begin_ = steady_clock::now();
  if (observer_) observer_->begun(lanes_.front()->ring(), report(true));
  start_stores();
  start_engines();
  Result<Done> result = Done{};
  if (!options_.ready_file.empty()) result = write_text(options_.ready_file, "ready\n");
  log::info("{}: {} captures on {} queue(s) of {}, ring {}{}; {}; {}", options_.name, info_.who(), device_.queues(),
            info_.device, size_text(options_.ring.data_bytes),
            lanes_.front()->ring().hugepages() ? " on hugepages" : "", cpus_.why, clock_->report().text());
  if (result) result = watch();
  stop_engines();
  // A device that is gone cannot be stopped: what it finished can still be taken.
  if (auto stopped = device_.stop(); !stopped && result) result = stopped;
  drain();
  count_port();
  close_rings();
  terminal_.clear();

  const CaptureReport final_report = report(false);
  for (const auto& store : stores_) {
    store->describe(describe());
    auto finished = store->finish(summary_of(final_report));
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
    {
      const LooseTimers loose(kTurnSlack);
      server_->serve(kTurn);
    }
    const auto now = steady_clock::now();
    if (now >= next_calibration) {
      clock_->calibrate();
      for (const auto& store : stores_) store->describe(describe());
      next_calibration = now + kCalibrateEvery;
    }
    if (options_.progress && terminal_.tty() && now >= next_progress) {
      terminal_.show(progress_.next(report(true), ring_used()));
      next_progress = now + kProgressEvery;
    }
    if (now >= next_show) {
      count_port();
      follow_mirrors();
      show_observer();
      next_show = now + kShowEvery;
    }
    if (options_.max_time.count() > 0 && now - begin_ >= options_.max_time) return Done{};
    const bool running = engines_running();  // asked first: an engine that has reached its limit has ended too
    if (limit_ && limit_->reached()) return Done{};
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
  if (!counts.stopped_accesses) return;
  counters_.named(hw::accounts::kPortStopped).set(*counts.stopped_accesses);
  if (*counts.stopped_accesses == 0 || stopped_told_) return;
  stopped_told_ = true;
  log::error(
      "{}: the IOMMU stops accesses of {} to memory that it was not given; dmesg tells which. Frames from here on "
      "may be missing or hold bytes of others: end this capture and report it",
      options_.name, info_.device);
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
  stop_engines();
  if (auto stopped = device_.stop(); !stopped) log::warning("{}: {}", options_.name, stopped.error().text);
  drain();
  std::string told;
  while (!stop_.stop.load(std::memory_order_relaxed)) {  // relaxed: as in watch()
    auto started = device_.start();
    if (started) {
      if (device_.queues() < lanes_.size()) {
        return work_error(fmt::format("{}: the PF grants {} receive queues now, {} before it restarted; start again",
                                      options_.name, device_.queues(), lanes_.size()));
      }
      ++restarts_;
      start_engines();
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

// Nothing follows; waits until the stores have read everything. Listeners of other processes keep the memory and read
// on.
void Session::close_rings() {
  for (const auto& lane : lanes_) lane->close();
  if (store_threads_.empty()) return;
  std::atomic<bool> done{false};
  std::thread waiter([this, &done] {
    for (std::thread& thread : store_threads_) thread.join();
    done.store(true, std::memory_order_release);  // pairs with the load below; the totals are final
  });
  while (!done.load(std::memory_order_acquire)) {
    server_->serve(kTurn);
    if (stop_.hurry.load(std::memory_order_relaxed)) {
      for (const auto& store : stores_) store->abandon();
    }
    if (terminal_.tty()) terminal_.show(fmt::format("{}: writing what is left in the ring", options_.name));
  }
  waiter.join();
}

// Of the fullest ring.
std::uint64_t Session::ring_used() const {
  std::uint64_t most = 0;
  for (const auto& lane : lanes_) most = std::max(most, lane->used());
  return most;
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
  r.file = stores_.empty() ? "" : stores_.front()->path().string();
  r.restarts = restarts_;
  r.hugepages = lanes_.front()->ring().hugepages();
  r.clock = clock_->report();
  r.cpus = cpus_;
  for (const auto& lane : lanes_) {
    r.lanes.push_back(lane->engine().totals());
    r.engine += r.lanes.back();
  }
  for (const auto& store : stores_) {
    r.store += store->totals();
    r.store_way += store->way();
    if (r.store_problem.empty()) r.store_problem = store->problem();
  }
  if (!stores_.empty()) r.first_file = stores_.front()->first_file();
  r.ring_bytes = options_.ring.data_bytes;
  r.snaplen = std::min(options_.snaplen, options_.ring.max_captured);
  if (options_.duplicates) r.dedup = text_of(*options_.duplicates);
  r.mirrors_known = mirrors_.has_value();
  r.seconds = std::chrono::duration<double>(steady_clock::now() - begin_).count();
  r.accounts = counters_.snapshot();
  if (server_) r.listeners = server_->listeners();
  return r;
}

}  // namespace vigia::vf
