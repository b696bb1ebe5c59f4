// SPDX-License-Identifier: Apache-2.0
#include "softnic/function_base.h"

#include <algorithm>
#include <cstring>

namespace vigia::softnic {
namespace {

constexpr unsigned kConfigRegion = 7;
constexpr std::uint64_t kMsixBarBytes = 16 * 1024;

}  // namespace

FunctionBase::FunctionBase(Chip& chip, FunctionCore& core, RegionLayout bar0, unsigned msix_bar)
    : chip_(chip), core_(core), bar0_(std::move(bar0)), msix_bar_(msix_bar), msix_table_(16 * core.msix.count()) {}

RegionLayout FunctionBase::region(unsigned index) const {
  if (index == 0) return bar0_;
  if (index == msix_bar_) return {kMsixBarBytes, -1, {}};
  if (index == kConfigRegion) return {ConfigSpace::kBytes, -1, {}};
  return {};
}

void FunctionBase::region_read(unsigned index, std::uint64_t offset, std::span<std::byte> out) {
  core_.attached = true;
  std::fill(out.begin(), out.end(), std::byte{0});
  const std::uint64_t end = offset + out.size();
  if (index == kConfigRegion && end <= ConfigSpace::kBytes) {
    core_.config.read(offset, out);
  } else if (index == 0 && offset % 4 == 0 && out.size() % 4 == 0 && end <= bar0_.size) {
    for (std::size_t at = 0; at < out.size(); at += 4) {
      const std::uint32_t value = read_register(static_cast<std::uint32_t>(offset + at));
      std::memcpy(out.data() + at, &value, 4);
    }
  } else if (index == msix_bar_ && end <= msix_table_.size()) {
    std::memcpy(out.data(), msix_table_.data() + offset, out.size());
  }  // the pending bits behind the table read 0: interrupts are signalled at once
}

void FunctionBase::region_write(unsigned index, std::uint64_t offset, std::span<const std::byte> in) {
  core_.attached = true;
  const std::uint64_t end = offset + in.size();
  if (index == kConfigRegion && end <= ConfigSpace::kBytes) {
    write_config(offset, in);
  } else if (index == 0 && offset % 4 == 0 && in.size() % 4 == 0 && end <= bar0_.size) {
    for (std::size_t at = 0; at < in.size(); at += 4) {
      std::uint32_t value = 0;
      std::memcpy(&value, in.data() + at, 4);
      write_register(static_cast<std::uint32_t>(offset + at), value);
    }
  } else if (index == msix_bar_ && end <= msix_table_.size()) {
    std::memcpy(msix_table_.data() + offset, in.data(), in.size());
  }
}

void FunctionBase::write_config(std::uint64_t offset, std::span<const std::byte> in) {
  const ConfigSpace::Wish wish = core_.config.write(offset, in);
  core_.bus_master = core_.config.bus_master();
  config_wish(wish);
  if (wish.function_reset) function_reset();
}

void FunctionBase::function_reset() {
  core_.config.reset();
  core_.bus_master = false;
  reset_function();  // the client's eventfds stay: only it takes them away
}

void FunctionBase::set_msix(unsigned vector, Fd eventfd) {
  core_.attached = true;
  core_.msix.assign(vector, std::move(eventfd));
}

void FunctionBase::detached() {
  function_reset();
  core_.msix.forget_all();
  core_.dma.clear();
  std::fill(msix_table_.begin(), msix_table_.end(), std::byte{0});
  core_.attached = false;
}

}  // namespace vigia::softnic
