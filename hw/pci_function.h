// SPDX-License-Identifier: Apache-2.0
// A PCI function as a user-space driver sees it (architecture 5.1). Three ways to one: Linux VFIO, uio_pci_generic,
// a vfio-user socket. Drivers include this header only and run on all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/dma_memory.h"
#include "hw/mmio.h"
#include "hw/result.h"

namespace vigia::hw {

struct PciId {
  std::uint16_t vendor, device;
  friend bool operator==(const PciId&, const PciId&) = default;
};

// Methods may be called from any thread. The destructor switches bus mastering off, drops DMA mappings and interrupts.
class PciFunction {
 public:
  virtual ~PciFunction() = default;

  // How the user named it: "vfio-user:/run/x/vf0.sock".
  virtual const std::string& name() const = 0;
  virtual PciId id() const = 0;

  // The BAR, owned by the function and valid as long as it. The same object on each call.
  virtual Result<Bar*> map_bar(unsigned index) = 0;

  // Memory that map_dma() takes, at least that many bytes. Where no IOMMU translates it is physically contiguous, which
  // not every allocation can be.
  virtual Result<DmaMemory> allocate_dma(std::size_t bytes, std::string_view purpose) {
    return DmaMemory::allocate(bytes, purpose);
  }
  // Makes memory visible to the device; the memory must outlive the mapping.
  virtual Result<Iova> map_dma(const DmaMemory& memory) = 0;
  // Whether addresses from map_dma() mean something to this function alone, because an IOMMU, or the process that
  // serves it, translates them. False: they are physical.
  virtual bool translates() const noexcept { return true; }
  // The device no longer touches the range when this returns.
  virtual Result<Done> unmap_dma(Iova iova, std::size_t bytes) = 0;

  // Enables MSI-X vectors 0..count-1. The eventfds are owned by the function, one per vector, non-blocking. Where the
  // way to the device has no interrupts this is refused, and the caller polls.
  virtual Result<std::vector<int>> enable_msix(unsigned count) = 0;
  virtual Result<Done> disable_msix() = 0;

  // The function's INTx, which is level-triggered: masked when it fires, until unmask_intx(). Excludes MSI-X. The
  // eventfd is owned by the function, non-blocking. Virtual functions have none.
  virtual Result<int> enable_intx() { return no_intx(); }
  virtual Result<Done> unmask_intx() { return no_intx(); }
  virtual Result<Done> disable_intx() { return Done{}; }

  // PCI configuration space: 1, 2 or 4 bytes at a naturally aligned offset below 4096.
  virtual Result<std::uint32_t> config_read(std::uint32_t offset, unsigned bytes) = 0;
  virtual Result<Done> config_write(std::uint32_t offset, unsigned bytes, std::uint32_t value) = 0;

  // The bus master bit of the command register. On sets the memory space bit as well; off leaves it, so that registers
  // stay readable.
  Result<Done> set_bus_master(bool on);

  // Function level reset.
  virtual Result<Done> reset() = 0;

  // False once the device is gone (server dead, unplugged): registers then read as all ones.
  virtual bool alive() const noexcept = 0;

  // Accesses of this function to memory that the IOMMU has stopped since it was opened, as far as the system has told
  // of them (it may leave some out when there are many). Empty: it does not tell. Cheap enough for ten times a second.
  virtual std::optional<std::uint64_t> stopped_accesses() { return std::nullopt; }

 private:
  Error no_intx() const;
};

// Opens "vfio:0000:01:00.0" (bound to vfio-pci, behind an IOMMU), "vfio-noiommu:0000:01:00.0" (bound to vfio-pci in its
// no-IOMMU mode: root, hugepages), "uio:0000:01:00.0" (bound to uio_pci_generic, no
// IOMMU that translates, polling only, hugepages) or "vfio-user:SOCKET". A wrong spec is an input error; every other
// refusal says what to do.
Result<std::unique_ptr<PciFunction>> open_function(std::string_view spec);

}  // namespace vigia::hw
