// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/reader.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "vfdriver/merged_frames.h"
#include "vfdriver/pcap_reader.h"
#include "vfdriver/raw_files.h"
#include "vfdriver/raw_reader.h"

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

// First words of the formats that libpcap reads: pcap in both byte orders, micro- and nanoseconds (and the modified
// format of old Linux), pcapng. Sources: pcap-savefile(5), draft-ietf-opsawg-pcapng.
constexpr std::array<std::uint32_t, 7> kPcapMagic{0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1,
                                                  0xa1b2cd34, 0x34cdb2a1, 0x0a0d0d0a};

bool begins_with_record(int fd) {
  std::vector<std::byte> head(kMaxRecord);
  const auto got = ::pread(fd, head.data(), head.size(), 0);
  if (got < static_cast<ssize_t>(kRecordHeader)) return got == 0;  // an empty capture is one
  RecordHeader header;
  std::memcpy(&header, head.data(), sizeof(header));
  return static_cast<std::uint32_t>(got) >= kRecordHeader + header.captured;
}

// The RAW files of a directory: one stream after its files, several by time.
Result<std::unique_ptr<FrameReader>> open_streams(const std::vector<fs::path>& files) {
  std::map<std::string, std::vector<fs::path>> streams;
  for (const fs::path& file : files) streams[stream_of(file)].push_back(file);
  std::vector<std::unique_ptr<FrameReader>> readers;
  for (auto& [name, its_files] : streams) {
    auto reader = open_raw(std::move(its_files));
    if (!reader) return reader.error();
    readers.push_back(std::move(*reader));
  }
  if (readers.size() == 1) return std::move(readers.front());
  return merge_by_time(std::move(readers), fmt::format("RAW directory of {} files, {} streams merged by time",
                                                       files.size(), streams.size()));
}

}  // namespace

Result<std::unique_ptr<FrameReader>> open_capture(const fs::path& path) {
  std::error_code failed;
  if (fs::is_directory(path, failed)) {
    auto files = list_raw_files(path);
    if (files.empty()) {
      return input_error("open " + path.string() + ": a directory without RAW files (NAME-00000001.raw)");
    }
    return open_streams(files);
  }
  Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd) {
    const Error error = os_error("open " + path.string());
    return input_error(error.text);  // the operator named the wrong file
  }
  std::uint32_t magic = 0;
  const auto got = ::read(fd.get(), &magic, sizeof(magic));
  if (got < 0) return os_error("read " + path.string());
  if (got == sizeof(magic) && std::find(kPcapMagic.begin(), kPcapMagic.end(), magic) != kPcapMagic.end()) {
    return open_pcap(path);
  }
  // RAW has no magic. A stranger's name must at least begin with a whole record; a .raw may have been cut in its first.
  if (path.extension() != ".raw" && !begins_with_record(fd.get())) {
    return input_error("open " + path.string() + ": neither pcap, pcapng nor RAW");
  }
  return open_raw({path});
}

Result<ConvertReport> convert(FrameReader& in, FrameWriter& out, FileFormat format) {
  ConvertReport report;
  FrameView frame;
  for (;;) {
    auto more = in.next(frame);
    if (!more) return more.error();
    if (!*more) return report;
    if (format == FileFormat::raw) {
      if (frame.wire > kMaxCaptured || frame.bytes.size() > kMaxCaptured) ++report.clipped;
      if (frame.stamp == Stamp{}) {
        frame.stamp.nanoseconds = 1;
        ++report.unstamped;
      }
    }
    out.write(frame);
    if (out.file().failure()) return *out.file().failure();
    ++report.frames;
  }
}

}  // namespace vigia::vf
