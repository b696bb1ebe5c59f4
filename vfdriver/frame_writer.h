// SPDX-License-Identifier: Apache-2.0
// Files of frames, one after the other: RAW, pcap and pcapng, all with nanoseconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "hw/result.h"
#include "vfdriver/output_file.h"
#include "vfdriver/record.h"

namespace vigia::vf {

class MergedReader;

enum class FileFormat { raw, pcap, pcapng };

// By suffix: .raw, .pcap, .pcapng (and .ntar). Nothing for others.
std::optional<FileFormat> format_of(const std::filesystem::path& path);
// "raw", "pcap", "pcapng"; an input error for other words.
Result<FileFormat> parse_format(std::string_view word);

// What is known when a file begins. Formats write what they have a place for.
struct CaptureDescription {
  std::string hardware;   // the device: "ixgbevf 02:00:00:00:00:03, vfio-user:/run/lab/vf3.sock"
  std::string interface;  // "agent"
  std::string tap;        // what it shows, in words: "rx of web"; empty: unknown
  std::string comment;    // clock source, policy, error bound
  std::uint32_t snaplen = 0;
};

// What is known when it ends. Frames.
struct CaptureSummary {
  std::uint64_t received =
      0;  // taken from the device or dropped by it; 0 with `lost` 0: unknown, nothing is written about it
  std::uint64_t lost = 0;  // of those, what is not in the file
  std::string comment;     // the accounts, in words
};

// Appends frames; a single thread uses it. A refused write shows in failure() and in the count of refused frames.
class FrameWriter {
 public:
  virtual ~FrameWriter() = default;

  virtual void write(const FrameView& frame) = 0;
  // Up to so many of what the reader gives; returns how many it gave.
  virtual std::size_t write_from(MergedReader& frames, std::size_t most) = 0;
  void flush() { file_.flush(); }
  // Writes what ends the file, and flushes. The error of the first refused write, if any.
  Result<Done> finish(const CaptureSummary& summary);

  const OutputFile& file() const noexcept { return file_; }

 protected:
  explicit FrameWriter(OutputFile file) : file_(std::move(file)) {}

  OutputFile file_;

 private:
  virtual std::vector<std::byte> tail(const CaptureSummary& summary) = 0;
};

// Creates or truncates path and writes the format's head.
Result<std::unique_ptr<FrameWriter>> create_capture_file(const std::filesystem::path& path, FileFormat format,
                                                         const CaptureDescription& description);
// The same on a file that is open already, a pipe for example.
std::unique_ptr<FrameWriter> write_captures_to(OutputFile file, FileFormat format,
                                               const CaptureDescription& description);

}  // namespace vigia::vf
