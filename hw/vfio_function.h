// SPDX-License-Identifier: Apache-2.0
// A PCI function bound to vfio-pci: the safe way, behind an IOMMU; and, by a name of its own, the other one.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hw/iommu_faults.h"
#include "hw/kernel_function.h"
#include "hw/vfio_iommu.h"

namespace vigia::hw {

// When the process dies, the kernel switches bus mastering off, resets the function and drops its mappings.
class VfioFunction final : public KernelFunction {
 public:
  // name: as the user wrote it. Every refusal names its remedy (vfio_refusal.h).
  // By iommufd where kernel and system offer that, else by group and container.
  static Result<std::unique_ptr<VfioFunction>> open(const std::string& name, const PciAddress& address);
  // In VFIO's no-IOMMU mode, with a warning in the log: nothing keeps the device from memory that is not ours.
  static Result<std::unique_ptr<VfioFunction>> open_unprotected(const std::string& name, const PciAddress& address);
  ~VfioFunction() override;

  Result<DmaMemory> allocate_dma(std::size_t bytes, std::string_view purpose) override;
  Result<Iova> map_dma(const DmaMemory& memory) override;
  bool translates() const noexcept override { return iommu_->translates(); }
  Result<Done> unmap_dma(Iova iova, std::size_t bytes) override;
  Result<std::vector<int>> enable_msix(unsigned count) override;
  Result<Done> disable_msix() override;
  Result<int> enable_intx() override;
  Result<Done> unmask_intx() override;
  Result<Done> disable_intx() override;
  Result<Done> reset() override;
  std::optional<std::uint64_t> stopped_accesses() override;

 private:
  VfioFunction(const std::string& name, const PciAddress& address, std::unique_ptr<VfioIommu> iommu, Fd device,
               FileRange config);

  static Result<std::unique_ptr<VfioFunction>> open_behind(const std::string& name, const PciAddress& address,
                                                           Result<std::unique_ptr<VfioIommu>> iommu);
  static Result<FileRange> ask_region(int device, unsigned index, const std::string& name);
  Result<FileRange> find_bar(unsigned index) override;
  bool asked_to_leave() const noexcept override;
  // Best effort: an old kernel without this interrupt only tells later that the device is gone.
  void listen_for_removal();
  Result<Done> set_irqs(unsigned index, const std::vector<int>& eventfds);
  // How many vectors of that kind there are.
  Result<unsigned> count_irqs(unsigned index);

  std::mutex lock_;  // guards what follows
  std::unique_ptr<VfioIommu> iommu_;
  Fd device_;
  std::vector<Fd> eventfds_;             // by vector
  Fd intx_;                              // none: it is off
  std::unique_ptr<IommuFaults> faults_;  // null: the system does not tell
  Fd removal_;
};

}  // namespace vigia::hw
