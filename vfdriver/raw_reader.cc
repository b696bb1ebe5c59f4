// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/raw_reader.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "hw/fd.h"
#include "vfdriver/clock_notes.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

// Reads are one block at a time; the rest of a record that a block cuts stays in front of the next.
constexpr std::size_t kBufferBytes = kBlockBytes + kMaxRecord;

bool sensible(const RecordHeader& header) {
  return header.stamp.nanoseconds < 1'000'000'000 && (header.padding() || header.captured <= header.wire);
}

class RawReader final : public FrameReader {
 public:
  explicit RawReader(std::vector<fs::path> files) : files_(std::move(files)) {}

  std::string format() const override {
    return files_.size() == 1 ? "RAW" : fmt::format("RAW directory of {} files", files_.size());
  }
  Result<Done> open_file();
  // Only this part of the (single) file; begin is a record boundary.
  Result<Done> open_part(std::uint64_t begin, std::uint64_t end);

 private:
  Result<bool> read(FrameView& out) override;
  Result<bool> refill();
  Result<bool> end_file();
  Result<std::uint64_t> zeros_until(std::uint64_t from);
  Result<bool> nothing_written();
  Result<bool> torn(std::uint64_t size);
  Result<Done> look_behind(std::uint64_t offset);
  Error damage(const RecordHeader& header) const;
  void look_for_gap();

  std::vector<fs::path> files_;
  std::size_t file_ = 0;  // the one being read
  Fd fd_;
  std::unique_ptr<std::byte[]> buffer_ = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
  std::size_t begin_ = 0, end_ = 0;          // what of the buffer is not passed yet
  std::uint64_t offset_ = 0;                 // of begin_ in the file
  std::uint64_t limit_ = ~std::uint64_t{0};  // nothing is read from there on
  std::uint64_t written_until_ = 0;          // zeros before it are followed by more of their block
  bool end_of_file_ = false;
  bool frames_in_file_ = false;
  bool numbered_ = false;  // an index told the number of a frame
  std::uint64_t next_number_ = 0;
};

Result<Done> RawReader::open_file() {
  fd_ = Fd(::open(files_[file_].c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd_) return os_error("open " + files_[file_].string());
  begin_ = end_ = 0;
  offset_ = written_until_ = 0;
  end_of_file_ = false;
  frames_in_file_ = false;
  // Of several files the last one's: its error bound is that of the whole capture.
  if (auto clock = read_raw_clock(files_[file_]); !clock.empty()) report_.clock = std::move(clock);
  look_for_gap();
  return Done{};
}

Result<Done> RawReader::open_part(std::uint64_t begin, std::uint64_t end) {
  if (auto ok = open_file(); !ok) return ok;
  // What came before is left out on purpose.
  report_.remarks.clear();
  if (::lseek(fd_.get(), static_cast<off_t>(begin), SEEK_SET) < 0) return os_error("seek in " + files_[file_].string());
  offset_ = begin;
  limit_ = end;
  return Done{};
}

// Frames are numbered through the whole capture; the index knows the number of a file's first one.
void RawReader::look_for_gap() {
  fs::path idx = files_[file_];
  const auto known = first_frame_of(idx.replace_extension(".idx"));
  if (!known) return;
  const std::uint64_t number = *known;
  if (!numbered_ && number > 0) {
    report_.remarks.push_back(fmt::format("{}: begins with frame {} of its capture; what came before is not here",
                                          files_[file_].string(), number));
  } else if (numbered_ && number > next_number_) {
    report_.missing_frames += number - next_number_;
    report_.remarks.push_back(
        fmt::format("{}: {} frames are missing before it", files_[file_].string(), number - next_number_));
  }
  numbered_ = true;
  next_number_ = number;
}

Result<bool> RawReader::refill() {
  if (end_of_file_) return false;
  std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const std::uint64_t position = offset_ + end_;
  const auto got =
      ::read(fd_.get(), buffer_.get() + end_, std::min(kBufferBytes - end_, limit_ - std::min(limit_, position)));
  if (got < 0 && errno == EINTR) return true;
  if (got < 0) return os_error("read " + files_[file_].string());
  end_of_file_ = got == 0;
  report_.read_bytes += static_cast<std::uint64_t>(got);
  end_ += static_cast<std::size_t>(got);
  return !end_of_file_;
}

// Where the first byte is that is not zero, from `from` (in the buffer) on; the end of its block or of the file if
// there is none before.
Result<std::uint64_t> RawReader::zeros_until(std::uint64_t from) {
  const std::uint64_t block_end = (from / kBlockBytes + 1) * kBlockBytes;
  for (std::uint64_t at = from;;) {
    const std::uint64_t stop = std::min(offset_ + (end_ - begin_), block_end);
    while (at < stop && buffer_[begin_ + (at - offset_)] == std::byte{0}) ++at;
    if (at < stop || at == block_end) return at;
    auto more = refill();
    if (!more) return more.error();
    if (!*more) return at;
  }
}

// At a header of zeros. A writer reserves space before it writes: a block that is zeros from here to its end was never
// written, nor is anything behind it that could be read. (Padding of 12 bytes looks the same, but has something behind
// it, or the file's end.) True: the file ends here.
Result<bool> RawReader::nothing_written() {
  if (offset_ < written_until_) return false;
  const auto zeros = zeros_until(offset_);
  if (!zeros) return zeros.error();
  const std::uint64_t block_end = (offset_ / kBlockBytes + 1) * kBlockBytes;
  if (*zeros < std::min(block_end, offset_ + (end_ - begin_))) {
    written_until_ = *zeros;
    return false;
  }
  if (auto ok = look_behind(block_end); !ok) return ok.error();
  begin_ = end_;
  end_of_file_ = true;
  return true;
}

// At a record of `size` bytes that is in the buffer: whether it reaches into a block that was never written. Then only
// its beginning is there, and the file ends before it.
Result<bool> RawReader::torn(std::uint64_t size) {
  const std::uint64_t block = (offset_ / kBlockBytes + 1) * kBlockBytes;
  if (offset_ + size <= block || buffer_[begin_ + (block - offset_)] != std::byte{0}) return false;
  const auto zeros = zeros_until(block);
  if (!zeros) return zeros.error();
  if (*zeros < block + kBlockBytes) return false;
  ++report_.truncated_files;
  report_.remarks.push_back(
      fmt::format("{}: cut inside the record at byte {}: the block that it ends in was never written; the writer did "
                  "not end the file",
                  files_[file_].string(), offset_));
  if (auto ok = look_behind(block + kBlockBytes); !ok) return ok.error();
  begin_ = end_;
  end_of_file_ = true;
  return true;
}

// Says so if there is anything behind a block that was never written: a writer that was killed had blocks in flight,
// and a later one reached the disk. Where records begin in it nobody knows.
Result<Done> RawReader::look_behind(std::uint64_t offset) {
  std::vector<std::byte> piece(64 * 1024);
  while (offset < limit_) {
    // Passes over what was reserved and not written; file systems that cannot tell say that all of it is data.
    const off_t data = ::lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0) return Done{};
    offset = static_cast<std::uint64_t>(data);
    if (offset >= limit_) return Done{};
    const auto got = ::pread(fd_.get(), piece.data(), piece.size(), data);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return os_error("read " + files_[file_].string());
    if (got == 0) return Done{};
    report_.read_bytes += static_cast<std::uint64_t>(got);
    if (std::any_of(piece.begin(), piece.begin() + got, [](std::byte b) { return b != std::byte{0}; })) {
      ++report_.truncated_files;
      report_.remarks.push_back(
          fmt::format("{}: ends at byte {}: the block there was never written, though bytes from {} on were; the "
                      "writer was killed while they were on their way",
                      files_[file_].string(), offset_, offset));
      return Done{};
    }
    offset += static_cast<std::uint64_t>(got);
  }
  return Done{};
}

Error RawReader::damage(const RecordHeader& header) const {
  const std::string& path = files_[file_].native();
  if (!frames_in_file_ && offset_ == 0) {
    return input_error("open " + path + ": neither pcap, pcapng nor RAW");
  }
  return input_error(fmt::format("{}: damaged at byte {}: a record of {} captured and {} wire bytes with {} ns", path,
                                 offset_, header.captured, header.wire, header.stamp.nanoseconds));
}

// What is left is less than a record. Goes on to the next file; false: there is none.
Result<bool> RawReader::end_file() {
  const auto rest = std::span(buffer_.get() + begin_, end_ - begin_);
  // A writer may leave zeros behind the last record (a file system's preallocation); they say nothing.
  if (std::any_of(rest.begin(), rest.end(), [](std::byte b) { return b != std::byte{0}; })) {
    ++report_.truncated_files;
    report_.remarks.push_back(
        fmt::format("{}: cut inside the record at byte {}, {} bytes of it are there; the writer did "
                    "not end the file",
                    files_[file_].string(), offset_, rest.size()));
  }
  if (++file_ == files_.size()) {
    --file_;
    end_ = begin_;
    return false;
  }
  if (auto ok = open_file(); !ok) return ok.error();
  return true;
}

Result<bool> RawReader::read(FrameView& out) {
  bool repeated = false;
  for (;;) {
    RecordHeader header;
    const std::size_t have = end_ - begin_;
    const bool head = have >= kRecordHeader;
    if (head) {
      std::memcpy(&header, buffer_.get() + begin_, sizeof(header));
      if (!sensible(header)) {
        auto cut = torn(kRecordHeader);  // half a header
        if (!cut) return cut.error();
        if (*cut) continue;
        return damage(header);
      }
    }
    if (head && header.padding() && header.captured == 0) {
      auto ends = nothing_written();
      if (!ends) return ends.error();
      if (*ends) continue;
    }
    if (!head || have - kRecordHeader < header.captured) {
      auto more = refill();
      if (!more) return more.error();
      if (*more) continue;
      auto next = end_file();
      if (!next) return next.error();
      if (!*next) return false;
      continue;
    }
    auto cut = torn(kRecordHeader + header.captured);
    if (!cut) return cut.error();
    if (*cut) continue;
    const auto bytes = std::span<const std::byte>(buffer_.get() + begin_ + kRecordHeader, header.captured);
    begin_ += kRecordHeader + header.captured;
    offset_ += kRecordHeader + header.captured;
    if (header.padding()) {
      repeated = is_repeat_mark(header, bytes);
      continue;
    }
    frames_in_file_ = true;
    ++next_number_;
    out = {header.stamp, header.wire, bytes, repeated};
    return true;
  }
}

}  // namespace

Result<std::unique_ptr<FrameReader>> open_raw(std::vector<fs::path> files) {
  auto reader = std::make_unique<RawReader>(std::move(files));
  if (auto ok = reader->open_file(); !ok) return ok.error();
  return std::unique_ptr<FrameReader>(std::move(reader));
}

Result<std::unique_ptr<FrameReader>> open_raw_part(const fs::path& file, std::uint64_t begin, std::uint64_t end) {
  auto reader = std::make_unique<RawReader>(std::vector<fs::path>{file});
  if (auto ok = reader->open_part(begin, end); !ok) return ok.error();
  return std::unique_ptr<FrameReader>(std::move(reader));
}

}  // namespace vigia::vf
