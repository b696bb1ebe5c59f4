// SPDX-License-Identifier: Apache-2.0
// A PCI function bound to uio_pci_generic: for machines and guests without an IOMMU. Nothing keeps the device from
// memory that is not ours, so this is for root only; no interrupts.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hw/kernel_function.h"
#include "hw/pci_sysfs.h"
#include "hw/physical_mappings.h"

namespace vigia::hw {

// The ids of a function as the kernel knows them, of a VF too, whose own configuration space shows ones. folder: the
// function's in sysfs. Nothing where a file is absent or holds no id (0000, ffff).
std::optional<PciId> id_in_sysfs(const std::filesystem::path& folder);

// Addresses of the device are physical addresses. When the process dies, the kernel switches bus mastering off.
class UioFunction final : public KernelFunction {
 public:
  // name: as the user wrote it. Every refusal names its remedy (vfio_refusal.h).
  static Result<std::unique_ptr<UioFunction>> open(const std::string& name, const PciAddress& address);
  ~UioFunction() override;

  Result<DmaMemory> allocate_dma(std::size_t bytes, std::string_view purpose) override;
  // Refused unless the memory is contiguous and on hugepages: ordinary pages may move.
  Result<Iova> map_dma(const DmaMemory& memory) override;
  bool translates() const noexcept override { return false; }
  Result<Done> unmap_dma(Iova iova, std::size_t bytes) override;
  // Always refused.
  Result<std::vector<int>> enable_msix(unsigned count) override;
  Result<Done> disable_msix() override { return Done{}; }
  Result<Done> reset() override;

 private:
  UioFunction(const std::string& name, std::filesystem::path folder, Fd uio, Fd config, FileRange config_range);
  Result<FileRange> find_bar(unsigned index) override;

  const std::filesystem::path folder_;
  Fd uio_;  // its closing is what the kernel watches
  Fd config_;
  std::vector<Fd> resources_;
  PhysicalMappings mappings_;
};

}  // namespace vigia::hw
