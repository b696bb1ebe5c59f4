// SPDX-License-Identifier: Apache-2.0
// A memfd whose pages are all there.
#pragma once

#include <cstddef>
#include <string>

#include "hw/fd.h"

namespace vigia::hw {

struct PopulatedFile {
  Fd fd;
  std::byte* data = nullptr;  // the mapping, the caller's to unmap; nullptr: failed
  int error = 0;              // errno of the step that failed
  const char* step = "";
};

// Maps a fresh memfd and makes every page present. No huge page free, or a cgroup limit, shows here and not as SIGBUS
// in somebody's hot loop.
// name: at most 249 bytes. size: a multiple of the page size. memfd_flags: MFD_HUGETLB and the size of its pages, or 0.
PopulatedFile populate_file(const std::string& name, std::size_t size, unsigned memfd_flags);

constexpr std::size_t round_up(std::size_t bytes, std::size_t page) { return (bytes + page - 1) / page * page; }

}  // namespace vigia::hw
