// SPDX-License-Identifier: Apache-2.0
// A PCI function that can do nothing: for code that asks only whether it is alive.
#pragma once

#include <string>
#include <vector>

#include "hw/pci_function.h"

namespace vigia::vf::test {

class NoFunction final : public hw::PciFunction {
 public:
  const std::string& name() const override { return name_; }
  hw::PciId id() const override { return {}; }
  Result<hw::Bar*> map_bar(unsigned) override { return none(); }
  Result<hw::Iova> map_dma(const hw::DmaMemory&) override { return none(); }
  Result<Done> unmap_dma(hw::Iova, std::size_t) override { return none(); }
  Result<std::vector<int>> enable_msix(unsigned) override { return none(); }
  Result<Done> disable_msix() override { return none(); }
  Result<std::uint32_t> config_read(std::uint32_t, unsigned) override { return none(); }
  Result<Done> config_write(std::uint32_t, unsigned, std::uint32_t) override { return none(); }
  Result<Done> reset() override { return none(); }
  bool alive() const noexcept override { return true; }

 private:
  static Error none() { return work_error("no function"); }
  std::string name_ = "none";
};

}  // namespace vigia::vf::test
