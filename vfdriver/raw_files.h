// SPDX-License-Identifier: Apache-2.0
// The files of a RAW directory: their names, their time index, the quota.
#pragma once

#include <sys/types.h>

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

// Beside NAME-00000001.raw lies NAME-00000001.idx: a head of 24 bytes {char[8] "VIGIAIDX", u32 version 2, u32 24, u64
// number of the file's first frame}, then one entry per block of 1 MiB that holds a frame's beginning, little-endian,
// in the order of the file, each written when its block is on disk. An index that is short or missing costs a search,
// nothing else.
struct IndexEntry {
  std::uint64_t ns;      // stamp of the first frame that begins in the block
  std::uint64_t offset;  // of its record in the file
  std::uint64_t frame;   // its number since the capture began
};
static_assert(sizeof(IndexEntry) == 24);
struct IndexHead {
  char magic[8] = {'V', 'I', 'G', 'I', 'A', 'I', 'D', 'X'};
  std::uint32_t version = 2, entry_bytes = sizeof(IndexEntry);
  std::uint64_t first_frame = 0;  // as IndexEntry::frame; known before any block is on disk
};
static_assert(sizeof(IndexHead) == 24);

// The entries up to the first one that does not follow the one before it: foreign bytes are believed no further.
Result<std::vector<IndexEntry>> read_index(const std::filesystem::path& idx_file);
// Only the first entry; nothing when there is none.
std::optional<IndexEntry> first_index_entry(const std::filesystem::path& idx_file);
// Only what the head says; nothing when there is none.
std::optional<std::uint64_t> first_frame_of(const std::filesystem::path& idx_file);

// Whose files NAME@1-00000012.raw are: of queue 1 of capture NAME, which has several.
std::string queue_name(std::string_view name, unsigned queue);
// "NAME@1" or "NAME" of such a file, without its directory: the files of that name are one stream.
std::string stream_of(const std::filesystem::path& raw_file);
// Whether that stream is of the capture: its only one, or of one of its queues.
bool belongs_to(std::string_view stream, std::string_view capture);

// The RAW files of a directory in the order in which they were written; name empty: of every name.
std::vector<std::filesystem::path> list_raw_files(const std::filesystem::path& directory, std::string_view name = {});

// Returns when the disk has all of the file system that the directory is on, names and sizes of files too.
Result<Done> sync_file_system(const std::filesystem::path& directory);

// One file being written and its index. The block writes go through fd() by whoever prepares them.
class RawFile {
 public:
  // Creates the next file of that name, which will hold `bytes` at most, from frame first_frame on. The bytes are
  // reserved on the disk if they can be: writes that make a file longer are done one at a time by most file systems,
  // others side by side.
  static Result<RawFile> create(const std::filesystem::path& directory, std::string_view name, std::uint64_t number,
                                std::uint64_t bytes, std::uint64_t first_frame);

  int fd() const noexcept { return file_.get(); }
  // Whether O_DIRECT was to be had, and the space.
  bool direct() const noexcept { return direct_; }
  bool reserved() const noexcept { return reserved_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  // Failure is not an error: see above.
  void add_index(const IndexEntry& entry) noexcept;
  // Makes the file end there, if it is longer.
  void end_at(std::uint64_t bytes) noexcept;
  // The same, but a file that ends where it begins is removed, with its index.
  void cut(std::uint64_t bytes) noexcept;

 private:
  RawFile(Fd file, Fd index, std::filesystem::path path, bool direct, bool reserved)
      : file_(std::move(file)),
        index_(std::move(index)),
        path_(std::move(path)),
        direct_(direct),
        reserved_(reserved) {}
  Fd file_, index_;
  std::filesystem::path path_;
  bool direct_, reserved_;
};

// Which file of that name it is: "agent-00000012.raw" of "agent" is 12; nothing for other files.
std::optional<std::uint64_t> number_of_raw_file(const std::filesystem::path& file, std::string_view name);
// The number behind the last file of that name; 0 when there is none.
std::uint64_t last_number(const std::filesystem::path& directory, std::string_view name);

// The file system of a directory, remembered to notice that its disk was unmounted: then the same path leads to the
// file system below, which must not be filled in its place.
class HomeDisk {
 public:
  // A work error if the directory, or the nearest one above it that exists, now lies on a file system on which an
  // ancestor of it lay at the first call. Remembers at the first call that finds the directory.
  Result<Done> check_still_there(const std::filesystem::path& directory);

 private:
  std::optional<dev_t> device_;
  std::vector<dev_t> below_;
};

}  // namespace vigia::vf
