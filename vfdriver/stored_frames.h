// SPDX-License-Identifier: Apache-2.0
// What the RAW files of a capture hold, found by their time indexes: also while the store still writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "vfdriver/raw_files.h"

namespace vigia::vf {

// A place in a file from which records can be read.
struct StoredPlace {
  std::filesystem::path file;
  std::uint64_t offset = 0;  // of a record
  std::uint64_t end = 0;     // of what is on disk for good
  std::uint64_t frame = 0;   // number of the first frame there, since its capture began
  std::uint64_t ns = 0;      // its stamp
};

// Where to read in RAW files of one name, in their order, for the frames stamped in [from_ns, to_ns): from the last
// indexed record before the window to the first one behind it; a file that cannot hold any is left out. Reads indexes
// and single records only. A file whose index is missing or wrong is read as a whole.
std::vector<StoredPlace> places_in(const std::vector<std::filesystem::path>& files, std::uint64_t from_ns,
                                   std::uint64_t to_ns);

// The files of one running capture, and those that earlier captures of the same name left. Looks at the directory anew
// with each call; files that are deleted meanwhile (quota) are as good as never written.
class StoredFrames {
 public:
  // first_file: number of the first file of the running capture.
  StoredFrames(std::filesystem::path directory, std::string name, std::uint64_t first_file)
      : directory_(std::move(directory)), name_(std::move(name)), first_file_(first_file) {}

  // Of the running capture:
  std::optional<StoredPlace> oldest() const;
  // The latest indexed place whose frame is stamped before ns, or the capture's beginning. Nothing: the files begin
  // later than that.
  std::optional<StoredPlace> before_time(std::uint64_t ns) const;
  // The latest indexed place at or before that frame; the first one behind it. Nothing: none is there.
  std::optional<StoredPlace> at_frame(std::uint64_t frame) const;
  std::optional<StoredPlace> after_frame(std::uint64_t frame) const;

  // Of earlier captures: where to begin in each file that may hold frames stamped in [from_ns, to_ns), oldest first.
  std::vector<StoredPlace> earlier(std::uint64_t from_ns, std::uint64_t to_ns) const;
  // The oldest frame of all that earlier captures left.
  std::optional<StoredPlace> oldest_earlier() const;

 private:
  struct Part {
    std::vector<std::filesystem::path> earlier, current;
  };
  Part files() const;
  template <class Fits>
  std::optional<StoredPlace> latest(Fits fits) const;

  std::filesystem::path directory_;
  std::string name_;
  std::uint64_t first_file_;
};

}  // namespace vigia::vf
