// SPDX-License-Identifier: Apache-2.0
#include "hw/counter_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "hw/fd.h"

namespace vigia::hw {
namespace {

struct FileHeader {
  char magic[8];
  std::uint32_t version, count;
  std::uint64_t pid;
  char pad[40];
};
static_assert(sizeof(FileHeader) == 64 && offsetof(FileHeader, pid) == 16);

struct Entry {
  char name[56];  // NUL-padded, last byte always NUL
  std::uint64_t value;
};
static_assert(sizeof(Entry) == 64 && offsetof(Entry, value) == 56);

constexpr char kMagic[8] = {'V', 'I', 'G', 'I', 'A', 'C', 'N', 'T'};
constexpr std::uint32_t kVersion = 1;
// Far above what 64 functions need (about 700); keeps a foreign file from costing memory.
constexpr std::uint32_t kMaxCounters = 1u << 16;
constexpr std::size_t kNameBytes = sizeof(Entry::name) - 1;

std::size_t file_size(std::size_t count) { return sizeof(FileHeader) + count * sizeof(Entry); }

Entry* entries(std::byte* data) {
  // SAFETY: create() made the mapping with this layout, and it starts on a page.
  return reinterpret_cast<Entry*>(data + sizeof(FileHeader));
}

// The name in an entry; empty when it is not a proper name.
std::string_view name_in(const Entry& entry) {
  const std::size_t length = ::strnlen(entry.name, sizeof entry.name);
  return length <= kNameBytes ? std::string_view(entry.name, length) : std::string_view();
}

void check_names(std::span<const std::string> names) {
  check(names.size() <= kMaxCounters);
  std::set<std::string_view> seen;
  for (const std::string& name : names) {
    check(!name.empty() && name.size() <= kNameBytes && name.find('\0') == name.npos);
    check(seen.insert(name).second);
  }
}

void fill(std::byte* data, std::span<const std::string> names) {
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.count = static_cast<std::uint32_t>(names.size());
  header.pid = static_cast<std::uint64_t>(::getpid());
  std::memcpy(data, &header, sizeof header);
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::memcpy(entries(data)[i].name, names[i].data(), names[i].size());
  }
}

// A fresh file beside path that is renamed over it when complete: a reader never sees half of it, and a process that
// still has an older file mapped keeps its memory.
Result<std::byte*> map_new_file(const std::filesystem::path& path, std::size_t size,
                                std::span<const std::string> names) {
  const std::string fresh = fmt::format("{}.{}.new", path.native(), ::getpid());
  const Fd fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd) return os_error("create counter file " + path.native());
  const auto give_up = [&](const char* step, int error) {
    ::unlink(fresh.c_str());
    return os_error(fmt::format("create counter file {}: {}", path.native(), step), error);
  };
  // Blocks are taken now: a full disk is an error here and not SIGBUS at an increment later.
  if (const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(size)); error != 0) {
    return give_up("allocate", error);
  }
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (p == MAP_FAILED) return give_up("mmap", errno);
  fill(static_cast<std::byte*>(p), names);
  if (::rename(fresh.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::munmap(p, size);
    return give_up("rename into place", error);
  }
  return static_cast<std::byte*>(p);
}

Result<std::vector<std::byte>> read_file(const std::filesystem::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return os_error("open counter file " + path.native());
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return os_error("stat counter file " + path.native());
  if (!S_ISREG(st.st_mode)) return input_error("counter file " + path.native() + ": not a regular file");
  const auto size = static_cast<std::size_t>(st.st_size);
  if (size > file_size(kMaxCounters)) {
    return input_error(fmt::format("counter file {}: {} bytes is more than any counter file has; is it another file?",
                                   path.native(), size));
  }
  std::vector<std::byte> bytes(size);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd.get(), bytes.data() + done, size - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("read counter file " + path.native());
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

// A name that is there as such is left alone.
void add_sums(std::map<std::string, std::uint64_t>& values) {
  std::map<std::string, std::uint64_t> sums;
  for (const auto& [name, value] : values) {
    const auto at = name.find('@'), dot = name.find('.');
    if (dot != name.npos && at < dot) sums[name.substr(0, at) + name.substr(dot)] += value;
  }
  values.merge(sums);
}

}  // namespace

Result<CounterFile> CounterFile::create(const std::filesystem::path& path, std::span<const std::string> names) {
  check_names(names);
  const std::size_t size = file_size(names.size());
  if (!path.empty()) {
    auto data = map_new_file(path, size, names);
    if (!data) return data.error();
    return CounterFile(*data, size);
  }
  void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return os_error("map memory for counters");
  fill(static_cast<std::byte*>(p), names);
  return CounterFile(static_cast<std::byte*>(p), size);
}

CounterFile::CounterFile(CounterFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

CounterFile& CounterFile::operator=(CounterFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

CounterFile::~CounterFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Counter CounterFile::at(std::size_t index) const {
  check(size_ >= sizeof(FileHeader) && index < (size_ - sizeof(FileHeader)) / sizeof(Entry));
  return Counter(&entries(data_)[index].value);
}

Counter CounterFile::named(std::string_view name) const {
  const std::size_t count = size_ == 0 ? 0 : (size_ - sizeof(FileHeader)) / sizeof(Entry);
  for (std::size_t i = 0; i < count; ++i) {
    if (name_in(entries(data_)[i]) == name) return at(i);
  }
  check(false);
  return {};
}

std::map<std::string, std::uint64_t> CounterFile::snapshot() const {
  std::map<std::string, std::uint64_t> values;
  const std::size_t count = size_ == 0 ? 0 : (size_ - sizeof(FileHeader)) / sizeof(Entry);
  for (std::size_t i = 0; i < count; ++i) values.emplace(name_in(entries(data_)[i]), at(i).value());
  add_sums(values);
  return values;
}

Result<CounterSnapshot> read_counters(const std::filesystem::path& path) {
  auto bytes = read_file(path);
  if (!bytes) return bytes.error();
  const auto refuse = [&](std::string_view why) {
    return input_error(fmt::format("counter file {}: {}", path.native(), why));
  };
  FileHeader header{};
  if (bytes->size() < sizeof header) return refuse(fmt::format("{} bytes is shorter than its header", bytes->size()));
  std::memcpy(&header, bytes->data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return refuse("does not begin as a counter file does");
  if (header.version != kVersion) {
    return refuse(fmt::format("version {}, this program reads {}", header.version, kVersion));
  }
  if (header.count > kMaxCounters || bytes->size() != file_size(header.count)) {
    return refuse(fmt::format("{} bytes do not fit {} counters; cut short?", bytes->size(), header.count));
  }
  CounterSnapshot snapshot;
  snapshot.pid = header.pid;
  for (std::size_t i = 0; i < header.count; ++i) {
    Entry entry{};
    std::memcpy(&entry, bytes->data() + file_size(i), sizeof entry);
    const std::string_view name = name_in(entry);
    if (name.empty()) return refuse(fmt::format("counter {} has no proper name", i));
    if (!snapshot.values.emplace(name, entry.value).second)
      return refuse(fmt::format("counter {} appears twice", name));
  }
  add_sums(snapshot.values);
  return snapshot;
}

}  // namespace vigia::hw
