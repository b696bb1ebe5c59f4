// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/stored_frames.h"

#include <algorithm>

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

std::vector<IndexEntry> index_of(fs::path raw_file) {
  auto index = read_index(raw_file.replace_extension(".idx"));
  return index ? std::move(*index) : std::vector<IndexEntry>{};
}

std::optional<IndexEntry> first_entry(fs::path raw_file) {
  return first_index_entry(raw_file.replace_extension(".idx"));
}

std::uint64_t size_of(const fs::path& file) {
  std::error_code failed;
  const auto size = fs::file_size(file, failed);
  return failed ? 0 : size;
}

// An entry is written once its block is: everything up to the end of the last entry's block stays as it is.
std::uint64_t settled_end(const fs::path& file, const std::vector<IndexEntry>& index) {
  return std::min((index.back().offset / kBlockBytes + 1) * kBlockBytes, size_of(file));
}

StoredPlace place_of(const fs::path& file, const IndexEntry& entry, std::uint64_t end) {
  return {file, entry.offset, end, entry.frame, entry.ns};
}

}  // namespace

StoredFrames::Part StoredFrames::files() const {
  Part part;
  for (fs::path& file : list_raw_files(directory_, name_)) {
    const bool earlier = number_of_raw_file(file, name_).value_or(0) < first_file_;
    (earlier ? part.earlier : part.current).push_back(std::move(file));
  }
  return part;
}

std::optional<StoredPlace> StoredFrames::oldest() const {
  for (const fs::path& file : files().current) {
    const auto index = index_of(file);
    if (!index.empty()) return place_of(file, index.front(), settled_end(file, index));
  }
  return std::nullopt;
}

// Fits is true up to some entry of the capture and false behind it.
template <class Fits>
std::optional<StoredPlace> StoredFrames::latest(Fits fits) const {
  const auto current = files().current;
  // The files' first entries, from the end: the wanted entry lies in the last file whose first one fits.
  for (auto file = current.rbegin(); file != current.rend(); ++file) {
    const auto first = first_entry(*file);
    if (!first || !fits(*first)) continue;
    const auto index = index_of(*file);
    const auto behind = std::partition_point(index.begin(), index.end(), fits);
    if (behind == index.begin()) return std::nullopt;  // deleted meanwhile
    return place_of(*file, *std::prev(behind), settled_end(*file, index));
  }
  return std::nullopt;
}

std::optional<StoredPlace> StoredFrames::before_time(std::uint64_t ns) const {
  return latest([ns](const IndexEntry& e) { return e.frame == 0 || e.ns < ns; });
}

std::optional<StoredPlace> StoredFrames::at_frame(std::uint64_t frame) const {
  return latest([frame](const IndexEntry& e) { return e.frame <= frame; });
}

std::optional<StoredPlace> StoredFrames::after_frame(std::uint64_t frame) const {
  for (const fs::path& file : files().current) {
    const auto index = index_of(file);
    const auto behind =
        std::partition_point(index.begin(), index.end(), [frame](const IndexEntry& e) { return e.frame <= frame; });
    if (behind != index.end()) return place_of(file, *behind, settled_end(file, index));
  }
  return std::nullopt;
}

std::vector<StoredPlace> StoredFrames::earlier(std::uint64_t from_ns, std::uint64_t to_ns) const {
  std::vector<StoredPlace> places;
  const auto files = this->files().earlier;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto first = first_entry(files[i]);
    if (first && first->ns >= to_ns) continue;
    const auto next = first && i + 1 < files.size() ? first_entry(files[i + 1]) : std::nullopt;
    // The next file of the same capture begins before the window, so this one ends before it.
    if (next && next->frame > first->frame && next->ns >= first->ns && next->ns < from_ns) continue;
    // Nobody writes these files any more. A killed writer's last block has no index entry, and a file without any
    // (killed in its first block) is read from its beginning.
    StoredPlace place{files[i], 0, size_of(files[i]), 0, 0};
    if (first) {
      const auto index = index_of(files[i]);
      const auto behind =
          std::partition_point(index.begin(), index.end(), [from_ns](const IndexEntry& e) { return e.ns < from_ns; });
      if (index.empty()) continue;  // deleted meanwhile
      place = place_of(files[i], behind == index.begin() ? *behind : *std::prev(behind), place.end);
    }
    places.push_back(std::move(place));
  }
  return places;
}

std::optional<StoredPlace> StoredFrames::oldest_earlier() const {
  for (const fs::path& file : files().earlier) {
    if (const auto first = first_entry(file)) return place_of(file, *first, size_of(file));
  }
  return std::nullopt;
}

}  // namespace vigia::vf
