// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/tenant.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "hw/accounts.h"
#include "hw/log.h"
#include "vfdriver/replace_text.h"

namespace vigia::vf {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

// Segments in one burst: holds the longest frame several times over. Not measured.
constexpr std::size_t kBurst = 64;
// After the last frame: look again for this long before sleeping. About one interrupt's cost; not measured.
constexpr auto kSpin = 100us;
// Sleeps end by themselves after this: an interrupt may be lost or another thread's.
constexpr auto kLongestSleep = 5ms;
// While there is something to send the transmit ring, which has no interrupt here, is what is waited for.
constexpr auto kSendSleep = 100us;
constexpr auto kHealthPeriod = 10ms;
constexpr auto kDrain = 100ms;       // for frames posted just before the end
constexpr auto kRetryPause = 200ms;  // between attempts to come back after a PF restart

constexpr std::size_t kMacBytes = 6, kHeader = 14;

}  // namespace

Tenant::Tenant(VfDevice& device, const TenantOptions& options, Traffic traffic, const hw::CounterFile& counters,
               const std::atomic<bool>& stop)
    : device_(device),
      options_(options),
      traffic_(std::move(traffic)),
      taken_(counters.named("engine.taken")),
      taken_bytes_(counters.named("engine.taken_bytes")),
      left_in_ring_(counters.named("engine.left_in_ring")),
      stop_(stop) {}

Result<Done> Tenant::run() {
  Result<Done> result = Done{};
  // Relaxed: the flag orders nothing, it is looked at again soon.
  while (!stop_.load(std::memory_order_relaxed)) {
    const bool busy = serve();
    const auto now = Clock::now();
    if (busy) busy_until_ = now + kSpin;
    if (now >= next_health_) {
      next_health_ = now + kHealthPeriod;
      const Health health = device_.health();
      if (health == Health::pf_reset) result = recover();
      if (health == Health::gone) result = work_error(options_.name + ": " + device_.trouble());
      if (!result || health == Health::finished) break;
    }
    if (now >= busy_until_) nap();
  }
  finish();
  return result;
}

// Whether anything was done.
bool Tenant::serve() {
  bool busy = false;
  for (unsigned q = 0; q < device_.queues(); ++q) busy = take_burst(device_.queue(q)) || busy;
  return send_some() || busy;
}

bool Tenant::take_burst(RxPort& queue) {
  std::array<RxSegment, kBurst> burst;
  const std::size_t n = queue.receive(burst);
  if (n == 0) return false;
  const std::span<const RxSegment> segments(burst.data(), n);
  count(segments);
  if (options_.reply && may_reply_) reply(segments);
  queue.release();
  return true;
}

void Tenant::count(std::span<const RxSegment> segments) {
  std::uint64_t frames = 0, bytes = 0;
  for (const RxSegment& s : segments) {
    bytes += s.length;
    frames += s.end_of_frame ? 1 : 0;
    stats_.bad += s.error != 0 ? 1 : 0;
  }
  stats_.frames += frames;
  stats_.bytes += bytes;
  taken_.add(frames);
  taken_bytes_.add(bytes);
}

// Sends the burst's frames back. Copies, since the receive buffers belong to the device after release().
void Tenant::reply(std::span<const RxSegment> segments) {
  TxPort* tx = device_.tx();
  std::array<std::pair<std::size_t, std::size_t>, kBurst> places;  // first byte and length in reply_bytes_
  std::size_t frames = 0, begin = 0;
  reply_bytes_.clear();
  for (const RxSegment& s : segments) {
    reply_bytes_.insert(reply_bytes_.end(), s.data, s.data + s.length);
    if (!s.end_of_frame) continue;
    std::byte* frame = reply_bytes_.data() + begin;
    const std::size_t length = reply_bytes_.size() - begin;
    const auto group = [&](std::size_t at) { return (frame[at] & std::byte{1}) != std::byte{0}; };
    if (s.error != 0 || length < kHeader || group(0) || group(kMacBytes)) {
      ++stats_.reply_declined;
      reply_bytes_.resize(begin);
      continue;
    }
    std::swap_ranges(frame, frame + kMacBytes, frame + kMacBytes);
    places[frames++] = {begin, length};
    begin += length;
  }
  std::array<TxPort::Frame, kBurst> replies;
  for (std::size_t i = 0; i < frames; ++i) replies[i] = {reply_bytes_.data() + places[i].first, places[i].second};
  const std::uint64_t refused = tx->counts().refused;
  const std::size_t done = tx->send(std::span(replies).first(frames));
  const std::uint64_t too_long = tx->counts().refused - refused;
  stats_.replies += done - too_long;
  stats_.reply_declined += too_long;
  stats_.reply_dropped += frames - done;
}

bool Tenant::may_send() {
  if (stats_.sent == traffic_.count) return false;
  if (!sending_) {
    std::error_code ignored;
    sending_ = options_.send_start_file.empty() || std::filesystem::exists(options_.send_start_file, ignored);
    if (sending_) log::info("{}: sending {} frames", options_.name, traffic_.count);
  }
  return sending_;
}

bool Tenant::send_some() {
  if (stats_.sent == traffic_.count || !may_send()) return false;
  std::array<TxPort::Frame, kBurst> frames;
  const std::size_t n = std::min<std::uint64_t>(kBurst, traffic_.count - stats_.sent);
  std::size_t at = stats_.sent % traffic_.frames.size();
  for (std::size_t i = 0; i < n; ++i) {
    frames[i] = traffic_.frames[at];
    at = at + 1 == traffic_.frames.size() ? 0 : at + 1;
  }
  const std::size_t done = device_.tx()->send(std::span(frames).first(n));
  stats_.sent += done;
  if (done > 0 && stats_.sent == traffic_.count) log::info("{}: all {} frames sent", options_.name, stats_.sent);
  return done > 0;
}

void Tenant::nap() {
  const bool waits_to_send = sending_ && stats_.sent < traffic_.count;
  device_.queue(0).wait(waits_to_send ? kSendSleep : kLongestSleep);
}

// The PF restarted: take what the old life left, then start again, as often as it needs.
Result<Done> Tenant::recover() {
  log::warning("{}: the PF restarted or has forgotten this VF; initialising again", options_.name);
  if (auto stopped = device_.stop(); !stopped) log::warning("{}: {}", options_.name, stopped.error().text);
  drain();
  std::string told;
  while (!stop_.load(std::memory_order_relaxed)) {  // relaxed: see run()
    auto started = device_.start();
    if (started) {
      ++stats_.pf_restarts;
      log::info("{}: receiving again", options_.name);
      return started;
    }
    const std::errc code = started.error().code;
    if (code == std::errc::no_such_device) return started;
    if (code != std::errc::operation_canceled && started.error().text != told) {
      told = started.error().text;
      log::warning("{}: {}; trying again", options_.name, told);
    }
    std::this_thread::sleep_for(kRetryPause);
  }
  return Done{};
}

// Takes everything the device has finished; for a device that is stopped.
void Tenant::drain() {
  may_reply_ = false;
  for (unsigned q = 0; q < device_.queues(); ++q) {
    while (take_burst(device_.queue(q))) {
    }
  }
  may_reply_ = true;
}

void Tenant::finish() {
  if (device_.tx() != nullptr && !device_.tx()->drain(kDrain)) {
    const TxCounts& tx = device_.tx()->counts();
    log::warning("{}: {} frames were posted, but not fetched by the device when it stopped", options_.name,
                 tx.posted - tx.completed - tx.lost);
  }
  if (auto stopped = device_.stop(); !stopped) log::warning("{}: {}", options_.name, stopped.error().text);
  drain();
  for (unsigned q = 0; q < device_.queues(); ++q) stats_.left_in_ring += device_.queue(q).pending_frames();
  left_in_ring_.set(stats_.left_in_ring);
}

namespace {

Result<Done> write_stats(const TenantOptions& options, const PortInfo& info, const TenantStats& s, const TxCounts& tx) {
  if (options.stats_json.empty()) return Done{};
  const nlohmann::ordered_json json{{"name", options.name},
                                    {"device", info.device},
                                    {"mac", info.mac ? info.mac->text() : ""},
                                    {"api", info.api},
                                    {"queues", info.queues},
                                    {"mtu", info.mtu},
                                    {"frames", s.frames},
                                    {"bytes", s.bytes},
                                    {"bad", s.bad},
                                    {"left_in_ring", s.left_in_ring},
                                    {"sent", s.sent},
                                    {"replies", s.replies},
                                    {"reply_dropped", s.reply_dropped},
                                    {"reply_declined", s.reply_declined},
                                    {"tx_posted", tx.posted},
                                    {"tx_posted_bytes", tx.posted_bytes},
                                    {"tx_completed", tx.completed},
                                    {"tx_lost", tx.lost},
                                    {"tx_refused", tx.refused},
                                    {"pf_restarts", s.pf_restarts}};
  return replace_text(options.stats_json, json.dump(2) + "\n");
}

}  // namespace

Result<Done> run_tenant(const TenantOptions& options, const std::atomic<bool>& stop) {
  Traffic traffic;
  if (!options.send.empty()) {
    constexpr std::uint32_t kHeaderAndFcs = 18;
    auto loaded = load_traffic(options.send, options.mtu + kHeaderAndFcs);
    if (!loaded) return loaded.error();
    traffic = std::move(*loaded);
    if (traffic.zero_filled > 0) {
      log::warning("{}: {} frames of {} are there in part only; the rest is zeros", options.name, traffic.zero_filled,
                   options.send);
    }
  }
  const std::vector<std::string> names = hw::accounts::capture_names();
  auto counters = hw::CounterFile::create(options.counters, names);
  if (!counters) return counters.error();

  std::error_code ignored;
  if (!options.ready_file.empty()) std::filesystem::remove(options.ready_file, ignored);  // of an earlier run
  PortOptions port;
  port.queues = options.queues;
  port.mtu = options.mtu;
  port.vlans = options.vlans;
  port.tx_ring = options.reply || !options.send.empty() ? port.tx_ring : 0;
  port.cancel = &stop;
  auto device = open_port(options.device, port);
  if (!device) return device.error();
  const auto info = (*device)->info();
  if (!info) return info.error();

  if (info->mac) traffic.set_source(*info->mac);

  Tenant tenant(**device, options, std::move(traffic), *counters, stop);
  if (!options.ready_file.empty()) {
    if (auto written = replace_text(options.ready_file, "ready\n"); !written) return written;
  }
  log::info("{}: {} receives on {} queue(s), mailbox API {}", options.name, info->who(), info->queues, info->api);
  auto result = tenant.run();
  const TxPort* tx = (*device)->tx();
  auto written = write_stats(options, *info, tenant.stats(), tx != nullptr ? tx->counts() : TxCounts{});
  return result ? written : result;
}

}  // namespace vigia::vf
