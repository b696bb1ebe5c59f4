// SPDX-License-Identifier: Apache-2.0
// DmaMemory on pages that follow one another physically. The kernel gives hugepages in any order: take some, look where
// they lie, map those that fit in the order in which they lie, give back the rest.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <sys/mman.h>

#include <cerrno>

#include "hw/dma_memory.h"
#include "hw/physical_memory.h"
#include "hw/populated_file.h"

namespace vigia::hw {
namespace {

constexpr std::size_t kHuge = 2u << 20;

// Maps the file's pages, in that order, one after the other. MAP_FAILED with errno set if that fails.
void* map_in_order(int fd, const std::vector<std::size_t>& pages) {
  const std::size_t size = pages.size() * kHuge;
  void* const whole = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (whole == MAP_FAILED) return whole;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    void* const at = static_cast<std::byte*>(whole) + i * kHuge;
    if (::mmap(at, kHuge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
               static_cast<off_t>(pages[i] * kHuge)) == MAP_FAILED) {
      const int failure = errno;
      ::munmap(whole, size);
      errno = failure;
      return MAP_FAILED;
    }
  }
  return whole;
}

void give_back_others(int fd, std::size_t all, const std::vector<std::size_t>& kept) {
  std::vector<bool> keep(all, false);
  for (const std::size_t page : kept) keep[page] = true;
  for (std::size_t page = 0; page < all; ++page) {
    // A page that stays costs memory and nothing else.
    if (!keep[page]) {
      ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(page * kHuge), kHuge);
    }
  }
}

Error too_few(std::string_view name, std::size_t bytes, std::size_t wanted, std::size_t looked_at) {
  return work_error(fmt::format(
      "allocate DMA memory {} ({} bytes): {} hugepages of 2 MiB that follow one another are wanted, {}; as root: echo "
      "{} > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages, best right after boot, or ask for less "
      "(--rx-ring)",
      name, bytes, wanted,
      looked_at == 0 ? std::string("fewer are free") : fmt::format("none such are among {} free ones", looked_at),
      wanted * 8));
}

}  // namespace

Result<DmaMemory> DmaMemory::allocate_contiguous(std::size_t bytes, std::string_view name) {
  if (bytes == 0 || bytes > (std::size_t{1} << 40)) {
    return work_error(fmt::format("allocate DMA memory {}: {} bytes is not a size that can be had", name, bytes));
  }
  const std::string file_name(name.substr(0, 200));  // the kernel takes at most 249
  const std::size_t count = round_up(bytes, kHuge) / kHuge;
  std::size_t looked_at = 0;
  for (std::size_t pages = count; pages <= count * 16; pages *= 2) {
    PopulatedFile file = populate_file(file_name, pages * kHuge, MFD_HUGETLB | MFD_HUGE_2MB);
    if (file.data == nullptr) break;  // no more are free
    looked_at = pages;
    const auto addresses = physical_addresses({file.data, pages * kHuge}, kHuge);
    ::munmap(file.data, pages * kHuge);
    if (!addresses) return addresses.error();
    const auto run = find_contiguous(*addresses, kHuge, count);
    if (!run) continue;
    void* const mapped = map_in_order(file.fd.get(), *run);
    if (mapped == MAP_FAILED) return os_error(fmt::format("allocate DMA memory {}: mmap", name));
    give_back_others(file.fd.get(), pages, *run);
    return DmaMemory(std::move(file.fd), static_cast<std::byte*>(mapped), count * kHuge, kHuge);
  }
  return too_few(name, bytes, count, looked_at);
}

}  // namespace vigia::hw
