// SPDX-License-Identifier: Apache-2.0
#include "softnic/dma_space.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstring>
#include <tuple>
#include <vector>

#include "softnic/guarded_mapping.h"

namespace vigia::softnic {
namespace {

// Announced by QEMU as its own limit; a client that wants more is not driving a NIC.
constexpr std::size_t kMaxRanges = 65535;
// Distinct files alive at a time. The kernel allows a process 65530 mappings: one client must not take what 64 need.
constexpr std::size_t kMaxFiles = 256;
// Address space that one client's files may take: 128 TiB of user space over 64 functions, less what we need ourselves.
constexpr std::uint64_t kMaxMapped = 1ull << 40;
// A file whose pages a user-space server delivers could stop us for as long as it likes (FUSE_SUPER_MAGIC).
constexpr std::size_t kFuse = 0x65735546;

struct Identity {
  dev_t device;
  ino_t inode;
  bool writable;
  friend bool operator==(const Identity&, const Identity&) = default;
};

Error refuse(hw::Iova iova, std::uint64_t bytes, std::string_view why) {
  return input_error(fmt::format("map DMA range {:#x} + {:#x}: {}", hw::to_integer(iova), bytes, why));
}

struct Examined {
  Identity identity;
  std::uint64_t size;
};

Result<Examined> examine(int fd, bool writable) {
  struct stat st {};
  struct statfs fs {};
  if (::fstat(fd, &st) != 0 || ::fstatfs(fd, &fs) != 0) return os_error("look at the file of a DMA range");
  if (!S_ISREG(st.st_mode)) return input_error("the file of a DMA range is no regular file or memfd");
  if (static_cast<std::size_t>(fs.f_type) == kFuse) return input_error("the file of a DMA range lies on FUSE");
  return Examined{{st.st_dev, st.st_ino, writable}, static_cast<std::uint64_t>(st.st_size)};
}

}  // namespace

// One file, mapped once for all its ranges; gone with the last of them.
struct DmaSpace::File {
  Identity identity;
  std::unique_ptr<GuardedMapping> mapping;
};

struct DmaSpace::Range {
  std::uint64_t start, bytes;
  std::byte* memory;  // of the first byte; nullptr: known but untouchable
  bool readable, writable;
  std::shared_ptr<File> file;

  // Whether [at, at + length) lies inside.
  bool holds(std::uint64_t at, std::uint64_t length) const noexcept {
    return at >= start && length <= bytes && at - start <= bytes - length;
  }
  bool allows(bool for_write) const noexcept { return memory != nullptr && (for_write ? writable : readable); }
};

DmaSpace::DmaSpace() = default;
DmaSpace::~DmaSpace() = default;

Result<Done> DmaSpace::map(hw::Iova iova, std::uint64_t bytes, Fd file, std::uint64_t offset, bool readable,
                           bool writable) {
  const std::uint64_t start = hw::to_integer(iova);
  if (bytes == 0) return refuse(iova, bytes, "no length");
  if (bytes - 1 > UINT64_MAX - start) return refuse(iova, bytes, "wraps around the end of the address space");
  const auto next = ranges_.upper_bound(start + (bytes - 1));
  if (next != ranges_.begin()) {
    const Range& before = std::prev(next)->second;
    if (before.start + (before.bytes - 1) >= start) return refuse(iova, bytes, "overlaps a range that is mapped");
  }
  if (ranges_.size() >= kMaxRanges) return refuse(iova, bytes, "too many ranges");
  Range range{start, bytes, nullptr, readable, writable, nullptr};
  if (file) {
    auto found = file_for(file.get(), offset, bytes, writable);
    if (!found) return refuse(iova, bytes, found.error().text);
    range.file = std::move(*found);
    range.memory = range.file->mapping->bytes().data() + offset;
  }
  ranges_.emplace(start, std::move(range));
  return Done{};
}

// The mapping of the whole file behind fd, an existing one where it reaches far enough.
Result<std::shared_ptr<DmaSpace::File>> DmaSpace::file_for(int fd, std::uint64_t offset, std::uint64_t bytes,
                                                           bool writable) {
  const auto examined = examine(fd, writable);
  if (!examined) return examined.error();
  if (offset > examined->size || bytes > examined->size - offset) {
    return input_error(fmt::format("file offset {:#x} is too far: the file has {:#x} bytes", offset, examined->size));
  }
  std::erase_if(files_, [](const std::weak_ptr<File>& f) { return f.expired(); });
  std::uint64_t mapped = 0;
  for (const auto& weak : files_) {
    const auto file = weak.lock();
    const std::uint64_t size = file->mapping->bytes().size();
    // A mapping that lost its file stays lost, even if the file has grown again.
    if (file->identity == examined->identity && offset + bytes <= size && !file->mapping->truncated()) return file;
    mapped += size;
  }
  if (files_.size() >= kMaxFiles || examined->size > kMaxMapped || mapped > kMaxMapped - examined->size) {
    return input_error(fmt::format("more than {} files or {} GiB in all", kMaxFiles, kMaxMapped >> 30));
  }
  auto mapping = GuardedMapping::map(fd, examined->size, writable);
  if (!mapping) return mapping.error();
  auto file = std::make_shared<File>(File{examined->identity, std::move(*mapping)});
  files_.push_back(file);
  return file;
}

Result<Done> DmaSpace::unmap(hw::Iova iova, std::uint64_t bytes) {
  const std::uint64_t start = hw::to_integer(iova);
  if (bytes == 0 || bytes - 1 > UINT64_MAX - start) {
    return input_error(fmt::format("unmap DMA range {:#x} + {:#x}: no such range can be", start, bytes));
  }
  const std::uint64_t last = start + (bytes - 1);
  auto from = ranges_.lower_bound(start);
  const auto to = ranges_.upper_bound(last);
  const auto cuts = [&](const Range& r) {
    return input_error(fmt::format("unmap DMA range {:#x} + {:#x}: it would cut the range {:#x} + {:#x} in two", start,
                                   bytes, r.start, r.bytes));
  };
  if (from != ranges_.begin()) {
    const Range& before = std::prev(from)->second;
    if (before.start + (before.bytes - 1) >= start) return cuts(before);
  }
  if (from != to) {
    const Range& end = std::prev(to)->second;
    if (end.start + (end.bytes - 1) > last) return cuts(end);
    ranges_.erase(from, to);
    forget_last();
    ++generation_;
  }
  return Done{};
}

void DmaSpace::clear() {
  if (!ranges_.empty()) ++generation_;
  forget_last();
  ranges_.clear();
  files_.clear();
}

std::size_t DmaSpace::ranges() const noexcept { return ranges_.size(); }

const DmaSpace::Range* DmaSpace::find(std::uint64_t at) noexcept {
  if (last_ != nullptr && last_->holds(at, 1)) return last_;
  const auto next = ranges_.upper_bound(at);
  if (next == ranges_.begin()) return nullptr;
  const Range& range = std::prev(next)->second;
  if (!range.holds(at, 1)) return nullptr;
  last_ = &range;
  window_ = range.allows(false) ? Window{range.start, range.bytes, range.memory, range.writable} : Window{};
  return last_;
}

std::byte* DmaSpace::translate_slowly(hw::Iova iova, std::size_t bytes, bool for_write) noexcept {
  const std::uint64_t start = hw::to_integer(iova);
  if (bytes != 0 && bytes - 1 > UINT64_MAX - start) return nullptr;
  const Range* range = find(start);
  if (range == nullptr || !range->allows(for_write)) return nullptr;
  std::byte* const begin = range->memory + (start - range->start);
  // Neighbours in address and in memory, such as pages that a vIOMMU announces one by one, are as good as one range.
  std::uint64_t reached = range->bytes - (start - range->start);
  while (reached < bytes) {
    const auto next = ranges_.find(range->start + range->bytes);
    if (next == ranges_.end() || !next->second.allows(for_write) || next->second.memory != begin + reached ||
        next->second.file != range->file) {
      return nullptr;
    }
    range = &next->second;
    reached += range->bytes;
  }
  return begin;
}

// Calls piece(memory, done, n) for each contiguous part of [iova, iova + bytes).
template <class Piece>
bool DmaSpace::walk(hw::Iova iova, std::size_t bytes, bool for_write, Piece piece) noexcept {
  std::uint64_t at = hw::to_integer(iova);
  if (bytes != 0 && bytes - 1 > UINT64_MAX - at) return false;
  for (std::size_t done = 0; done < bytes;) {
    const Range* range = find(at);
    if (range == nullptr || !range->allows(for_write)) return false;
    const std::uint64_t inside = at - range->start;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes - done, range->bytes - inside));
    piece(range->memory + inside, done, n);
    done += n;
    at += n;
  }
  return true;
}

bool DmaSpace::read(hw::Iova iova, std::span<std::byte> out) noexcept {
  return walk(iova, out.size(), false, [&](const std::byte* memory, std::size_t done, std::size_t n) {
    std::memcpy(out.data() + done, memory, n);
  });
}

bool DmaSpace::write(hw::Iova iova, std::span<const std::byte> in) noexcept {
  return walk(iova, in.size(), true,
              [&](std::byte* memory, std::size_t done, std::size_t n) { std::memcpy(memory, in.data() + done, n); });
}

bool DmaSpace::truncated() const noexcept {
  return std::any_of(files_.begin(), files_.end(), [](const std::weak_ptr<File>& weak) {
    const auto file = weak.lock();
    return file != nullptr && file->mapping->truncated();
  });
}

}  // namespace vigia::softnic
