// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/stored_frames.h"

#include <fcntl.h>
#include <unistd.h>

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

// The index names a record there that has its stamp.
bool holds(int fd, const IndexEntry& entry) {
  RecordHeader header;
  return ::pread(fd, &header, sizeof(header), static_cast<off_t>(entry.offset)) == sizeof(header) &&
         !header.padding() && header.stamp.total_ns() == entry.ns;
}

// Where the window lies in one file, whose index is not empty. Nobody writes it any more; a killed writer's last block
// has no index entry.
StoredPlace narrowed(const fs::path& file, const std::vector<IndexEntry>& index, std::uint64_t from_ns,
                     std::uint64_t to_ns) {
  StoredPlace whole{file, 0, size_of(file), index.front().frame, index.front().ns};
  const Fd fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  const auto first_at = [&](std::uint64_t ns) {
    return std::partition_point(index.begin(), index.end(), [ns](const IndexEntry& e) { return e.ns < ns; });
  };
  auto begin = first_at(from_ns);
  if (begin != index.begin()) --begin;
  const auto end = first_at(to_ns);
  if (!fd || !holds(fd.get(), *begin) || (end != index.end() && !holds(fd.get(), *end))) return whole;
  return place_of(file, *begin, end == index.end() ? whole.end : end->offset);
}

}  // namespace

std::vector<StoredPlace> places_in(const std::vector<fs::path>& files, std::uint64_t from_ns, std::uint64_t to_ns) {
  std::vector<StoredPlace> places;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto first = first_entry(files[i]);
    if (first && first->ns >= to_ns) continue;
    const auto next = first && i + 1 < files.size() ? first_entry(files[i + 1]) : std::nullopt;
    // The next file of the same capture begins before the window, so this one ends before it.
    if (next && next->frame > first->frame && next->ns >= first->ns && next->ns < from_ns) continue;
    // A file without an index (its writer was killed in the first block) is read from its beginning.
    const auto index = index_of(files[i]);
    if (first && index.empty()) continue;  // deleted meanwhile
    places.push_back(first ? narrowed(files[i], index, from_ns, to_ns)
                           : StoredPlace{files[i], 0, size_of(files[i]), 0, 0});
  }
  return places;
}

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
  return places_in(files().earlier, from_ns, to_ns);
}

std::optional<StoredPlace> StoredFrames::oldest_earlier() const {
  for (const fs::path& file : files().earlier) {
    if (const auto first = first_entry(file)) return place_of(file, *first, size_of(file));
  }
  return std::nullopt;
}

}  // namespace vigia::vf
