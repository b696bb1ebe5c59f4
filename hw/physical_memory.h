// SPDX-License-Identifier: Apache-2.0
// Where memory of this process lies physically. Source: the kernel's Documentation/admin-guide/mm/pagemap.rst.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hw/result.h"

namespace vigia::hw {

// The physical address of each page_size bytes of memory, which is page aligned and present. Needs CAP_SYS_ADMIN. Only
// pages that do not move keep theirs: hugepages do not.
Result<std::vector<std::uint64_t>> physical_addresses(std::span<const std::byte> memory, std::size_t page_size);

// Which of the pages (by index, in physical order) are `count` that follow one another; empty: there are none. Pure.
std::optional<std::vector<std::size_t>> find_contiguous(std::span<const std::uint64_t> pages, std::size_t page_size,
                                                        std::size_t count);

}  // namespace vigia::hw
