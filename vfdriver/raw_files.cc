// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/raw_files.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "vfdriver/clock_notes.h"

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kDigits = 8;

struct OpenIndex {
  std::ifstream in;  // behind the head
  IndexHead head;
};

Result<OpenIndex> open_index(const fs::path& idx_file) {
  std::ifstream in(idx_file, std::ios::binary);
  if (!in) return os_error("open index " + idx_file.string());
  IndexHead head, expected;
  // SAFETY: plain integers, any bytes are valid values.
  in.read(reinterpret_cast<char*>(&head), sizeof(head));
  if (!in || !std::equal(head.magic, head.magic + 8, expected.magic) || head.version != expected.version ||
      head.entry_bytes != sizeof(IndexEntry)) {
    return input_error("index " + idx_file.string() + ": not a time index of vigia-capture");
  }
  return OpenIndex{std::move(in), head};
}

bool read_entry(std::ifstream& in, IndexEntry& entry) {
  // SAFETY: plain integers, any bytes are valid values.
  return static_cast<bool>(in.read(reinterpret_cast<char*>(&entry), sizeof(entry)));
}

bool follows(const IndexEntry& last, const IndexEntry& next) {
  return next.offset > last.offset && next.ns >= last.ns && next.frame > last.frame;
}

// In memory a reservation takes what it reserves, and saves nothing.
bool in_memory(int fd) {
  struct statfs system {};
  return ::fstatfs(fd, &system) != 0 || system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
}

bool reserve(int fd, std::uint64_t bytes) {
  if (bytes == 0 || in_memory(fd)) return false;
  if (::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0) return true;
  // A disk that is nearly full takes what it can as the file grows.
  [[maybe_unused]] const int ignored = ::ftruncate(fd, 0);
  return false;
}

}  // namespace

std::optional<std::uint64_t> number_of_raw_file(const fs::path& file, std::string_view name) {
  const std::string stem = file.stem();
  if (file.extension() != ".raw" || stem.size() <= kDigits || stem[stem.size() - kDigits - 1] != '-')
    return std::nullopt;
  if (!name.empty() && std::string_view(stem).substr(0, stem.size() - kDigits - 1) != name) return std::nullopt;
  std::uint64_t number = 0;
  const char* end = stem.data() + stem.size();
  const auto [stopped, error] = std::from_chars(end - kDigits, end, number);
  if (error != std::errc{} || stopped != end) return std::nullopt;
  return number;
}

std::string queue_name(std::string_view name, unsigned queue) { return fmt::format("{}@{}", name, queue); }

std::string stream_of(const fs::path& raw_file) {
  const std::string stem = raw_file.stem();
  return stem.substr(0, stem.rfind('-'));
}

bool belongs_to(std::string_view stream, std::string_view capture) {
  if (!stream.starts_with(capture)) return false;
  const std::string_view rest = stream.substr(capture.size());
  return rest.empty() || (rest.size() > 1 && rest[0] == '@' && rest.find_first_not_of("0123456789", 1) == rest.npos);
}

std::vector<fs::path> list_raw_files(const fs::path& directory, std::string_view name) {
  std::vector<fs::path> files;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(directory, failed)) {
    if (number_of_raw_file(entry.path(), name)) files.push_back(entry.path());
  }
  // Fixed digits: the order of names is the order of writing.
  std::sort(files.begin(), files.end());
  return files;
}

std::uint64_t last_number(const fs::path& directory, std::string_view name) {
  const auto files = list_raw_files(directory, name);
  return files.empty() ? 0 : *number_of_raw_file(files.back(), name);
}

Result<RawFile> RawFile::create(const fs::path& directory, std::string_view name, std::uint64_t number,
                                std::uint64_t bytes, std::uint64_t first_frame) {
  const fs::path path = directory / fmt::format("{}-{:08}.raw", name, number);
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
  Fd file{::open(path.c_str(), flags | O_DIRECT, 0644)};
  bool direct = static_cast<bool>(file);
  if (!file && errno == EINVAL) {
    // No O_DIRECT on this file system (old tmpfs, some FUSE). The failed call may have created the file.
    ::unlink(path.c_str());
    file = Fd(::open(path.c_str(), flags, 0644));
  }
  if (!file) return os_error("create " + path.string());
  const bool reserved = direct && reserve(file.get(), bytes);
  fs::path index_path = path;
  index_path.replace_extension(".idx");
  Fd index{::open(index_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  IndexHead head;
  head.first_frame = first_frame;
  if (index && ::write(index.get(), &head, sizeof(head)) != sizeof(head)) index = Fd();
  return RawFile(std::move(file), std::move(index), path, direct, reserved);
}

void RawFile::add_index(const IndexEntry& entry) noexcept {
  if (index_ && ::write(index_.get(), &entry, sizeof(entry)) != sizeof(entry)) index_ = Fd();
}

Result<Done> sync_file_system(const fs::path& directory) {
  const Fd fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!fd || ::syncfs(fd.get()) != 0) return os_error("bring the files in " + directory.string() + " to the disk");
  return Done{};
}

void RawFile::cut(std::uint64_t bytes) noexcept {
  if (bytes == 0) {
    ::unlink(path_.c_str());
    std::error_code ignored;
    fs::remove(fs::path(path_).replace_extension(".idx"), ignored);
    fs::remove(notes_path(path_), ignored);
    return;
  }
  end_at(bytes);
}

void RawFile::end_at(std::uint64_t bytes) noexcept {
  const auto end = static_cast<off_t>(bytes);
  struct stat st {};
  if (::fstat(file_.get(), &st) == 0 && st.st_size > end) {
    [[maybe_unused]] const int ignored = ::ftruncate(file_.get(), end);
  }
}

Result<std::vector<IndexEntry>> read_index(const fs::path& idx_file) {
  auto index = open_index(idx_file);
  if (!index) return index.error();
  std::vector<IndexEntry> entries;
  IndexEntry entry;
  // Entries that do not go on where the last one was are a stranger's, or damaged: what comes before them will do.
  while (read_entry(index->in, entry) && (entries.empty() || follows(entries.back(), entry))) entries.push_back(entry);
  return entries;
}

std::optional<IndexEntry> first_index_entry(const fs::path& idx_file) {
  auto index = open_index(idx_file);
  IndexEntry entry;
  if (!index || !read_entry(index->in, entry)) return std::nullopt;
  return entry;
}

std::optional<std::uint64_t> first_frame_of(const fs::path& idx_file) {
  const auto index = open_index(idx_file);
  return index ? std::optional(index->head.first_frame) : std::nullopt;
}

Result<Done> HomeDisk::check_still_there(const fs::path& directory) {
  std::error_code failed;
  const fs::path whole = fs::absolute(directory, failed).lexically_normal();
  struct stat st {};
  if (device_) {
    fs::path there = whole;
    while (::stat(there.c_str(), &st) != 0 && there.has_relative_path()) there = there.parent_path();
    const bool fell = st.st_dev != *device_ && std::find(below_.begin(), below_.end(), st.st_dev) != below_.end();
    if (!fell) return Done{};
    return work_error(
        "store in " + directory.string() +
        ": the path leads to another file system now, that of a directory above it; mount the disk again");
  }
  if (::stat(whole.c_str(), &st) != 0) return Done{};
  device_ = st.st_dev;
  for (fs::path up = whole; up.has_relative_path();) {
    up = up.parent_path();
    if (::stat(up.c_str(), &st) == 0 && st.st_dev != *device_) below_.push_back(st.st_dev);
  }
  return Done{};
}

}  // namespace vigia::vf
