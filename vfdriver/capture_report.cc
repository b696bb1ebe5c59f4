// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/capture_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "hw/accounts.h"
#include "vfdriver/cli_values.h"

namespace vigia::vf {
namespace {

std::string_view word(ListenerKind kind) { return kind == ListenerKind::lossless ? "lossless" : "overwritable"; }

}  // namespace

std::uint64_t CaptureReport::port_dropped() const {
  const auto found = accounts.find(std::string(hw::accounts::kPortDropped));
  return found == accounts.end() ? 0 : found->second;
}

namespace {

nlohmann::ordered_json queues_json(const CaptureReport& r) {
  nlohmann::ordered_json queues = nlohmann::ordered_json::array();
  for (std::size_t q = 0; q < r.lanes.size(); ++q) {
    const EngineTotals& lane = r.lanes[q];
    const nlohmann::ordered_json cpu =
        q < r.cpus.cpus.size() ? nlohmann::ordered_json(r.cpus.cpus[q]) : nlohmann::ordered_json();
    queues.push_back({{"queue", q},
                      {"cpu", cpu},
                      {"frames", lane.taken},
                      {"bytes", lane.taken_bytes},
                      {"ring_full", lane.ring_full},
                      {"left_in_ring", lane.left_in_ring}});
  }
  return queues;
}

}  // namespace

std::string to_json(const CaptureReport& r) {
  using Json = nlohmann::ordered_json;
  Json listeners = Json::array();
  for (const ListenerState& l : r.listeners) {
    listeners.push_back({{"pid", l.pid},
                         {"queue", l.queue},
                         {"kind", word(l.kind)},
                         {"joined_at_frame", l.joined.frame},
                         {"read", l.frames_read},
                         {"lapped", l.frames_lapped},
                         {"behind_bytes", l.behind_bytes}});
  }
  const nlohmann::ordered_json json{{"name", r.name},
                                    {"device", r.device},
                                    {"driver", r.driver},
                                    {"mac", r.mac},
                                    {"api", r.api},
                                    {"queues", r.lanes.size()},
                                    {"pf_restarts", r.restarts},
                                    {"seconds", r.seconds},
                                    {"frames", r.engine.taken},
                                    {"bytes", r.engine.taken_bytes},
                                    {"lost", r.lost()},
                                    {"file", r.file},
                                    {"snaplen", r.snaplen},
                                    {"dedup", r.dedup},
                                    {"ring", {{"bytes", r.ring_bytes}, {"hugepages", r.hugepages}}},
                                    {"cpus", {{"engines", r.cpus.cpus}, {"why", r.cpus.why}}},
                                    {"per_queue", queues_json(r)},
                                    {"store",
                                     {{"asynchronous", r.store_way.asynchronous},
                                      {"registered", r.store_way.registered},
                                      {"files", r.store_way.files},
                                      {"buffered_files", r.store_way.buffered_files},
                                      {"growing_files", r.store_way.growing_files}}},
                                    {"clock",
                                     {{"source", r.clock.source},
                                      {"reference", r.clock.reference},
                                      {"policy", r.clock.policy},
                                      {"port", r.clock.port},
                                      {"error_bound_ns", r.clock.port.empty() ? Json(r.clock.error_bound_ns) : Json()},
                                      {"offset_ns", r.clock.offset_ns},
                                      {"uncertainty_ns", r.clock.uncertainty_ns},
                                      {"drift_ppm", r.clock.drift_ppm},
                                      {"calibrations", r.clock.calibrations},
                                      {"failed_calibrations", r.clock.failed_calibrations},
                                      {"steps", r.clock.steps}}},
                                    {"accounts", r.accounts},
                                    {"listeners", listeners}};
  return json.dump(2) + "\n";
}

CaptureSummary summary_of(const CaptureReport& r) {
  CaptureSummary summary{r.port_dropped() + r.engine.taken + r.engine.left_in_ring, r.lost(), {}};
  for (const auto& [name, value] : r.accounts) {
    // Accounts that stayed at zero are part of the ledger too: they say what did not happen.
    summary.comment += fmt::format("{} {}: {}\n", name, value, hw::accounts::meaning_of(name));
  }
  summary.comment += r.clock.text();
  return summary;
}

std::vector<std::string> closing_lines(const CaptureReport& r) {
  std::vector<std::string> lines{fmt::format("{}: {} frames ({}) in {:.1f} s, {} lost{}", r.name, r.engine.taken,
                                             size_text(r.engine.taken_bytes), r.seconds, r.lost(),
                                             r.file.empty() ? "; counted, not stored" : "; " + r.file)};
  const auto way = [&lines](std::uint64_t frames, std::string_view account) {
    if (frames > 0) lines.push_back(fmt::format("{} {}: {}", account, frames, hw::accounts::meaning_of(account)));
  };
  way(r.port_dropped(), hw::accounts::kPortDropped);
  if (const auto stopped = r.accounts.find(std::string(hw::accounts::kPortStopped)); stopped != r.accounts.end()) {
    way(stopped->second, hw::accounts::kPortStopped);
  }
  way(r.engine.damaged, "engine.damaged");
  way(r.engine.duplicate, "engine.duplicate");
  way(r.engine.marked, "engine.marked");
  if (r.mirrors_known) {
    const CopyCounts& c = r.engine.copies;
    lines.push_back(hw::accounts::copies_sentence(r.name, c.predicted, c.unpredicted, c.missing, c.open));
  }
  way(r.engine.ring_full, "engine.ring_full");
  way(r.engine.left_in_ring, "engine.left_in_ring");
  way(r.store.lapped, "store.lapped");
  way(r.store.unread, "store.unread");
  way(r.store.disk_dropped, "store.disk_dropped");
  return lines;
}

std::string ProgressLine::next(const CaptureReport& r, std::uint64_t ring_used) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::max(1e-3, std::chrono::duration<double>(now - last_).count());
  const double frames = static_cast<double>(r.engine.taken - last_taken_) / seconds;
  const double bits = static_cast<double>(r.engine.taken_bytes - last_bytes_) * 8 / seconds;
  last_ = now;
  last_taken_ = r.engine.taken;
  last_bytes_ = r.engine.taken_bytes;
  const double fill =
      100.0 * static_cast<double>(std::min(ring_used, r.ring_bytes)) / static_cast<double>(r.ring_bytes);
  return fmt::format("{}: {}frames/s  {}bit/s  {} frames  {} lost  ring {:.0f} %", r.name, count_text(frames) + " ",
                     count_text(bits) + " ", r.engine.taken, r.lost(), fill);
}

}  // namespace vigia::vf
