// SPDX-License-Identifier: Apache-2.0
// Captures on disk as a stream of frames: a RAW file, a directory of RAW files, pcap or pcapng.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "hw/result.h"
#include "vfdriver/frame_writer.h"
#include "vfdriver/record.h"

namespace vigia::vf {

struct ReadReport {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;           // captured
  std::uint64_t wire_bytes = 0;      // as the frames were on the wire, without FCS
  std::uint64_t missing_frames = 0;  // that a RAW directory's index shows to be missing between its files
  std::uint64_t truncated_files = 0;
  std::uint64_t read_bytes = 0;      // of RAW files, indexes not counted
  Stamp first, last;                 // of the first and the last frame
  std::string clock;                 // what the capture says of its clock (clock_notes.h); empty: nothing
  std::vector<std::string> remarks;  // one sentence per thing that is not whole
};

// Reads in order; a single thread uses it.
class FrameReader {
 public:
  virtual ~FrameReader() = default;

  // The next frame, valid until the next call; false at the end. A file that ends inside a frame is not an error: it
  // ends after its last whole frame, and report() says so. Damage is an input error with the offset.
  Result<bool> next(FrameView& out) {
    auto got = read(out);
    if (got && *got) {
      if (report_.frames++ == 0) report_.first = out.stamp;
      report_.last = out.stamp;
      report_.bytes += out.bytes.size();
      report_.wire_bytes += out.wire;
    }
    return got;
  }
  const ReadReport& report() const noexcept { return report_; }
  // "RAW", "RAW directory of 3 files", "pcapng, interface agent".
  virtual std::string format() const = 0;

 protected:
  virtual Result<bool> read(FrameView& out) = 0;
  ReadReport report_;
};

// Tells the format by content, not by name. The RAW files of a directory are one stream; those of several queues or
// captures are merged by their stamps. What is no capture at all, or holds another link type than Ethernet, is an
// input error.
Result<std::unique_ptr<FrameReader>> open_capture(const std::filesystem::path& path);

struct ConvertReport {
  std::uint64_t frames = 0;
  std::uint64_t clipped = 0;    // RAW only: longer than a record can say, cut to 65535 bytes
  std::uint64_t unstamped = 0;  // RAW only: stamp 0 would be padding, became 1 ns
};

// Copies every frame of in to out, which is left open. A refused write ends it with the disk's error.
Result<ConvertReport> convert(FrameReader& in, FrameWriter& out, FileFormat format);

}  // namespace vigia::vf
