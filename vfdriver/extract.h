// SPDX-License-Identifier: Apache-2.0
// The frames of a time window out of many capture files, in the order of time.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "hw/result.h"
#include "vfdriver/frame_writer.h"

namespace vigia::vf {

struct ExtractOptions {
  std::vector<std::filesystem::path> inputs;                                     // files, and directories of RAW files
  std::uint64_t from_ns = 0, to_ns = std::numeric_limits<std::uint64_t>::max();  // frames stamped in [from, to)
  std::string filter;                                                            // as FrameFilter takes it
  std::filesystem::path out;
  FileFormat format = FileFormat::pcapng;
};

struct ExtractReport {
  std::uint64_t files = 0, files_read = 0;    // those that may hold frames of the window are read
  std::uint64_t total_bytes = 0;              // of all files
  std::uint64_t wanted_bytes = 0;             // of them: what the indexes say must be read
  std::uint64_t read_bytes = 0;               // of RAW files, indexes not counted
  std::uint64_t frames_seen = 0, frames = 0;  // in the window; and of those, passed by the filter: written
  std::uint64_t bytes = 0;                    // captured, of the frames written
  std::uint64_t missing_frames = 0;           // that the store had lost between two files of one capture
  std::uint64_t first_ns = 0, last_ns = 0;    // stamps of the frames written
  bool stopped = false;                       // on request, before the end
  std::vector<std::string> remarks;           // one sentence per thing that is not whole
};

// RAW files are read where their time indexes say; of other captures, and where there is no index, all is read. Frames
// of several captures are merged by their stamps; those of one capture stay in their order. A damaged file gives what
// comes before the damage, and a remark. Errors: a wrong filter, an input that is no capture (input errors), a refused
// write. progress is called now and then, with the report so far.
Result<ExtractReport> extract(const ExtractOptions& options, const std::function<void(const ExtractReport&)>& progress,
                              const std::atomic<bool>& stop);

}  // namespace vigia::vf
