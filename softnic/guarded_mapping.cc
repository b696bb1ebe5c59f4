// SPDX-License-Identifier: Apache-2.0
#include "softnic/guarded_mapping.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace vigia::softnic {
namespace {

// What the signal handler may read: plain lock-free words. begin == 0: free.
struct Slot {
  std::atomic<std::uintptr_t> begin = 0, end = 0;
  std::atomic<bool> truncated = false;
};
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// 64 functions with the most files that a DmaSpace keeps (dma_space.cc).
constexpr std::size_t kSlots = std::size_t{64} * 256;
std::array<Slot, kSlots> slots;
std::mutex slots_lock;  // taken by map() and the destructor, never by the handler
struct sigaction previous;

// Puts zero pages over the mapping that holds address. Only async-signal-safe work: atomics and the mmap system call.
bool replace_mapping(std::uintptr_t address) noexcept {
  for (Slot& slot : slots) {
    // acquire: pairs with the release in take_slot(), so that end belongs to this begin
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    const std::uintptr_t end = slot.end.load(std::memory_order_relaxed);  // ordered by the line above
    if (begin == 0 || address < begin || address >= end) continue;
    // Writable even where the file was not: whatever access faulted, the page must be there when it is tried again. The
    // whole mapping is replaced, because a part of a mapping of huge pages cannot be.
    // SAFETY: an address of our own mapping, taken from the table.
    void* const where = reinterpret_cast<void*>(begin);
    if (::mmap(where, end - begin, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
               0) == MAP_FAILED) {
      return false;
    }
    slot.truncated.store(true, std::memory_order_relaxed);  // a mark, it orders nothing
    return true;
  }
  return false;
}

void on_sigbus(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  // SAFETY: the fault's address as a number.
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (info->si_code == BUS_ADRERR && replace_mapping(address)) {
    errno = saved;
    return;
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else {
    // The access is tried again when we return and then ends the process as it would have without us.
    ::sigaction(SIGBUS, &previous, nullptr);
  }
  errno = saved;
}

bool install_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  // ONSTACK and NODEFER: a previous handler, such as a sanitizer's, may count on both.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ::sigemptyset(&action.sa_mask);
  return ::sigaction(SIGBUS, &action, &previous) == 0;
}

// Index of the slot that now holds the mapping, or kSlots when all are taken.
std::size_t take_slot(std::span<std::byte> memory) {
  const std::lock_guard guard(slots_lock);
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot& slot = slots[i];
    if (slot.begin.load(std::memory_order_relaxed) != 0) continue;  // under the lock
    // SAFETY: the mapping's address as a number.
    const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
    slot.truncated.store(false, std::memory_order_relaxed);
    slot.end.store(begin + memory.size(), std::memory_order_relaxed);
    slot.begin.store(begin, std::memory_order_release);  // publishes end to the handler
    return i;
  }
  return kSlots;
}

Result<std::size_t> whole_pages(int fd, std::size_t bytes) {
  constexpr std::size_t kPage = 4096, kHugetlbfs = 0x958458f6;  // HUGETLBFS_MAGIC: its block is the huge page
  struct statfs fs {};
  if (::fstatfs(fd, &fs) != 0) return os_error("look at the file system of DMA memory");
  const std::size_t page =
      static_cast<std::size_t>(fs.f_type) == kHugetlbfs ? static_cast<std::size_t>(fs.f_bsize) : kPage;
  if (bytes == 0 || bytes > SIZE_MAX - page) return work_error("map DMA memory: no usable size");
  return (bytes + page - 1) / page * page;
}

}  // namespace

Result<std::unique_ptr<GuardedMapping>> GuardedMapping::map(int fd, std::size_t bytes, bool writable) {
  static const bool installed = install_handler();
  if (!installed) return work_error("map DMA memory: no handler for SIGBUS could be installed");
  const auto size = whole_pages(fd, bytes);
  if (!size) return size.error();
  void* p = ::mmap(nullptr, *size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return os_error(fmt::format("map {} bytes of DMA memory", *size));
  const std::span<std::byte> memory(static_cast<std::byte*>(p), *size);
  const std::size_t slot = take_slot(memory);
  if (slot == kSlots) {
    ::munmap(p, *size);
    return Error{std::errc::not_enough_memory, fmt::format("map DMA memory: {} files are mapped already", kSlots)};
  }
  return std::unique_ptr<GuardedMapping>(new GuardedMapping(memory, slot));
}

GuardedMapping::~GuardedMapping() {
  const std::lock_guard guard(slots_lock);
  // Out of the table first: these addresses may belong to somebody else right after munmap.
  slots[slot_].begin.store(0, std::memory_order_release);
  ::munmap(memory_.data(), memory_.size());
}

bool GuardedMapping::truncated() const noexcept {
  return slots[slot_].truncated.load(std::memory_order_relaxed);  // a mark, it orders nothing
}

}  // namespace vigia::softnic
