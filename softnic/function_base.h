// SPDX-License-Identifier: Apache-2.0
// What the FunctionModels of PF and VF share: configuration space, MSI-X table memory, accesses cut into registers.
#pragma once

#include <vector>

#include "softnic/chip.h"
#include "softnic/eeprom.h"
#include "softnic/function_model.h"
#include "softnic/sfp_module.h"

namespace vigia::softnic {

class FunctionBase : public FunctionModel {
 public:
  const std::string& name() const final { return core_.name; }
  RegionLayout region(unsigned index) const final;
  unsigned msix_vectors() const final { return core_.msix.count(); }
  void region_read(unsigned index, std::uint64_t offset, std::span<std::byte> out) final;
  void region_write(unsigned index, std::uint64_t offset, std::span<const std::byte> in) final;
  void function_reset() final;
  void set_msix(unsigned vector, Fd eventfd) final;
  DmaSpace& dma() final { return core_.dma; }
  // Translations carry the DmaSpace's generation and are checked before each burst; between bursts none is in use.
  void dma_changed() final {}
  void detached() final;

 protected:
  // bar0: what region 0 looks like; msix_bar: the BAR with the MSI-X table.
  FunctionBase(Chip& chip, FunctionCore& core, RegionLayout bar0, unsigned msix_bar);

  virtual std::uint32_t read_register(std::uint32_t offset) = 0;
  virtual void write_register(std::uint32_t offset, std::uint32_t value) = 0;
  virtual void reset_function() = 0;                            // registers and queues, not the configuration space
  virtual void config_wish(const ConfigSpace::Wish& wish) = 0;  // beyond FLR

  Chip& chip_;
  FunctionCore& core_;

 private:
  void write_config(std::uint64_t offset, std::span<const std::byte> in);

  const RegionLayout bar0_;
  const unsigned msix_bar_;
  std::vector<std::byte> msix_table_;  // QEMU and our client never read it back from here; other clients may
};

class PfFunction final : public FunctionBase {
 public:
  explicit PfFunction(Chip& chip);

 private:
  std::uint32_t read_register(std::uint32_t offset) override;
  void write_register(std::uint32_t offset, std::uint32_t value) override;
  void reset_function() override;
  void config_wish(const ConfigSpace::Wish& wish) override;
  void carry_out(const RegisterFile::Hit& hit, std::uint32_t offset, std::uint32_t value, std::uint32_t before);
  void write_indirect(const RegisterFile::Hit& hit, std::uint32_t value);

  EepromPort eeprom_;
  SfpModule module_;
};

class VfFunction final : public FunctionBase {
 public:
  // map: offer the queue register pages as memory.
  VfFunction(Chip& chip, unsigned vf, bool map);

 private:
  std::uint32_t read_register(std::uint32_t offset) override;
  void write_register(std::uint32_t offset, std::uint32_t value) override;
  void reset_function() override;
  void config_wish(const ConfigSpace::Wish& wish) override;
  bool queue_register(std::uint32_t offset) const;
  void write_queue_register(std::uint32_t offset, std::uint32_t value);

  const unsigned vf_;
};

}  // namespace vigia::softnic
