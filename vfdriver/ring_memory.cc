// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/ring_memory.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <vector>

#include "hw/meminfo.h"

namespace vigia::vf {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHugePage = 2u << 20;
#ifndef MADV_COLLAPSE  // Linux 6.1
constexpr int MADV_COLLAPSE = 25;
#endif
// An upper bound against nonsense; far beyond any machine's memory for one queue.
constexpr std::uint64_t kMaxDataBytes = 1ull << 40;
constexpr std::uint64_t kMaxSegmentBytes = 1ull << 44;
// Part of memfd since Linux 5.1; glibc 2.36 has it, older headers do not.
constexpr int kSealFutureWrite = 0x0010;

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

std::uint32_t marks_of(const RingGeometry& g) { return static_cast<std::uint32_t>(g.data_bytes / g.mark_bytes + 2); }

struct Layout {
  std::uint64_t mark_offset, data_offset, total;
};

Layout layout_of(const RingGeometry& g, std::uint64_t page_bytes) {
  const std::uint64_t mark_offset = kPage;
  const std::uint64_t data_offset = round_up(mark_offset + marks_of(g) * sizeof(RingMark), page_bytes);
  return {mark_offset, data_offset, data_offset + g.data_bytes};
}

// To which the data are aligned, whether on hugepages or not.
std::uint64_t page_bytes_of(const RingGeometry& g) { return g.data_bytes % kHugePage == 0 ? kHugePage : kPage; }

// The kernel's hugepages for the data of a new memfd, where it finds any: while the memory is empty, so that it has
// nothing to copy. Bounded, for it may have to move others' pages first.
bool find_hugepages(int fd, const Layout& layout) {
  constexpr std::uint64_t kPiece = 16 * kHugePage;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  const std::uint64_t size = layout.total - layout.data_offset;
  void* range = ::mmap(nullptr, size + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return false;
  // SAFETY: the rounded address and `size` bytes from it lie in the range just reserved.
  auto* data = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(range), kHugePage));
  bool found = ::mmap(data, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                      static_cast<off_t>(layout.data_offset)) != MAP_FAILED;
  for (std::uint64_t at = 0; found && at < size; at += kPiece) {
    const std::uint64_t piece = std::min(kPiece, size - at);
    // A page in each: the kernel makes no hugepage of nothing.
    for (std::uint64_t page = 0; page < piece; page += kHugePage) data[at + page] = std::byte{0};
    found = ::madvise(data + at, piece, MADV_COLLAPSE) == 0 && std::chrono::steady_clock::now() < deadline;
  }
  ::munmap(range, size + kHugePage);
  return found;
}

// A memfd whose pages all exist, so that the engine never faults on an empty pool.
struct NewMemory {
  Fd fd;
  bool huge;
};
Result<NewMemory> new_memory(std::string_view name, const Layout& layout, std::uint64_t page_bytes, bool reserved) {
  const std::string label = "vigia-ring-" + std::string(name);
  Fd fd{::memfd_create(label.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | (reserved ? unsigned{MFD_HUGETLB} : 0u))};
  const std::string what = fmt::format("make a capture ring of {} MiB", layout.total >> 20);
  if (!fd) return os_error(what);
  const auto size = static_cast<off_t>(layout.total);
  bool made = ::ftruncate(fd.get(), size) == 0;
  const bool huge = made && (reserved || (page_bytes == kHugePage && find_hugepages(fd.get(), layout)));
  made = made && ::fallocate(fd.get(), 0, 0, size) == 0;
  if (!made) {
    Error error = os_error(what);
    error.text += "; ask for a smaller --ring or free memory";
    return error;
  }
  return NewMemory{std::move(fd), huge};
}

void copy_text(char* to, std::size_t room, std::string_view text) {
  const std::size_t n = std::min(room - 1, text.size());
  std::copy_n(text.data(), n, to);
  to[n] = '\0';
}

}  // namespace

Result<Done> validate(const RingGeometry& g) {
  std::vector<std::string> broken;
  if (g.mark_bytes == 0 || g.mark_bytes % kPage != 0 || g.mark_bytes > kMaxSegmentBytes) {
    return input_error(fmt::format("ring: landmark distance {} is not a multiple of 4096", g.mark_bytes));
  }
  if (g.max_captured < 60 || g.max_captured > kMaxCaptured) {
    broken.push_back(fmt::format("longest frame {} is not in 60..65535", g.max_captured));
  }
  if (g.mark_bytes < 2ull * (kRecordHeader + g.max_captured)) {
    broken.push_back(fmt::format("landmark distance {} holds less than two records of {} bytes", g.mark_bytes,
                                 kRecordHeader + g.max_captured));
  }
  if (g.data_bytes % g.mark_bytes != 0 || g.data_bytes / g.mark_bytes < 4 || g.data_bytes > kMaxDataBytes) {
    broken.push_back(fmt::format("size {} is not a multiple of {} between {} and {}", g.data_bytes, g.mark_bytes,
                                 4 * g.mark_bytes, kMaxDataBytes));
  }
  if (g.segment_bytes == 0 || g.segment_bytes % g.mark_bytes != 0 || g.segment_bytes > kMaxSegmentBytes) {
    broken.push_back(
        fmt::format("file size {} is not a multiple of {} up to {}", g.segment_bytes, g.mark_bytes, kMaxSegmentBytes));
  }
  if (broken.empty()) return Done{};
  std::string text = "ring: ";
  for (std::size_t i = 0; i < broken.size(); ++i) text += (i ? "; " : "") + broken[i];
  return input_error(text);
}

Result<Done> check_memory(const RingGeometry& geometry, std::optional<std::uint64_t> available) {
  const std::uint64_t total = layout_of(geometry, page_bytes_of(geometry)).total;
  if (!available || total <= *available) return Done{};
  return Error{
      std::errc::not_enough_memory,
      fmt::format("make a capture ring of {} MiB: only {} MiB of memory are available; ask for a smaller --ring "
                  "(each queue has one) or free memory",
                  total >> 20, *available >> 20)};
}

Result<RingMemory> RingMemory::create(const RingGeometry& geometry, std::string_view name) {
  if (auto ok = validate(geometry); !ok) return ok.error();
  const std::uint64_t page_bytes = page_bytes_of(geometry);
  const Layout layout = layout_of(geometry, page_bytes);
  Result<NewMemory> memory = page_bytes == kHugePage ? new_memory(name, layout, page_bytes, true)
                                                     : Result<NewMemory>(work_error("not a multiple of 2 MiB"));
  if (!memory) {
    // Now, because the kernel would promise it, and then kill for it: this process or another.
    if (auto ok = check_memory(geometry, hw::memory_field("/proc/meminfo", "MemAvailable:")); !ok) return ok.error();
    memory = new_memory(name, layout, page_bytes, false);
  }
  if (!memory) return memory.error();
  RingMemory ring(std::move(memory->fd), geometry, marks_of(geometry), page_bytes);
  if (auto ok = ring.map(layout.mark_offset, layout.data_offset, true); !ok) return ok.error();
  ring.huge_ = memory->huge;
  // Each copy has page tables of its own; where the hugepages were reserved this does nothing.
  if (ring.huge_) (void)::madvise(ring.data_, 2 * geometry.data_bytes, MADV_COLLAPSE);
  // Our own mapping above stays writable; every later one, here or elsewhere, is read-only, and the size is fixed.
  if (::fcntl(ring.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | kSealFutureWrite) != 0) {
    return os_error("seal the capture ring against writers and resizing (needs Linux 5.1)");
  }
  RingHeader& h = ring.header();
  std::copy_n(RingHeader::kMagic, sizeof(h.magic), h.magic);
  h.version = RingHeader::kVersion;
  h.writer_pid = static_cast<std::uint32_t>(::getpid());
  h.mark_offset = layout.mark_offset;
  h.data_offset = layout.data_offset;
  h.data_bytes = geometry.data_bytes;
  h.segment_bytes = geometry.segment_bytes;
  h.mark_bytes = geometry.mark_bytes;
  h.mark_count = ring.mark_count_;
  h.max_captured = geometry.max_captured;
  copy_text(h.name, sizeof(h.name), name);
  // Relaxed: nobody else has the descriptor yet; sending it to a listener orders everything above.
  h.state.store(RingHeader::running, std::memory_order_relaxed);
  return ring;
}

Result<RingMemory> RingMemory::open(Fd fd) {
  const auto refuse = [](std::string_view why) {
    return Error{std::errc::protocol_error, fmt::format("attach to capture ring: {}; is the other side a vigia-capture "
                                                        "of this version?",
                                                        why)};
  };
  // Without the seal the other side could shrink the memory under us, which is a SIGBUS at the next read.
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return refuse("the memory is not sealed against shrinking");
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return os_error("size of capture ring");
  const auto size = static_cast<std::uint64_t>(st.st_size);
  if (size < kPage) return refuse("too small for a header");
  // Not st_blksize: where the kernel gives shared memory hugepages by itself, that of ordinary memory is 2 MiB too.
  struct statfs system {};
  const bool huge = ::fstatfs(fd.get(), &system) == 0 && system.f_type == HUGETLBFS_MAGIC;
  const std::uint64_t head_bytes = huge ? kHugePage : kPage;
  void* page = ::mmap(nullptr, head_bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (page == MAP_FAILED) return os_error("map the header of the capture ring");
  // SAFETY: a page is mapped, a header is smaller, and every bit pattern is a valid header of plain integers.
  const auto* h = static_cast<const RingHeader*>(page);
  const bool ours = std::equal(h->magic, h->magic + sizeof(h->magic), RingHeader::kMagic);
  const std::uint32_t version = h->version, mark_count = h->mark_count;
  const std::uint64_t mark_offset = h->mark_offset, data_offset = h->data_offset;
  const RingGeometry geometry{h->data_bytes, h->segment_bytes, h->mark_bytes, h->max_captured};
  ::munmap(page, head_bytes);
  if (!ours) return refuse("no ring magic");
  if (version != RingHeader::kVersion)
    return refuse(fmt::format("ring version {}, not {}", version, RingHeader::kVersion));
  if (auto ok = validate(geometry); !ok) return refuse(ok.error().text);
  const std::uint64_t page_bytes = page_bytes_of(geometry);
  const Layout expected = layout_of(geometry, page_bytes);
  if ((huge && page_bytes != kHugePage) || mark_count != marks_of(geometry) || mark_offset != expected.mark_offset ||
      data_offset != expected.data_offset || size != expected.total) {
    return refuse("its parts do not add up to its size");
  }
  RingMemory ring(std::move(fd), geometry, mark_count, page_bytes);
  if (auto ok = ring.map(mark_offset, data_offset, false); !ok) return ok.error();
  ring.huge_ = huge;
  return ring;
}

Result<Done> RingMemory::map(std::uint64_t mark_offset, std::uint64_t data_offset, bool writable) {
  const int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  const std::uint64_t size = geometry_.data_bytes;
  void* control = ::mmap(nullptr, data_offset, protection, MAP_SHARED | MAP_POPULATE, fd_.get(), 0);
  if (control == MAP_FAILED) return os_error("map the control pages of the capture ring");
  control_bytes_ = data_offset;
  // SAFETY: data_offset covers header and marks (layout_of); both are made of integers and lock-free atomics.
  header_ = static_cast<RingHeader*>(control);
  marks_ = reinterpret_cast<RingMark*>(static_cast<std::byte*>(control) + mark_offset);

  // An address range for both copies first, so that the second lands right behind the first; aligned for hugepages.
  void* range = ::mmap(nullptr, 2 * size + page_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return os_error("reserve addresses for the capture ring");
  const auto start = reinterpret_cast<std::uintptr_t>(range);
  const std::uintptr_t first = round_up(start, page_bytes_);
  const std::uintptr_t end = start + 2 * size + page_bytes_;
  if (first > start) ::munmap(range, first - start);
  // SAFETY: first lies in the range just reserved.
  data_ = static_cast<std::byte*>(range) + (first - start);
  if (first + 2 * size < end) ::munmap(data_ + 2 * size, end - first - 2 * size);
  for (const std::uint64_t shift : {std::uint64_t{0}, size}) {
    void* at = ::mmap(data_ + shift, size, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd_.get(),
                      static_cast<off_t>(data_offset));
    if (at == MAP_FAILED) return os_error("map the data of the capture ring");
  }
  return Done{};
}

void RingMemory::unmap() noexcept {
  if (header_) ::munmap(header_, control_bytes_);
  if (data_) ::munmap(data_, 2 * geometry_.data_bytes);
  header_ = nullptr;
  data_ = nullptr;
}

RingMemory::RingMemory(RingMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      geometry_(other.geometry_),
      mark_count_(other.mark_count_),
      page_bytes_(other.page_bytes_),
      huge_(other.huge_),
      control_bytes_(other.control_bytes_),
      header_(std::exchange(other.header_, nullptr)),
      marks_(std::exchange(other.marks_, nullptr)),
      data_(std::exchange(other.data_, nullptr)) {}

RingMemory& RingMemory::operator=(RingMemory&& other) noexcept {
  if (this != &other) {
    std::destroy_at(this);
    new (this) RingMemory(std::move(other));
  }
  return *this;
}

RingMemory::~RingMemory() { unmap(); }

RingPoint RingMemory::published() const noexcept {
  // Bounded: only a writer that publishes while we look makes a try fail, and an honest one does so once per burst; a
  // foreign header may always.
  RingPoint point;
  for (int i = 0; i < 1000; ++i) {
    // Acquire: pairs with the release of the turn in RingWriter::publish; the end and the records before it are
    // visible.
    const std::uint64_t turn = header_->turn.load(std::memory_order_acquire);
    const RingMark& end = header_->ends[turn % 2];
    // Relaxed: validated below, as in a seqlock.
    point = {end.position.load(std::memory_order_relaxed), end.frame.load(std::memory_order_relaxed)};
    // Acquire fence: if either word was already of the turn after the next, the next turn is visible. Pairs with the
    // release fence in RingWriter::publish.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (header_->turn.load(std::memory_order_relaxed) == turn) break;
  }
  return point;
}

bool RingMemory::read_mark(std::uint64_t block, RingPoint& out) const noexcept {
  const RingMark& entry = mark(block);
  // Relaxed: validated below, as in a seqlock.
  out = {entry.position.load(std::memory_order_relaxed), entry.frame.load(std::memory_order_relaxed)};
  // Acquire fence: the loads above are done before reserve is read; pairs with the release fence after the writer's
  // store of reserve. If either word was already the overwriting one, reserve tells.
  std::atomic_thread_fence(std::memory_order_acquire);
  const std::uint64_t reserve = header_->reserve.load(std::memory_order_relaxed);
  // Written as a subtraction so that a foreign reserve cannot overflow it.
  const std::uint64_t block_start = block * geometry_.mark_bytes;
  if (reserve > block_start && reserve - block_start >= mark_count_ * geometry_.mark_bytes) return false;
  return out.position / geometry_.mark_bytes == block &&
         out.position <= header_->position.load(std::memory_order_acquire);
}

bool RingMemory::closed() const noexcept {
  // Acquire: pairs with the release in RingWriter::close; the last publication is visible.
  return header_->state.load(std::memory_order_acquire) != RingHeader::running;
}

}  // namespace vigia::vf
