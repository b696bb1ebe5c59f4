// SPDX-License-Identifier: Apache-2.0
// The files of a RAW directory: their names, their time index, the quota.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/fd.h"
#include "hw/result.h"
#include "vfdriver/record.h"

namespace vigia::vf {

// Beside NAME-00000001.raw lies NAME-00000001.idx: a head of 16 bytes {char[8] "VIGIAIDX", u32 version 1, u32 24}, then
// one entry per block of 1 MiB that holds a frame's beginning, little-endian, in the order of the file. An index that
// is short or missing costs a search, nothing else.
struct IndexEntry {
  std::uint64_t ns;      // stamp of the first frame that begins in the block
  std::uint64_t offset;  // of its record in the file
  std::uint64_t frame;   // its number since the capture began
};
static_assert(sizeof(IndexEntry) == 24);
struct IndexHead {
  char magic[8] = {'V', 'I', 'G', 'I', 'A', 'I', 'D', 'X'};
  std::uint32_t version = 1, entry_bytes = sizeof(IndexEntry);
};
static_assert(sizeof(IndexHead) == 16);

Result<std::vector<IndexEntry>> read_index(const std::filesystem::path& idx_file);
// Only the first entry; nothing when there is none.
std::optional<IndexEntry> first_index_entry(const std::filesystem::path& idx_file);

// The RAW files of a directory in the order in which they were written; name empty: of every name.
std::vector<std::filesystem::path> list_raw_files(const std::filesystem::path& directory, std::string_view name = {});

// Returns when the disk has all of the file system that the directory is on, names and sizes of files too.
Result<Done> sync_file_system(const std::filesystem::path& directory);

// One file being written and its index. The block writes go through fd() by whoever prepares them.
class RawFile {
 public:
  // Creates the next file of that name. direct() tells whether O_DIRECT was to be had.
  static Result<RawFile> create(const std::filesystem::path& directory, std::string_view name, std::uint64_t number);

  int fd() const noexcept { return file_.get(); }
  bool direct() const noexcept { return direct_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  // Failure is not an error: see above.
  void add_index(const IndexEntry& entry) noexcept;
  // Makes the file end there, if it is longer; one that ends where it begins is removed, with its index.
  void cut(std::uint64_t bytes) noexcept;

 private:
  RawFile(Fd file, Fd index, std::filesystem::path path, bool direct)
      : file_(std::move(file)), index_(std::move(index)), path_(std::move(path)), direct_(direct) {}
  Fd file_, index_;
  std::filesystem::path path_;
  bool direct_;
};

// Which file of that name it is: "agent-00000012.raw" of "agent" is 12; nothing for other files.
std::optional<std::uint64_t> number_of_raw_file(const std::filesystem::path& file, std::string_view name);
// The number behind the last file of that name; 0 when there is none.
std::uint64_t last_number(const std::filesystem::path& directory, std::string_view name);

// Deletes files of that name, oldest first, until `room` more bytes fit the quota. Returns how many went.
unsigned make_room(const std::filesystem::path& directory, std::string_view name, std::uint64_t quota,
                   std::uint64_t room);

}  // namespace vigia::vf
