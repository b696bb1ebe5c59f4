// SPDX-License-Identifier: Apache-2.0
#include "hw/register_pages.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

namespace vigia::hw {

RegisterPages::~RegisterPages() {
  for (const auto& pages : mapped_) ::munmap(pages.data(), pages.size());
}

Result<std::vector<Bar::Window>> RegisterPages::map(const std::string& what, int fd, std::uint64_t file_offset,
                                                    std::span<const MappableArea> areas) {
  std::vector<Bar::Window> windows;
  for (const MappableArea& area : areas) {
    void* p = ::mmap(nullptr, area.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                     static_cast<off_t>(file_offset + area.offset));
    if (p == MAP_FAILED) return os_error("map registers of " + what);
    const std::span<std::byte> pages(static_cast<std::byte*>(p), area.size);
    mapped_.push_back(pages);
    windows.push_back({static_cast<std::uint32_t>(area.offset), pages});
  }
  return windows;
}

void RegisterPages::show_ones() noexcept {
  if (std::exchange(ones_shown_, true)) return;
  for (const auto& pages : mapped_) {
    void* ones = ::mmap(nullptr, pages.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ones == MAP_FAILED) continue;  // out of memory: the last values stay, and alive() says what they are worth
    std::memset(ones, 0xff, pages.size());
    if (::mremap(ones, pages.size(), pages.size(), MREMAP_MAYMOVE | MREMAP_FIXED, pages.data()) == MAP_FAILED) {
      ::munmap(ones, pages.size());
    }
  }
}

}  // namespace vigia::hw
