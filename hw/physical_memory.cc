// SPDX-License-Identifier: Apache-2.0
#include "hw/physical_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "hw/fd.h"

namespace vigia::hw {

Result<std::vector<std::uint64_t>> physical_addresses(std::span<const std::byte> memory, std::size_t page_size) {
  constexpr std::uint64_t kPresent = 1ull << 63, kFrame = (1ull << 55) - 1;
  const auto small = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const Fd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap) return os_error("find physical addresses: open /proc/self/pagemap");
  std::vector<std::uint64_t> addresses;
  for (std::size_t at = 0; at < memory.size(); at += page_size) {
    // SAFETY: only a number is made of the pointer.
    const std::uint64_t page = reinterpret_cast<std::uintptr_t>(memory.data() + at) / small;
    std::uint64_t entry = 0;
    if (::pread(pagemap.get(), &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)) != sizeof entry) {
      return os_error("find physical addresses: read /proc/self/pagemap");
    }
    if ((entry & kPresent) == 0) return work_error("find physical addresses: a page is not present");
    if ((entry & kFrame) == 0) {
      return work_error(
          "find physical addresses: the kernel hides them from this process; run as root (CAP_SYS_ADMIN)");
    }
    addresses.push_back((entry & kFrame) * small);
  }
  return addresses;
}

std::optional<std::vector<std::size_t>> find_contiguous(std::span<const std::uint64_t> pages, std::size_t page_size,
                                                        std::size_t count) {
  if (count == 0 || count > pages.size()) return std::nullopt;
  std::vector<std::size_t> order(pages.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return pages[a] < pages[b]; });
  std::size_t begin = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && pages[order[i]] - pages[order[i - 1]] != page_size) begin = i;
    if (i - begin + 1 == count) {
      const auto first = order.begin() + static_cast<std::ptrdiff_t>(begin);
      return std::vector<std::size_t>(first, first + static_cast<std::ptrdiff_t>(count));
    }
  }
  return std::nullopt;
}

}  // namespace vigia::hw
