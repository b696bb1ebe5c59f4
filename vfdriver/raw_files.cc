// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/raw_files.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "vfdriver/clock_notes.h"

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kDigits = 8;

// Opens an index and passes its head.
Result<std::ifstream> open_index(const fs::path& idx_file) {
  std::ifstream in(idx_file, std::ios::binary);
  if (!in) return os_error("open index " + idx_file.string());
  IndexHead head, expected;
  // SAFETY: plain integers, any bytes are valid values.
  in.read(reinterpret_cast<char*>(&head), sizeof(head));
  if (!in || !std::equal(head.magic, head.magic + 8, expected.magic) || head.version != 1 ||
      head.entry_bytes != sizeof(IndexEntry)) {
    return input_error("index " + idx_file.string() + ": not a time index of vigia-capture");
  }
  return in;
}

bool read_entry(std::ifstream& in, IndexEntry& entry) {
  // SAFETY: plain integers, any bytes are valid values.
  return static_cast<bool>(in.read(reinterpret_cast<char*>(&entry), sizeof(entry)));
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

Result<RawFile> RawFile::create(const fs::path& directory, std::string_view name, std::uint64_t number) {
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
  fs::path index_path = path;
  index_path.replace_extension(".idx");
  Fd index{::open(index_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  const IndexHead head;
  if (index && ::write(index.get(), &head, sizeof(head)) != sizeof(head)) index = Fd();
  return RawFile(std::move(file), std::move(index), path, direct);
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
  const auto end = static_cast<off_t>(bytes);
  struct stat st {};
  if (::fstat(file_.get(), &st) == 0 && st.st_size > end) {
    [[maybe_unused]] const int ignored = ::ftruncate(file_.get(), end);
  }
}

Result<std::vector<IndexEntry>> read_index(const fs::path& idx_file) {
  auto in = open_index(idx_file);
  if (!in) return in.error();
  std::vector<IndexEntry> entries;
  IndexEntry entry;
  while (read_entry(*in, entry)) entries.push_back(entry);
  return entries;
}

std::optional<IndexEntry> first_index_entry(const fs::path& idx_file) {
  auto in = open_index(idx_file);
  IndexEntry entry;
  if (!in || !read_entry(*in, entry)) return std::nullopt;
  return entry;
}

unsigned make_room(const fs::path& directory, std::string_view name, std::uint64_t quota, std::uint64_t room) {
  auto files = list_raw_files(directory, name);
  std::uint64_t total = 0;
  std::error_code ignored;
  std::vector<std::uint64_t> sizes;
  for (const auto& file : files) {
    sizes.push_back(fs::file_size(file, ignored));
    if (ignored) sizes.back() = 0;
    total += sizes.back();
  }
  unsigned deleted = 0;
  for (std::size_t i = 0; i < files.size() && total + room > quota; ++i) {
    fs::remove(files[i], ignored);
    fs::remove(notes_path(files[i]), ignored);
    fs::remove(files[i].replace_extension(".idx"), ignored);
    total -= sizes[i];
    ++deleted;
  }
  return deleted;
}

}  // namespace vigia::vf
