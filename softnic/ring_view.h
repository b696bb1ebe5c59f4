// SPDX-License-Identifier: Apache-2.0
// A descriptor ring in a client's memory, translated once. Rings that a vIOMMU scatters page by page work too.
#pragma once

#include <cstdint>
#include <vector>

#include "softnic/dma_space.h"

namespace vigia::softnic {

class RingView {
 public:
  // Translates entries descriptors of 16 bytes from base on. False, and nothing kept, if a byte of them is not mapped
  // for reading and writing, or if it lies in memory such that descriptors are not aligned.
  bool translate(DmaSpace& dma, hw::Iova base, std::uint32_t entries);
  void clear() noexcept;

  // Descriptor i, below entries. Valid until the DmaSpace's generation changes.
  std::byte* at(std::uint32_t i) const noexcept {
    const std::uint32_t offset = 16 * i;
    if (contiguous_ != nullptr) [[likely]]
      return contiguous_ + offset;
    const std::uint32_t in_pages = first_ + offset;
    return pages_[in_pages / kPage] + in_pages % kPage;
  }

 private:
  static constexpr std::uint32_t kPage = 4096;
  std::byte* contiguous_ = nullptr;
  std::uint32_t first_ = 0;        // offset of descriptor 0 in its page
  std::vector<std::byte*> pages_;  // where a page's first byte would be
};

}  // namespace vigia::softnic
