// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/quota.h"

#include "hw/log.h"
#include "vfdriver/clock_notes.h"
#include "vfdriver/raw_files.h"

namespace vigia::vf {

namespace fs = std::filesystem;

std::vector<fs::path> surplus_files(const fs::path& directory, std::string_view name, std::uint64_t quota,
                                    std::uint64_t room) {
  auto files = list_raw_files(directory, name);
  std::vector<std::uint64_t> sizes;
  std::uint64_t total = room;
  for (const fs::path& file : files) {
    std::error_code failed;
    const auto size = fs::file_size(file, failed);
    sizes.push_back(failed ? 0 : size);
    total += sizes.back();
  }
  std::size_t gone = 0;
  for (; gone < files.size() && total > quota; ++gone) total -= sizes[gone];
  files.resize(gone);
  return files;
}

void Quota::make_room(const fs::path& directory, std::string_view name, std::uint64_t room) {
  if (bytes_ == 0) return;
  wait();
  // Now: the next file that the caller begins is in `room`.
  auto files = surplus_files(directory, name, bytes_, room);
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
