// SPDX-License-Identifier: Apache-2.0
// One PCI function as the vfio-user server sees it: the seam between the protocol (server.h) and the model (device.h).
// All calls come from the device's single thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hw/fd.h"
#include "softnic/dma_space.h"

namespace vigia::softnic {

struct RegionLayout {
  struct Area {
    std::uint64_t offset, size;  // page aligned
  };
  std::uint64_t size = 0;      // 0: the region is absent
  int mmap_fd = -1;            // memory behind the areas, file position = region offset; not owned
  std::vector<Area> mappable;  // empty: every access is trapped
};

class FunctionModel {
 public:
  virtual ~FunctionModel() = default;

  virtual const std::string& name() const = 0;  // "pf", "vf3": for logs and socket names
  // Regions 0..5 BARs, 6 ROM, 7 configuration space, 8 VGA (vfio-user numbering).
  virtual RegionLayout region(unsigned index) const = 0;
  virtual unsigned msix_vectors() const = 0;

  // Offsets and sizes lie inside the region; any size and alignment may come. What makes no sense reads as 0 and is
  // not written.
  virtual void region_read(unsigned index, std::uint64_t offset, std::span<std::byte> out) = 0;
  virtual void region_write(unsigned index, std::uint64_t offset, std::span<const std::byte> in) = 0;

  virtual void function_reset() = 0;  // DEVICE_RESET
  // An empty Fd takes the vector's eventfd away.
  virtual void set_msix(unsigned vector, Fd eventfd) = 0;
  virtual DmaSpace& dma() = 0;
  // Before a range is unmapped and when the client is gone: the model must not use what it translated any more.
  virtual void dma_changed() = 0;
  // The client went away, by close or by crash: queues stop, interrupts are forgotten, the function can be attached
  // anew.
  virtual void detached() = 0;
};

}  // namespace vigia::softnic
