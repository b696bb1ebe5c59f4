// SPDX-License-Identifier: Apache-2.0
// Memory for O_DIRECT writes.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "hw/result.h"

namespace vigia::vf {

struct AlignedFree {
  void operator()(std::byte* p) const noexcept { std::free(p); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedFree>;

// bytes: a multiple of alignment, which is a power of two. Not initialised.
inline AlignedBytes allocate_aligned(std::size_t bytes, std::size_t alignment) {
  // SAFETY: raw memory may be used as bytes; AlignedFree frees what aligned_alloc gave.
  AlignedBytes memory(static_cast<std::byte*>(std::aligned_alloc(alignment, bytes)));
  check(memory != nullptr);
  return memory;
}

}  // namespace vigia::vf
