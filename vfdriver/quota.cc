// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/quota.h"

#include <algorithm>

#include "hw/log.h"
#include "vfdriver/clock_notes.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

struct StoredFile {
  fs::path path;
  std::uint64_t bytes = 0;
  fs::file_time_type written;
  bool may_be_open = false;
};

std::vector<StoredFile> files_of(const fs::path& directory, std::string_view capture, unsigned lanes) {
  std::vector<std::string> beside;
  for (unsigned q = 0; lanes > 1 && q < lanes; ++q) beside.push_back(queue_name(capture, q));
  std::vector<StoredFile> files;
  std::string stream;
  unsigned streams = 0;
  for (fs::path& path : list_raw_files(directory)) {
    const std::string its_stream = stream_of(path);
    if (!belongs_to(its_stream, capture)) continue;
    std::error_code failed, no_time;
    const auto bytes = fs::file_size(path, failed);
    const auto written = fs::last_write_time(path, no_time);
    if (its_stream == stream) files.back().may_be_open = false;
    if (its_stream != stream) ++streams;
    stream = its_stream;
    files.push_back({std::move(path), failed ? 0 : bytes, no_time ? fs::file_time_type::min() : written,
                     std::find(beside.begin(), beside.end(), stream) != beside.end()});
  }
  // The files of one stream are listed in their order; those of several have nothing in common but time.
  if (streams > 1) {
    std::stable_sort(files.begin(), files.end(), [](auto& a, auto& b) { return a.written < b.written; });
  }
  return files;
}

}  // namespace

std::vector<fs::path> surplus_files(const fs::path& directory, std::string_view name, std::uint64_t quota,
                                    std::uint64_t room, unsigned lanes) {
  const auto files = files_of(directory, name, lanes);
  std::uint64_t total = room;
  for (const StoredFile& file : files) total += file.bytes;
  std::vector<fs::path> surplus;
  for (const StoredFile& file : files) {
    if (total <= quota) break;
    if (file.may_be_open) continue;
    total -= file.bytes;
    surplus.push_back(file.path);
  }
  return surplus;
}

void Quota::make_room(const fs::path& directory, std::string_view name, std::uint64_t room, unsigned lanes) {
  if (bytes_ == 0) return;
  wait();
  // Now: the next file that the caller begins is in `room`.
  auto files = surplus_files(directory, name, bytes_, room, lanes);
  if (files.empty()) return;
  log::info("quota: {} oldest files of {} in {} go", files.size(), name, directory.string());
  removal_ = std::async(std::launch::async, [files = std::move(files)] {
    std::error_code ignored;
    for (fs::path file : files) {
      fs::remove(file, ignored);
      fs::remove(notes_path(file), ignored);
      fs::remove(file.replace_extension(".idx"), ignored);
    }
  });
}

void Quota::wait() {
  if (removal_.valid()) removal_.get();
}

}  // namespace vigia::vf
