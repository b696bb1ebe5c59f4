// SPDX-License-Identifier: Apache-2.0
#include "softnic/ring_view.h"

#include <algorithm>

namespace vigia::softnic {
namespace {

constexpr std::size_t kDescriptorBytes = 16;

bool aligned(const std::byte* p) {
  // SAFETY: only the number is looked at.
  return reinterpret_cast<std::uintptr_t>(p) % kDescriptorBytes == 0;
}

}  // namespace

bool RingView::translate(DmaSpace& dma, hw::Iova base, std::uint32_t entries) {
  clear();
  const std::size_t bytes = kDescriptorBytes * entries;
  if (hw::to_integer(base) > UINT64_MAX - bytes) return false;
  if (std::byte* all = dma.translate(base, bytes, true); all != nullptr && dma.translate(base, bytes, false) == all) {
    if (!aligned(all)) return false;
    contiguous_ = all;
    return true;
  }
  first_ = static_cast<std::uint32_t>(hw::to_integer(base) % kPage);
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t in_page = (first_ + done) % kPage;
    const std::size_t part = std::min<std::size_t>(kPage - in_page, bytes - done);
    std::byte* const memory = dma.translate(base + done, part, true);
    if (memory == nullptr || dma.translate(base + done, part, false) != memory || !aligned(memory)) {
      clear();
      return false;
    }
    pages_.push_back(memory - in_page);
    done += part;
  }
  return true;
}

void RingView::clear() noexcept {
  contiguous_ = nullptr;
  pages_.clear();
}

}  // namespace vigia::softnic
