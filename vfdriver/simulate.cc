// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/simulate.h"

#include <fmt/core.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "hw/accounts.h"
#include "vfdriver/block_queue.h"
#include "vfdriver/cli_values.h"
#include "vfdriver/engine.h"
#include "vfdriver/quota.h"
#include "vfdriver/raw_files.h"
#include "vfdriver/simulated_port.h"

namespace vigia::vf {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::milliseconds kTurn{20}, kCalibrateEvery{250};
constexpr std::chrono::milliseconds kDefaultTime{10'000};
constexpr std::uint64_t kDefaultFiles = 4;

double thread_cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

// Of the RAW files of that name those with this number and later ones.
void remove_from(const fs::path& directory, const std::string& name, std::uint64_t first) {
  std::error_code ignored;
  for (fs::path file : list_raw_files(directory, name)) {
    if (number_of_raw_file(file, name).value_or(0) < first) continue;
    fs::remove(file, ignored);
    fs::remove(file.replace_extension(".idx"), ignored);
  }
}

// Engine, ring and store, with a port that delivers while the ring has room.
class CaptureSimulation {
 public:
  static Result<SimulationReport> run(const CaptureOptions& options, std::uint32_t frame_bytes, StopRequest& stop);

 private:
  CaptureSimulation(const CaptureOptions& options, std::uint32_t frame_bytes, RingMemory ring, ListenerTable table,
                    hw::CounterFile counters)
      : options_(options),
        ring_(std::move(ring)),
        table_(std::move(table)),
        counters_(std::move(counters)),
        port_(frame_bytes, [this] { return room(); }),
        writer_(ring_, table_),
        limit_(options.max_frames),
        engine_({&port_}, writer_, clock_, ring_, counters_,
                {.snaplen = options.snaplen, .limit = options.max_frames != 0 ? &limit_ : nullptr}) {}

  Result<Done> make_store();
  // Far from where the writer would have to drop, and more than the store has on its way to the disk.
  bool room() const {
    const std::uint64_t end = writer_.position();
    return end - table_.lossless_floor(end) < ring_.geometry().data_bytes / 4;
  }
  Result<SimulationReport> measure(StopRequest& stop);

  const CaptureOptions& options_;
  RingMemory ring_;
  ListenerTable table_;
  hw::CounterFile counters_;
  Clock clock_;
  SimulatedPort port_;
  RingWriter writer_;
  FrameLimit limit_;
  Engine engine_;
  std::unique_ptr<Store> store_;
};

Result<SimulationReport> CaptureSimulation::run(const CaptureOptions& options, std::uint32_t frame_bytes,
                                                StopRequest& stop) {
  auto ring = RingMemory::create(options.ring, options.name);
  if (!ring) return ring.error();
  auto table = ListenerTable::create();
  if (!table) return table.error();
  auto counters = hw::CounterFile::create(options.counters, hw::accounts::capture_names());
  if (!counters) return counters.error();
  CaptureSimulation simulation(options, frame_bytes, std::move(*ring), std::move(*table), std::move(*counters));
  if (auto ok = simulation.make_store(); !ok) return ok.error();
  return simulation.measure(stop);
}

Result<Done> CaptureSimulation::make_store() {
  if (options_.raw.empty() && options_.out.empty()) return Done{};
  auto joined = table_.join(ring_, ListenerKind::lossless);
  if (!joined) return joined.error();
  std::vector<RingReader> reader;
  reader.push_back(RingReader::local(ring_, table_, *joined));
  auto store = !options_.raw.empty() ? create_raw_store(std::move(reader[0]), raw_store_options(options_), counters_)
                                     : create_file_store(std::move(reader), options_.out, *format_of(options_.out),
                                                         {"simulated", options_.name, "", clock_.report().text(),
                                                          std::min(options_.snaplen, options_.ring.max_captured)},
                                                         counters_);
  if (!store) return store.error();
  store_ = std::move(*store);
  return Done{};
}

Result<SimulationReport> CaptureSimulation::measure(StopRequest& stop) {
  SimulationReport report;
  const auto begin = steady_clock::now();
  std::thread store_thread, engine_thread;
  if (store_) {
    store_thread = std::thread([this, &report] {
      ::prctl(PR_SET_NAME, "store");
      store_->run();
      report.store_cpu_seconds = thread_cpu_seconds();
    });
  }
  engine_thread = std::thread([this, &report] {
    ::prctl(PR_SET_NAME, "engine");
    engine_.run();
    report.engine_cpu_seconds = thread_cpu_seconds();
  });
  auto calibrated = begin;
  // Relaxed: a flag, orders nothing. A store that the disk refuses drops what follows: nothing more is to be learnt.
  while (!stop.stop.load(std::memory_order_relaxed) && engine_.running() && (!store_ || store_->problem().empty()) &&
         (options_.max_time.count() == 0 || steady_clock::now() - begin < options_.max_time)) {
    std::this_thread::sleep_for(kTurn);
    if (steady_clock::now() - calibrated < kCalibrateEvery) continue;
    clock_.calibrate();
    calibrated = steady_clock::now();
  }
  engine_.request_stop();
  engine_thread.join();
  writer_.close();
  if (store_thread.joinable()) store_thread.join();
  report.seconds = seconds_since(begin);
  report.frames = engine_.totals().taken;
  report.lost = engine_.totals().ring_full;
  report.hugepages = ring_.hugepages();
  if (!store_) return report;
  const StoreTotals totals = store_->totals();
  report.lost += totals.lapped + totals.unread + totals.disk_dropped;
  report.disk_bytes = totals.stored_bytes + totals.stored * kRecordHeader;
  report.way = store_->way();
  report.path = store_->path().string();
  const CaptureSummary summary{report.frames, report.lost, clock_.report().text()};
  if (auto finished = store_->finish(summary); !finished) return finished.error();
  return report;
}

// A ring full of blocks of whole records, which are written over and over: the disk reads what it would in a capture.
class BlockSource {
 public:
  static Result<BlockSource> create(const RingGeometry& geometry, std::string_view name, std::uint32_t frame_bytes);
  std::span<std::byte> memory() const { return {ring_.data(), ring_.geometry().data_bytes}; }
  // Of the stream's block that begins at this offset.
  const std::byte* block(std::uint64_t offset) const { return ring_.data() + offset % ring_.geometry().data_bytes; }
  bool hugepages() const { return ring_.hugepages(); }
  std::uint64_t frames() const { return frames_; }  // in a block

 private:
  BlockSource(RingMemory ring, std::uint32_t frame_bytes);

  RingMemory ring_;
  std::uint64_t frames_ = 0;
};

Result<BlockSource> BlockSource::create(const RingGeometry& geometry, std::string_view name,
                                        std::uint32_t frame_bytes) {
  auto ring = RingMemory::create(geometry, name);
  if (!ring) return ring.error();
  return BlockSource(std::move(*ring), frame_bytes);
}

BlockSource::BlockSource(RingMemory ring, std::uint32_t frame_bytes) : ring_(std::move(ring)) {
  std::uint64_t at = 0;
  while (padding_before(kRecordHeader + frame_bytes, kBlockBytes - at) == 0 && at < kBlockBytes) {
    const auto frame = simulated_frame(frame_bytes, static_cast<std::uint16_t>(frames_));
    const RecordHeader header{Stamp::of_ns(1'000'000'000 + frames_), static_cast<std::uint16_t>(frame_bytes),
                              static_cast<std::uint16_t>(frame_bytes)};
    std::memcpy(ring_.data() + at, &header, sizeof(header));
    std::copy(frame.begin(), frame.end(), ring_.data() + at + kRecordHeader);
    at += kRecordHeader + frame_bytes;
    ++frames_;
  }
  write_padding(ring_.data() + at, kBlockBytes - at);
  for (at = kBlockBytes; at < memory().size(); at += kBlockBytes) {
    std::memcpy(ring_.data() + at, ring_.data(), kBlockBytes);
  }
}

// Files of blocks, as the RAW store writes them, with nothing before it.
class BlockSimulation {
 public:
  static Result<SimulationReport> run(const CaptureOptions& options, std::uint32_t frame_bytes, StopRequest& stop);

 private:
  BlockSimulation(const CaptureOptions& options, BlockSource source)
      : options_(options), source_(std::move(source)), quota_(options.quota), queue_(source_.memory()) {
    report_.way.asynchronous = queue_.asynchronous();
    report_.way.registered = queue_.registered();
    report_.path = options.raw.string();
    report_.hugepages = source_.hugepages();
  }
  Result<SimulationReport> measure(StopRequest& stop);
  Result<Done> next_file();
  Result<Done> settle(std::chrono::microseconds wait);

  const CaptureOptions& options_;
  BlockSource source_;
  std::deque<std::shared_ptr<RawFile>> writing_;  // files of the blocks in the queue, in its order
  std::shared_ptr<RawFile> file_;
  std::uint64_t offset_ = 0, written_ = 0;  // in the file; in all
  Quota quota_;
  BlockQueue queue_;
  SimulationReport report_;
};

Result<SimulationReport> BlockSimulation::run(const CaptureOptions& options, std::uint32_t frame_bytes,
                                              StopRequest& stop) {
  auto source = BlockSource::create(options.ring, options.name, frame_bytes);
  if (!source) return source.error();
  return BlockSimulation(options, std::move(*source)).measure(stop);
}

Result<Done> BlockSimulation::next_file() {
  const std::uint64_t bytes = options_.ring.segment_bytes;
  quota_.make_room(options_.raw, options_.name, bytes);
  auto file = RawFile::create(options_.raw, options_.name, last_number(options_.raw, options_.name) + 1, bytes,
                              report_.way.files * (bytes / kBlockBytes) * source_.frames());
  if (!file) return file.error();
  ++report_.way.files;
  if (!file->direct()) ++report_.way.buffered_files;
  if (!file->reserved()) ++report_.way.growing_files;
  file_ = std::make_shared<RawFile>(std::move(*file));
  offset_ = 0;
  return Done{};
}

Result<Done> BlockSimulation::settle(std::chrono::microseconds wait) {
  int error = 0;
  if (!queue_.next(error, wait)) return Done{};
  const auto file = std::move(writing_.front());
  writing_.pop_front();
  if (error != 0) return os_error("write " + file->path().string(), error);
  report_.frames += source_.frames();
  report_.disk_bytes += kBlockBytes;
  return Done{};
}

Result<SimulationReport> BlockSimulation::measure(StopRequest& stop) {
  std::error_code failed;
  fs::create_directories(options_.raw, failed);
  if (failed) return os_error("create directory " + options_.raw.string(), failed.value());
  const auto begin = steady_clock::now();
  const double cpu = thread_cpu_seconds();
  const auto more = [&] {
    if (options_.max_frames != 0 && report_.frames >= options_.max_frames) return false;
    // Relaxed: a flag, orders nothing.
    return !stop.stop.load(std::memory_order_relaxed) &&
           (options_.max_time.count() == 0 || steady_clock::now() - begin < options_.max_time);
  };
  for (bool go_on = true; go_on || !queue_.empty(); go_on = go_on && more()) {
    if (!go_on || queue_.full()) {
      if (auto ok = settle(std::chrono::milliseconds(100)); !ok) return ok.error();
      continue;
    }
    if (!file_ || offset_ == options_.ring.segment_bytes) {
      if (auto ok = next_file(); !ok) return ok.error();
    }
    queue_.submit(file_->fd(), source_.block(written_), kBlockBytes, offset_);
    writing_.push_back(file_);
    offset_ += kBlockBytes;
    written_ += kBlockBytes;
    if (auto ok = settle({}); !ok) return ok.error();
  }
  file_->end_at(offset_);
  report_.seconds = seconds_since(begin);
  report_.store_cpu_seconds = thread_cpu_seconds() - cpu;
  return report_;
}

Result<Done> check_options(Simulation what, const CaptureOptions& o, std::uint32_t frame_bytes) {
  if (auto ok = validate(o); !ok) return ok;
  if (o.port.queues != 1) return input_error("--queues: a simulation has one queue; leave it away");
  if (what == Simulation::store && o.raw.empty()) return input_error("--simulate store: needs --raw DIR");
  if (frame_bytes < kMinSimulated || frame_bytes > kMaxSimulated) {
    return input_error(fmt::format("--frame-size {}: want {} to {} bytes, FCS not counted", frame_bytes, kMinSimulated,
                                   kMaxSimulated));
  }
  if (o.quota != 0 && o.quota < 2 * o.ring.segment_bytes) {
    return input_error(
        fmt::format("quota {}: must hold at least two files of {} bytes; raise --quota or lower "
                    "--file-size",
                    o.quota, o.ring.segment_bytes));
  }
  return Done{};
}

}  // namespace

Result<Simulation> parse_simulation(std::string_view word) {
  if (word == "capture") return Simulation::capture;
  if (word == "store") return Simulation::store;
  return input_error(fmt::format("--simulate \"{}\": want capture or store", word));
}

std::string to_json(const SimulationReport& r) {
  const nlohmann::ordered_json json{{"simulation", r.what == Simulation::capture ? "capture" : "store"},
                                    {"frames", r.frames},
                                    {"frame_bytes", r.frame_bytes},
                                    {"lost", r.lost},
                                    {"disk_bytes", r.disk_bytes},
                                    {"seconds", r.seconds},
                                    {"engine_cpu_seconds", r.engine_cpu_seconds},
                                    {"store_cpu_seconds", r.store_cpu_seconds},
                                    {"hugepages", r.hugepages},
                                    {"store",
                                     {{"asynchronous", r.way.asynchronous},
                                      {"registered", r.way.registered},
                                      {"files", r.way.files},
                                      {"buffered_files", r.way.buffered_files},
                                      {"growing_files", r.way.growing_files}}},
                                    {"file", r.path}};
  return json.dump(2) + "\n";
}

std::string text_of(const SimulationReport& r) {
  const double seconds = std::max(r.seconds, 1e-9);
  std::string text = fmt::format("{} frames of {} bytes in {:.1f} s: {}frames/s, {}bit/s on the wire", r.frames,
                                 r.frame_bytes, r.seconds, count_text(static_cast<double>(r.frames) / seconds) + " ",
                                 // FCS, preamble and gap: 24 bytes more than a frame has here.
                                 count_text(static_cast<double>(r.frames * (r.frame_bytes + 24)) * 8 / seconds) + " ");
  if (r.what == Simulation::capture) {
    text += fmt::format("; engine {:.0f} % of a core", 100 * r.engine_cpu_seconds / seconds);
  }
  if (r.disk_bytes == 0) return text;
  return text + fmt::format("; {} to {}, {}/s, store {:.0f} % of a core", size_text(r.disk_bytes), r.path,
                            size_text(static_cast<std::uint64_t>(static_cast<double>(r.disk_bytes) / seconds)),
                            100 * r.store_cpu_seconds / seconds);
}

Result<SimulationReport> simulate(Simulation what, const CaptureOptions& wanted, std::uint32_t frame_bytes, bool keep,
                                  StopRequest& stop) {
  CaptureOptions options = wanted;
  if (options.max_time.count() == 0 && options.max_frames == 0) options.max_time = kDefaultTime;
  if (options.quota == 0 && !options.raw.empty()) options.quota = kDefaultFiles * options.ring.segment_bytes;
  if (auto ok = check_options(what, options, frame_bytes); !ok) return ok.error();
  const std::uint64_t first = options.raw.empty() ? 0 : last_number(options.raw, options.name) + 1;
  auto report = what == Simulation::capture ? CaptureSimulation::run(options, frame_bytes, stop)
                                            : BlockSimulation::run(options, frame_bytes, stop);
  if (!options.raw.empty() && !keep) remove_from(options.raw, options.name, first);
  if (!report) return report.error();
  report->what = what;
  report->frame_bytes = frame_bytes;
  return report;
}

}  // namespace vigia::vf
