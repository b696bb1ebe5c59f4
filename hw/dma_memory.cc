// SPDX-License-Identifier: Apache-2.0
#include "hw/dma_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <limits>
#include <string>

#include "hw/log.h"
#include "hw/populated_file.h"

namespace vigia::hw {
namespace {

struct PageKind {
  std::size_t size;        // bytes
  std::size_t worth_from;  // smallest request that gets this kind, bytes
  unsigned memfd_flags;
};
constexpr std::size_t kMiB = 1u << 20, kGiB = 1u << 30;
constexpr std::array kHugePages{
    PageKind{kGiB, kGiB, MFD_HUGETLB | MFD_HUGE_1GB},
    PageKind{2 * kMiB, 0, MFD_HUGETLB | MFD_HUGE_2MB},
};

void remark_ordinary_pages() {
  static std::atomic<bool> said = false;
  if (said.exchange(true, std::memory_order_relaxed)) return;  // relaxed: orders nothing, only counts to one
  log::info(
      "DMA memory lies on ordinary pages, because no huge page is free: all works, somewhat slower. As root: "
      "echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
}

}  // namespace

Result<DmaMemory> DmaMemory::allocate(std::size_t bytes, std::string_view name) {
  const auto ordinary = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (bytes == 0 || bytes > std::numeric_limits<std::size_t>::max() / 2) {
    return work_error(fmt::format("allocate DMA memory {}: {} bytes is not a size that can be had", name, bytes));
  }
  const std::string file_name = std::string(name.substr(0, 200));  // the kernel takes at most 249
  for (const PageKind& kind : kHugePages) {
    if (bytes < kind.worth_from) continue;
    const std::size_t size = round_up(bytes, kind.size);
    PopulatedFile a = populate_file(file_name, size, kind.memfd_flags);
    if (a.data != nullptr) return DmaMemory(std::move(a.fd), a.data, size, kind.size);
  }
  const std::size_t size = round_up(bytes, ordinary);
  PopulatedFile a = populate_file(file_name, size, 0);
  if (a.data == nullptr) {
    return os_error(fmt::format("allocate DMA memory {} ({} bytes): {}", name, size, a.step), a.error);
  }
  remark_ordinary_pages();
  return DmaMemory(std::move(a.fd), a.data, size, ordinary);
}

DmaMemory::DmaMemory(DmaMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      page_size_(std::exchange(other.page_size_, 0)) {}

DmaMemory& DmaMemory::operator=(DmaMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(page_size_, other.page_size_);
  return *this;
}

DmaMemory::~DmaMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace vigia::hw
