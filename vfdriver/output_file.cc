// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/output_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "vfdriver/record.h"

namespace vigia::vf {
namespace {

// One write per MiB (T, 4.3); a unit is at most a record and a few dozen bytes of another format's header.
constexpr std::size_t kBuffer = kBlockBytes;

}  // namespace

Result<OutputFile> OutputFile::create(const std::filesystem::path& path) {
  Fd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (!fd) return os_error("create " + path.string());
  return OutputFile(std::move(fd), path);
}

OutputFile::OutputFile(Fd fd, std::filesystem::path path)
    : fd_(std::move(fd)), path_(std::move(path)), buffer_(kBuffer) {}

void OutputFile::put(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), buffer_.size()));
    std::byte* at = room(part.size());
    if (!at) return;
    std::copy(part.begin(), part.end(), at);
    used_ += part.size();
    bytes = bytes.subspan(part.size());
  }
}

void OutputFile::flush() {
  if (used_ == 0 || failure_) return;
  for (std::size_t done = 0; done < used_;) {
    const auto n = ::write(fd_.get(), buffer_.data() + done, used_ - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      refuse_buffer(n < 0 ? errno : EIO);
      return;
    }
    done += static_cast<std::size_t>(n);
  }
  written_ += used_;
  frames_stored_ += buffered_frames_;
  bytes_stored_ += buffered_bytes_;
  used_ = 0;
  buffered_frames_ = buffered_bytes_ = 0;
}

void OutputFile::refuse_buffer(int error_number) {
  failure_ = os_error("write " + path_.string(), error_number);
  failure_->text += fmt::format(
      "; the file ends after {} frames, those that follow are counted as store.disk_dropped; free space and start "
      "again",
      frames_stored_);
  // A part of the buffer may have gone in: the file must not end inside a unit.
  [[maybe_unused]] const int cut = ::ftruncate(fd_.get(), static_cast<off_t>(written_));
  frames_refused_ += buffered_frames_;
  used_ = 0;
  buffered_frames_ = buffered_bytes_ = 0;
}

}  // namespace vigia::vf
