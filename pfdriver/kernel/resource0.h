// SPDX-License-Identifier: Apache-2.0
// The PF's registers beside Linux's live driver: BAR0 by way of sysfs, restricted to the registers that the family's
// table allows.
#pragma once

#include <filesystem>
#include <memory>

#include "hw/mmio.h"
#include "hw/result.h"
#include "pfdriver/kernel/family.h"

namespace vigia::pf {

// One register page mapping. Owns it.
class Resource0 {
 public:
  // folder: of the PCI device in sysfs. root: another root than /, for tests (where lockdown is looked up). The usual
  // refusal is a kernel that reserves the BAR for its driver; the error says what to do about it.
  static Result<std::unique_ptr<Resource0>> open(const std::filesystem::path& folder,
                                                 const std::filesystem::path& root = "/");
  ~Resource0();
  Resource0(const Resource0&) = delete;
  Resource0& operator=(const Resource0&) = delete;
  hw::Bar& bar() { return *bar_; }

 private:
  Resource0(void* memory, std::size_t bytes);
  void* memory_;
  std::size_t bytes_;
  std::unique_ptr<hw::Bar> bar_;
};

// Why mapping resource0 failed, with the remedy. lockdown: the text of /sys/kernel/security/lockdown.
Error explain_refusal(int error_number, const std::filesystem::path& file, std::string_view lockdown);

// The registers of a family's table, and no others: any other offset is a broken invariant of ours. Bits outside a
// row's mask are kept as they are. The driver beside us may write at any moment: between our reading a register and
// writing it back lies a gap of a bus round trip, which nobody can close.
class AllowedRegisters {
 public:
  AllowedRegisters(hw::Bar& bar, const Family& family) : bar_(&bar), family_(&family) {}
  // Reading is harmless anywhere in the table of the family.
  std::uint32_t read(std::uint32_t offset) const { return bar_->load(offset); }
  void write(std::uint32_t offset, std::uint32_t value);
  // Whether every bit of the BAR reads as one: the device is gone.
  bool gone() const { return bar_->load(family_->receive_enable.front()) == ~0u; }

 private:
  hw::Bar* bar_;
  const Family* family_;
};

}  // namespace vigia::pf
