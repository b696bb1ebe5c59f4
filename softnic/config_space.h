// SPDX-License-Identifier: Apache-2.0
// PCI configuration space of the PF and of a VF: 4 KiB of bytes with a mask of what software may write. Layout: PCI
// 3.0, PCIe base specification, 82599 reference section 1. A VF answers here with real ids; a real one reads 0xffff and
// lets the system take them from the PF, which has no counterpart in vfio-user.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vigia::softnic {

class ConfigSpace {
 public:
  static constexpr std::size_t kBytes = 4096;

  static ConfigSpace physical(unsigned total_vfs);
  static ConfigSpace virtual_function();

  // What a write asked of the function.
  struct Wish {
    bool function_reset = false;  // FLR bit of the device control register; reads back as 0
    bool bus_master_lost = false;
    bool vfs_disabled = false;  // SR-IOV VF Enable went from 1 to 0
    bool iov_changed = false;   // VF Enable or NumVFs: STATUS shows them
  };

  // offset + size stay inside the 4 KiB.
  void read(std::size_t offset, std::span<std::byte> out) const;
  Wish write(std::size_t offset, std::span<const std::byte> in);
  // FLR and DEVICE_RESET: everything writable gets its initial value.
  void reset();

  bool bus_master() const;
  bool vfs_enabled() const;
  std::uint16_t num_vfs() const;

 private:
  ConfigSpace() = default;
  void header(std::uint16_t device_id);
  void bar64(unsigned index, std::uint64_t size);
  void msix(unsigned vectors, unsigned bar);
  void express();
  void sriov(unsigned total_vfs);

  std::uint16_t word(std::size_t offset) const;
  void put8(std::size_t offset, std::uint8_t value, std::uint8_t writable = 0);
  void put16(std::size_t offset, std::uint16_t value, std::uint16_t writable = 0);
  void put32(std::size_t offset, std::uint32_t value, std::uint32_t writable = 0);

  std::array<std::uint8_t, kBytes> bytes_{}, initial_{}, writable_{};
};

}  // namespace vigia::softnic
