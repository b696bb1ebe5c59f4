// SPDX-License-Identifier: Apache-2.0
// Register pages of one function, mapped into this process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hw/mmio.h"
#include "hw/result.h"
#include "hw/sparse_areas.h"

namespace vigia::hw {

// Owns the mappings; unmaps when destroyed. Not thread-safe.
class RegisterPages {
 public:
  RegisterPages() = default;
  RegisterPages(const RegisterPages&) = delete;
  RegisterPages& operator=(const RegisterPages&) = delete;
  ~RegisterPages();

  // One window per area. The region begins at file_offset of the file, which may be closed afterwards. what: for the
  // error, "BAR 0 of vfio:0000:01:00.0".
  Result<std::vector<Bar::Window>> map(const std::string& what, int fd, std::uint64_t file_offset,
                                       std::span<const MappableArea> areas);

  // Replaces the mapped pages by pages of ones, each in one step, so that a thread that reads them meanwhile sees the
  // old page or ones and never a hole. For a device that is gone; only the first call does something.
  void show_ones() noexcept;

 private:
  std::vector<std::span<std::byte>> mapped_;
  bool ones_shown_ = false;
};

}  // namespace vigia::hw
