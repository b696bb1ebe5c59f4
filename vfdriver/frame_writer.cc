// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/frame_writer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "hw/log.h"
#include "vfdriver/clock_notes.h"
#include "vfdriver/frame_writer_of.h"
#include "vfdriver/pcapng_writer.h"

namespace vigia::vf {
namespace {

// RAW in one file: records, then padding up to a multiple of 4096 so that tools may read it in whole pages.
class RawWriter final : public FrameWriterOf<RawWriter> {
 public:
  explicit RawWriter(OutputFile file) : FrameWriterOf(std::move(file)) {}

  std::size_t encoded_bytes(const FrameView& frame) const noexcept {
    return (frame.repeated ? kRepeatMarkRecord : 0) + kRecordHeader + captured_of(frame);
  }
  void encode(const FrameView& frame, std::byte* at) noexcept {
    if (frame.repeated) {
      write_repeat_mark(at);
      at += kRepeatMarkRecord;
    }
    const std::size_t captured = captured_of(frame);
    const RecordHeader header{frame.stamp, static_cast<std::uint16_t>(captured),
                              static_cast<std::uint16_t>(std::min(frame.wire, kMaxCaptured))};
    std::memcpy(at, &header, sizeof(header));
    std::copy_n(frame.bytes.data(), captured, at + kRecordHeader);
  }

 private:
  std::vector<std::byte> tail(const CaptureSummary&) override {
    std::uint64_t left = (kPage - file_.size() % kPage) % kPage;
    if (left > 0 && left < kRecordHeader) left += kPage;
    std::vector<std::byte> padding(left);
    write_padding(padding.data(), left);
    return padding;
  }
  static std::size_t captured_of(const FrameView& frame) noexcept {
    return std::min<std::size_t>(frame.bytes.size(), kMaxCaptured);
  }
  static constexpr std::uint64_t kPage = 4096;
};

// The nanosecond variant of the classic format (pcap-savefile(5)).
class PcapWriter final : public FrameWriterOf<PcapWriter> {
 public:
  PcapWriter(OutputFile file, const CaptureDescription& description) : FrameWriterOf(std::move(file)) {
    struct {
      std::uint32_t magic = 0xa1b23c4d;
      std::uint16_t major = 2, minor = 4;
      std::uint32_t zone = 0, accuracy = 0, snaplen = 0, link_type = 1;  // LINKTYPE_ETHERNET
    } head;
    static_assert(sizeof(head) == 24);
    // Readers refuse frames longer than this, so 0 (unknown) becomes the most a frame can be here.
    head.snaplen = description.snaplen == 0 ? 262144 : std::max(description.snaplen, kMaxCaptured);
    file_.put(std::as_bytes(std::span(&head, 1)));
  }

  std::size_t encoded_bytes(const FrameView& frame) const noexcept { return sizeof(Head) + frame.bytes.size(); }
  void encode(const FrameView& frame, std::byte* at) noexcept {
    const Head head{frame.stamp.seconds, frame.stamp.nanoseconds, static_cast<std::uint32_t>(frame.bytes.size()),
                    frame.wire};
    std::memcpy(at, &head, sizeof(head));
    std::copy(frame.bytes.begin(), frame.bytes.end(), at + sizeof(head));
  }

 private:
  struct Head {
    std::uint32_t seconds, nanoseconds, captured, wire;
  };
  std::vector<std::byte> tail(const CaptureSummary&) override { return {}; }
};

}  // namespace

std::optional<FileFormat> format_of(const std::filesystem::path& path) {
  const std::string suffix = path.extension();
  if (suffix == ".raw") return FileFormat::raw;
  if (suffix == ".pcap" || suffix == ".cap") return FileFormat::pcap;
  if (suffix == ".pcapng" || suffix == ".ntar") return FileFormat::pcapng;
  return std::nullopt;
}

Result<FileFormat> parse_format(std::string_view word) {
  if (word == "raw") return FileFormat::raw;
  if (word == "pcap") return FileFormat::pcap;
  if (word == "pcapng") return FileFormat::pcapng;
  return input_error(fmt::format("format \"{}\": want raw, pcap or pcapng", word));
}

Result<Done> FrameWriter::finish(const CaptureSummary& summary) {
  file_.put(tail(summary));
  file_.flush();
  if (file_.failure()) return *file_.failure();
  return Done{};
}

Result<std::unique_ptr<FrameWriter>> create_capture_file(const std::filesystem::path& path, FileFormat format,
                                                         const CaptureDescription& description) {
  auto file = OutputFile::create(path);
  if (!file) return file.error();
  if (format == FileFormat::raw && !description.comment.empty()) {
    if (auto noted = write_notes(path, description); !noted) log::warning("{}", noted.error().text);
  }
  return write_captures_to(std::move(*file), format, description);
}

std::unique_ptr<FrameWriter> write_captures_to(OutputFile file, FileFormat format,
                                               const CaptureDescription& description) {
  switch (format) {
    case FileFormat::raw:
      return std::make_unique<RawWriter>(std::move(file));
    case FileFormat::pcap:
      return std::make_unique<PcapWriter>(std::move(file), description);
    case FileFormat::pcapng:
      break;
  }
  return std::make_unique<PcapngWriter>(std::move(file), description);
}

}  // namespace vigia::vf
