// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/serve.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "hw/log.h"
#include "vfdriver/capture_report.h"
#include "vfdriver/channel_server.h"
#include "vfdriver/mirror_copies.h"
#include "vfdriver/replace_text.h"

namespace vigia::vf {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kTryAgain{500};
constexpr milliseconds kPfWait{2000};  // then the status says that the PF is down, and it is tried again
constexpr std::size_t kLargestConfig = 1 << 20;

double uptime_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_BOOTTIME, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

ordered_json port_json(const Result<PortInfo>& port) {
  if (!port) return {{"up", false}, {"problem", port.error().text}};
  return {{"up", true},
          {"device", port->device},
          {"driver", port->driver},
          {"mac", port->mac ? port->mac->text() : ""},
          {"queues", port->queues},
          {"mtu", port->mtu},
          {"link", !port->link_up   ? "unknown"
                   : *port->link_up ? "up"
                                    : "down"},
          {"link_mbps", port->link_mbps},
          {"multicast_mode", port->multicast_mode}};
}

// What the capture thread tells and the channel's thread asks: everything behind one lock, held for copies only.
class ServiceState final : public CaptureObserver {
 public:
  ServiceState(const ServeConfig& config, std::string version) : config_(config), version_(std::move(version)) {}
  // Before anybody else looks. Empty: the ring only.
  void stores_in(fs::path out);

  void begun(const RingMemory& ring, const CaptureReport& report) override;
  void turn(const CaptureReport& report, const Result<PortInfo>& port) override;
  void ended(const CaptureReport& report) override;
  void waiting(const std::string& why);
  void storage_problem(const std::string& why);
  void finish();

  std::string hello() const;
  std::string status() const;
  std::string final_report() const;
  PullSource source() const;

 private:
  ordered_json store_json(const CaptureReport& report) const;
  void stored_from(std::uint64_t first_file);

  const ServeConfig& config_;
  const std::string version_;
  fs::path out_;
  mutable std::mutex mutex_;
  std::string state_ = "waiting", why_ = "starting", storage_problem_;
  ordered_json capture_, port_, store_;
  PullSource source_;
  std::uint64_t first_file_ = 0;
  bool finished_ = false;
};

void ServiceState::stores_in(fs::path out) {
  out_ = std::move(out);
  stored_from(0);
}

// first_file: of the running capture; 0: it has none, and all that is there is of earlier ones.
void ServiceState::stored_from(std::uint64_t first_file) {
  first_file_ = first_file;
  if (!out_.empty()) source_.stored.emplace(out_, config_.name, first_file == 0 ? ~std::uint64_t{0} : first_file);
}

void ServiceState::begun(const RingMemory& ring, const CaptureReport& report) {
  PullSource source;
  source.hardware = report.hardware;
  source.clock = std::string(ring.header().clock, ::strnlen(ring.header().clock, sizeof(ring.header().clock)));
  source.snaplen = std::min(config_.snaplen, ring.geometry().max_captured);
  // A mapping of its own: pulls may go on when this capture has ended.
  Fd fd{::fcntl(ring.fd(), F_DUPFD_CLOEXEC, 0)};
  auto mapped = RingMemory::open(std::move(fd));
  if (mapped) {
    source.ring = std::make_shared<const RingMemory>(std::move(*mapped));
  } else {
    log::error("{}; nothing can be pulled from the ring", mapped.error().text);
  }
  const std::lock_guard lock(mutex_);
  source_ = std::move(source);
  stored_from(report.first_file);
  state_ = "capturing";
  why_.clear();
}

ordered_json ServiceState::store_json(const CaptureReport& report) const {
  ordered_json store{{"directory", report.file},
                     {"stored", report.store.stored},
                     {"stored_bytes", report.store.stored_bytes},
                     {"unread", report.store.unread},
                     {"disk_dropped", report.store.disk_dropped},
                     {"problem", report.store_problem.empty() ? storage_problem_ : report.store_problem}};
  if (report.file.empty()) return store;
  struct statvfs disk {};
  if (::statvfs(report.file.c_str(), &disk) == 0) store["free_bytes"] = disk.f_bavail * disk.f_frsize;
  return store;
}

void ServiceState::turn(const CaptureReport& report, const Result<PortInfo>& port) {
  ordered_json capture = ordered_json::parse(to_json(report));
  const std::lock_guard lock(mutex_);
  capture_ = std::move(capture);
  port_ = port_json(port);
  store_ = store_json(report);
  // A disk that refused at first has been taken into use.
  if (report.first_file != first_file_) stored_from(report.first_file);
  state_ = port ? "capturing" : "waiting";
  why_ = port ? "" : port.error().text;
}

void ServiceState::ended(const CaptureReport& report) {
  turn(report, work_error("the capture on this device has ended"));
}

void ServiceState::waiting(const std::string& why) {
  const std::lock_guard lock(mutex_);
  if (why != why_) log::info("waiting: {}", why);
  state_ = "waiting";
  why_ = why;
  port_ = port_json(work_error(why));
}

void ServiceState::storage_problem(const std::string& why) {
  log::error("{}; capturing to the ring only", why);
  const std::lock_guard lock(mutex_);
  storage_problem_ = why + "; only the ring is kept";
}

void ServiceState::finish() {
  const std::lock_guard lock(mutex_);
  state_ = "ended";
  finished_ = true;
}

std::string ServiceState::hello() const {
  const std::lock_guard lock(mutex_);
  return ordered_json{{"name", config_.name}, {"role", config_.role},         {"version", version_},
                      {"pid", ::getpid()},    {"uptime_s", uptime_seconds()}, {"state", state_}}
      .dump();
}

std::string ServiceState::status() const {
  PullSource source = this->source();
  ordered_json ring = nullptr;
  if (source.ring) {
    const RingHistory history(*source.ring);
    const RingPoint end = source.ring->published();
    const auto oldest = history.oldest();
    ring = {{"bytes", source.ring->geometry().data_bytes},
            {"hugepages", source.ring->hugepages()},
            {"held_bytes", oldest ? end.position - oldest->position : 0},
            {"held_frames", oldest ? end.frame - oldest->frame : 0},
            {"oldest_ns", oldest ? history.stamp_ns(*oldest).value_or(0) : 0},
            {"newest_ns", history.newest_ns().value_or(0)}};
  }
  const std::lock_guard lock(mutex_);
  const ordered_json status{{"name", config_.name},
                            {"role", config_.role},
                            {"state", state_},
                            {"why", why_},
                            {"uptime_s", uptime_seconds()},
                            {"port", port_},
                            {"capture", capture_},
                            {"ring", ring},
                            {"store", store_.is_null() ? ordered_json{{"problem", storage_problem_}} : store_}};
  return status.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string ServiceState::final_report() const {
  const std::lock_guard lock(mutex_);
  if (!finished_) return {};
  return capture_.is_null() ? "{}" : capture_.dump();
}

PullSource ServiceState::source() const {
  const std::lock_guard lock(mutex_);
  PullSource source = source_;
  source.name = config_.name;
  return source;
}

Result<std::string> read_config(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text(kLargestConfig + 1, '\0');
  if (!in) return input_error(file.string() + ": cannot be read; is the configuration there?");
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kLargestConfig) return input_error(file.string() + ": larger than 1 MiB, refused");
  // fw_cfg items may end with a NUL.
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

void nap(StopRequest& stop) {
  const auto end = std::chrono::steady_clock::now() + kTryAgain;
  while (!stop.stop.load(std::memory_order_relaxed) && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(20));
  }
}

CaptureOptions capture_options(const ServeConfig& config, const ServeOptions& options) {
  CaptureOptions capture;
  capture.name = config.name;
  capture.ring = config.ring;
  capture.snaplen = config.snaplen;
  capture.duplicates = config.duplicates;
  capture.mirror_rules = config.mirror_rules;
  capture.mirror_agent = config.mirror_agent;
  capture.mirrors_may_come = true;
  capture.quota = config.quota;
  capture.rotate = config.rotate;
  capture.store_kind = config.policy;
  capture.store_retry = options.store_retry;
  capture.port.mtu = config.mtu;
  capture.clock = config.clock;
  capture.port.tx_ring = 0;
  capture.progress = false;  // a guest's console is a terminal, and its log is kept
  capture.port.pf_wait = kPfWait;
  return capture;
}

// The directory of the store, or nothing with the reason on record. Whether the disk works shows while it is used.
fs::path storage_of(const ServeConfig& config, const ServeOptions& options, ServiceState& state) {
  const bool wanted = config.storage_mode == "virtio" || config.storage_mode == "passthrough";
  if (wanted && options.out.empty()) {
    state.storage_problem("storage is configured as " + config.storage_mode + ", but no directory was given (--out)");
  }
  return config.storage_mode == "none" ? fs::path() : options.out;
}

// The capture follows the file, and so does the next one, should this one end. No port: the host sends what is this
// probe's.
Result<Done> take_mirrors(const ServeConfig& config, const std::string& port) {
  if (config.mirror_rules.empty()) {
    return input_error("mirrors: this probe compares nothing with them: its configuration has no capture.mirror_rules");
  }
  const auto rules = parse_mirror_rules(port, "mirrors", config.mirror_agent, std::nullopt);
  return rules ? replace_text(config.mirror_rules, port) : Result<Done>(rules.error());
}

// One device from its start to its end. What is wrong with the device may get better; with its name it never will.
Result<Done> capture_once(const ServeOptions& options, CaptureOptions& capture, StopRequest& stop,
                          ServiceState& state) {
  const auto spec = options.device == "auto" ? find_bound_vf("/sys") : Result<std::string>(options.device);
  if (!spec) {
    state.waiting(spec.error().text);
    return Done{};
  }
  capture.device = *spec;
  auto ran = run_capture(capture, stop, &state);
  if (!ran && options.device != "auto" && ran.error().exit_status() == 2) return ran;
  if (!ran) state.waiting(ran.error().text);
  return Done{};
}

}  // namespace

Result<Done> serve(const ServeOptions& options, StopRequest& stop) {
  const auto text = read_config(options.config);
  if (!text) return text.error();
  const auto config = parse_serve_config(*text, options.config.string());
  if (!config) return config.error();
  auto link = ChannelLink::open(options.channel);
  if (!link) return link.error();

  CaptureOptions capture = capture_options(*config, options);
  ServiceState state(*config, options.version);
  capture.raw = storage_of(*config, options, state);
  state.stores_in(capture.raw);
  if (capture.raw.empty()) {
    capture.quota = 0;
    capture.rotate = std::chrono::milliseconds(0);
  }
  if (auto ok = validate(capture); !ok) return ok;

  std::atomic<bool> done{false};
  ChannelServer server(
      std::move(*link),
      {[&state] { return state.hello(); }, [&state] { return state.status(); }, [&state] { return state.source(); },
       [&stop] { stop.stop.store(true, std::memory_order_relaxed); }, [&state] { return state.final_report(); },
       [&config](const std::string& port) { return take_mirrors(*config, port); }});
  std::thread channel([&] {
    ::prctl(PR_SET_NAME, "channel");
    server.run(done);
  });
  Result<Done> result = Done{};
  while (result && !stop.stop.load(std::memory_order_relaxed)) {
    result = capture_once(options, capture, stop, state);
    if (result) nap(stop);
  }
  state.finish();
  // Release: the final report is there when the channel's thread sees this.
  done.store(true, std::memory_order_release);
  channel.join();
  return result;
}

}  // namespace vigia::vf
