// SPDX-License-Identifier: Apache-2.0
// A PCI function bound to vfio-pci: the safe way, behind an IOMMU.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hw/kernel_function.h"
#include "hw/vfio_container.h"

namespace vigia::hw {

// When the process dies, the kernel switches bus mastering off, resets the function and drops its mappings.
class VfioFunction final : public KernelFunction {
 public:
  // name: as the user wrote it. Every refusal names its remedy (vfio_refusal.h).
  static Result<std::unique_ptr<VfioFunction>> open(const std::string& name, const PciAddress& address);
  ~VfioFunction() override;

  Result<Iova> map_dma(const DmaMemory& memory) override;
  Result<Done> unmap_dma(Iova iova, std::size_t bytes) override;
  Result<std::vector<int>> enable_msix(unsigned count) override;
  Result<Done> disable_msix() override;
  Result<Done> reset() override;

 private:
  VfioFunction(const std::string& name, std::unique_ptr<VfioContainer> container, Fd device, FileRange config);

  static Result<FileRange> ask_region(int device, unsigned index, const std::string& name);
  Result<FileRange> find_bar(unsigned index) override;
  bool asked_to_leave() const noexcept override;
  // Best effort: an old kernel without this interrupt only tells later that the device is gone.
  void listen_for_removal();
  Result<Done> set_irqs(unsigned index, const std::vector<int>& eventfds);

  std::mutex lock_;  // guards what follows
  std::unique_ptr<VfioContainer> container_;
  Fd device_;
  std::vector<Fd> eventfds_;  // by vector
  Fd removal_;
};

}  // namespace vigia::hw
