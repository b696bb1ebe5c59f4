// SPDX-License-Identifier: Apache-2.0
// A capture file being written by frames: large writes, and an exact account of which frames the disk refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"

namespace vigia::vf {

// A single thread uses it. After the first refused write nothing more is written: the file ends behind the last buffer
// that went in whole, so it stays readable.
class OutputFile {
 public:
  // Creates or truncates.
  static Result<OutputFile> create(const std::filesystem::path& path);
  // Writes to what is open already, a pipe for example. Errors call it by that name.
  static OutputFile adopt(Fd fd, std::filesystem::path name) { return OutputFile(std::move(fd), std::move(name)); }

  // Room for one unit (a frame with its header) of n bytes; null once the disk has refused something. commit() follows.
  std::byte* room(std::size_t n) {
    check(n <= buffer_.size());
    if (buffer_.size() - used_ < n) flush();
    return failure_ ? nullptr : buffer_.data() + used_;
  }
  // The unit is in place and holds so many captured bytes.
  void commit(std::size_t n, std::uint64_t captured) noexcept {
    used_ += n;
    ++buffered_frames_;
    buffered_bytes_ += captured;
  }
  // A unit that is no frame: headers, trailers.
  void put(std::span<const std::byte> bytes);
  // A frame that room() refused.
  void count_refused() noexcept { ++frames_refused_; }

  // Hands everything to the kernel.
  void flush();

  std::uint64_t frames_stored() const noexcept { return frames_stored_; }
  std::uint64_t frames_buffered() const noexcept { return buffered_frames_; }
  std::uint64_t bytes_stored() const noexcept { return bytes_stored_; }  // captured bytes of those
  std::uint64_t frames_refused() const noexcept { return frames_refused_; }
  // Bytes of the file, with what is still in the buffer.
  std::uint64_t size() const noexcept { return written_ + used_; }
  const std::optional<Error>& failure() const noexcept { return failure_; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  OutputFile(Fd fd, std::filesystem::path path);
  void refuse_buffer(int error_number);

  Fd fd_;
  std::filesystem::path path_;
  std::vector<std::byte> buffer_;
  std::size_t used_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t buffered_frames_ = 0, buffered_bytes_ = 0;
  std::uint64_t frames_stored_ = 0, bytes_stored_ = 0, frames_refused_ = 0;
  std::optional<Error> failure_;
};

}  // namespace vigia::vf
