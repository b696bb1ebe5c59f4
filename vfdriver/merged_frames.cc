// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/merged_frames.h"

#include <utility>

namespace vigia::vf {
namespace {

class MergedFrames final : public FrameReader {
 public:
  MergedFrames(std::vector<std::unique_ptr<FrameReader>> readers, std::string format) : format_(std::move(format)) {
    for (auto& reader : readers) sources_.push_back({std::move(reader), {}, false, true});
    collect();
  }
  std::string format() const override { return format_; }

 private:
  struct Source {
    std::unique_ptr<FrameReader> reader;
    FrameView frame;
    bool has_frame;
    bool wanted;  // a new frame: the last one was given, and may be looked at until now
  };

  Result<bool> read(FrameView& out) override;
  void collect();

  std::vector<Source> sources_;
  const std::string format_;
};

Result<bool> MergedFrames::read(FrameView& out) {
  Source* first = nullptr;
  for (Source& source : sources_) {
    if (std::exchange(source.wanted, false)) {
      const auto more = source.reader->next(source.frame);
      if (!more || !*more) collect();
      if (!more) return more.error();
      source.has_frame = *more;
    }
    if (!source.has_frame) continue;
    if (!first || source.frame.stamp.total_ns() < first->frame.stamp.total_ns()) first = &source;
  }
  if (!first) return false;
  first->wanted = true;
  out = first->frame;
  return true;
}

// What the readers say, beside the frames that next() counts.
void MergedFrames::collect() {
  report_.missing_frames = report_.truncated_files = report_.read_bytes = 0;
  report_.remarks.clear();
  for (const Source& source : sources_) {
    const ReadReport& its = source.reader->report();
    report_.missing_frames += its.missing_frames;
    report_.truncated_files += its.truncated_files;
    report_.read_bytes += its.read_bytes;
    report_.remarks.insert(report_.remarks.end(), its.remarks.begin(), its.remarks.end());
    if (!its.clock.empty()) report_.clock = its.clock;
  }
}

}  // namespace

std::unique_ptr<FrameReader> merge_by_time(std::vector<std::unique_ptr<FrameReader>> readers, std::string format) {
  return std::make_unique<MergedFrames>(std::move(readers), std::move(format));
}

}  // namespace vigia::vf
