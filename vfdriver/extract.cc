// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/extract.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "vfdriver/frame_filter.h"
#include "vfdriver/raw_files.h"
#include "vfdriver/raw_reader.h"
#include "vfdriver/reader.h"
#include "vfdriver/stored_frames.h"

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kProgressEvery = 4096;  // frames looked at

std::uint64_t size_of(const fs::path& file) {
  std::error_code failed;
  const auto size = fs::file_size(file, failed);
  return failed ? 0 : size;
}

// The frames of the window in one capture: the RAW files of one name in one directory, or another file.
class Source {
 public:
  Source(std::vector<StoredPlace> places, std::uint64_t from_ns, std::uint64_t to_ns)
      : places_(std::move(places)), from_ns_(from_ns), to_ns_(to_ns) {}
  // A capture without an index.
  Source(std::unique_ptr<FrameReader> reader, std::uint64_t from_ns, std::uint64_t to_ns)
      : reader_(std::move(reader)), from_ns_(from_ns), to_ns_(to_ns) {}

  // Goes to the next frame of the window. False: there is none.
  bool next(ExtractReport& report);
  const FrameView& frame() const { return frame_; }

 private:
  bool open_place(ExtractReport& report);
  void close(ExtractReport& report);

  std::vector<StoredPlace> places_;
  std::size_t place_ = 0;  // the next one
  std::unique_ptr<FrameReader> reader_;
  std::uint64_t from_ns_, to_ns_;
  std::optional<std::uint64_t> next_number_;  // of the frame behind the last one of the file before
  bool to_the_end_ = true;                    // the place is read as far as its file goes
  FrameView frame_;
};

bool Source::open_place(ExtractReport& report) {
  while (place_ < places_.size()) {
    const StoredPlace& place = places_[place_++];
    auto reader = open_raw_part(place.file, place.offset, place.end);
    if (!reader) {
      report.remarks.push_back(reader.error().text);
      next_number_.reset();
      continue;
    }
    if (next_number_ && place.frame > *next_number_) {
      const std::uint64_t missing = place.frame - *next_number_;
      report.missing_frames += missing;
      report.remarks.push_back(fmt::format("{}: {} frames are missing before it", place.file.string(), missing));
    }
    reader_ = std::move(*reader);
    to_the_end_ = place.end == size_of(place.file);
    return true;
  }
  return false;
}

void Source::close(ExtractReport& report) {
  const ReadReport& read = reader_->report();
  report.read_bytes += read.read_bytes;
  report.remarks.insert(report.remarks.end(), read.remarks.begin(), read.remarks.end());
  if (place_ > 0 && place_ <= places_.size()) next_number_ = places_[place_ - 1].frame + read.frames;
  reader_.reset();
}

bool Source::next(ExtractReport& report) {
  for (;;) {
    if (!reader_ && !open_place(report)) return false;
    auto more = reader_->next(frame_);
    if (!more) {
      report.remarks.push_back(more.error().text);
      close(report);
      next_number_.reset();
      continue;
    }
    // Within a RAW file stamps never decrease; others promise nothing.
    const std::uint64_t ns = *more ? frame_.stamp.total_ns() : 0;
    if (!*more || (ns >= to_ns_ && !places_.empty())) {
      close(report);
      if (*more || !to_the_end_) next_number_.reset();
      continue;
    }
    if (ns < from_ns_ || ns >= to_ns_) continue;
    ++report.frames_seen;
    return true;
  }
}

// Captures in the order in which they are named; RAW files of one name in one directory are one.
struct Inputs {
  std::map<std::string, std::vector<fs::path>> raw;  // by path without number
  std::vector<fs::path> others;
};

void add_raw(Inputs& inputs, const fs::path& file) {
  inputs.raw[(file.parent_path() / stream_of(file)).string()].push_back(file);
}

Result<Inputs> sort_inputs(const std::vector<fs::path>& named) {
  Inputs inputs;
  for (const fs::path& path : named) {
    std::error_code failed;
    if (fs::is_directory(path, failed)) {
      const auto files = list_raw_files(path);
      if (files.empty()) {
        return input_error("extract from " + path.string() + ": a directory without RAW files (NAME-00000001.raw)");
      }
      for (const fs::path& file : files) add_raw(inputs, file);
    } else if (number_of_raw_file(path, {})) {
      if (!fs::exists(path, failed)) return input_error("extract from " + path.string() + ": there is no such file");
      add_raw(inputs, path);
    } else {
      inputs.others.push_back(path);
    }
  }
  for (auto& [name, files] : inputs.raw) {
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
  }
  return inputs;
}

Result<std::vector<Source>> open_sources(const ExtractOptions& options, ExtractReport& report) {
  const auto inputs = sort_inputs(options.inputs);
  if (!inputs) return inputs.error();
  std::vector<Source> sources;
  for (const auto& [name, files] : inputs->raw) {
    auto places = places_in(files, options.from_ns, options.to_ns);
    report.files += files.size();
    report.files_read += places.size();
    for (const fs::path& file : files) report.total_bytes += size_of(file);
    for (const StoredPlace& place : places) report.wanted_bytes += place.end - std::min(place.end, place.offset);
    if (!places.empty()) sources.emplace_back(std::move(places), options.from_ns, options.to_ns);
  }
  for (const fs::path& file : inputs->others) {
    auto reader = open_capture(file);
    if (!reader) return reader.error();
    ++report.files;
    ++report.files_read;
    report.total_bytes += size_of(file);
    report.wanted_bytes += size_of(file);
    sources.emplace_back(std::move(*reader), options.from_ns, options.to_ns);
  }
  return sources;
}

}  // namespace

Result<ExtractReport> extract(const ExtractOptions& options, const std::function<void(const ExtractReport&)>& progress,
                              const std::atomic<bool>& stop) {
  if (options.format == FileFormat::raw) {
    return input_error("extract to " + options.out.string() +
                       ": writes pcapng and pcap; `vigia-capture convert` makes RAW of them");
  }
  auto filter = FrameFilter::compile(options.filter);
  if (!filter) return filter.error();
  ExtractReport report;
  auto sources = open_sources(options, report);
  if (!sources) return sources.error();
  auto out =
      create_capture_file(options.out, options.format, {"extracted by vigia-capture", "", "", options.filter, 0});
  if (!out) return out.error();

  // The sources that have a frame; the one with the oldest in front.
  std::vector<Source*> waiting;
  const auto later = [](const Source* a, const Source* b) {
    return a->frame().stamp.total_ns() > b->frame().stamp.total_ns();
  };
  for (Source& source : *sources) {
    if (source.next(report)) waiting.push_back(&source);
  }
  std::make_heap(waiting.begin(), waiting.end(), later);
  // Relaxed: a flag, orders nothing.
  while (!waiting.empty() && !(report.stopped = stop.load(std::memory_order_relaxed))) {
    std::pop_heap(waiting.begin(), waiting.end(), later);
    const FrameView& frame = waiting.back()->frame();
    if (filter->passes(frame)) {
      const std::uint64_t ns = frame.stamp.total_ns();
      if (report.frames++ == 0) report.first_ns = ns;
      report.last_ns = ns;
      report.bytes += frame.bytes.size();
      (*out)->write(frame);
      if ((*out)->file().failure()) return *(*out)->file().failure();
    }
    if (report.frames_seen % kProgressEvery == 0) progress(report);
    if (waiting.back()->next(report)) {
      std::push_heap(waiting.begin(), waiting.end(), later);
    } else {
      waiting.pop_back();
    }
  }
  if (auto finished = (*out)->finish({}); !finished) return finished.error();
  return report;
}

}  // namespace vigia::vf
