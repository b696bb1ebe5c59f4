// SPDX-License-Identifier: Apache-2.0
// Reserving hugepages of one NUMA node (Linux: admin-guide/mm/hugetlbpage).
#pragma once

#include <cstdint>
#include <filesystem>

#include "hw/result.h"

namespace vigia::orch {

struct HugepageChange {
  std::uint64_t before = 0, after = 0, free = 0;  // pages of the node
};

// Asks the kernel for so many pages in all, 0 to give all back, and reads what came; fewer is no error here. size:
// bytes of a page. A node or a size that the host does not have is an input error that says what there is.
Result<HugepageChange> set_hugepages(const std::filesystem::path& root, unsigned node, std::uint64_t size,
                                     std::uint64_t count);

}  // namespace vigia::orch
