// SPDX-License-Identifier: Apache-2.0
#include "softnic/config_space.h"

#include "hw/ixgbe/bits.h"
#include "hw/ixgbe/regs_pf.h"
#include "hw/ixgbe/regs_vf.h"

namespace vigia::softnic {
namespace {

using namespace hw::ixgbe;

// Where things are (PCI 3.0 chapter 6; capability offsets: reference 1.2).
constexpr std::size_t kCommand = 0x04, kStatus = 0x06, kRevision = 0x08, kClass = 0x09, kBar0 = 0x10,
                      kSubsystemVendor = 0x2C, kCapabilities = 0x34, kInterruptLine = 0x3C;
constexpr std::size_t kMsix = 0x70, kExpress = 0xA0, kAer = 0x100, kSriov = 0x160;
constexpr std::size_t kDeviceControl = kExpress + 8, kVfControl = kSriov + 8, kNumVfs = kSriov + 0x10;

constexpr std::uint16_t kMemorySpace = 1u << 1, kBusMaster = 1u << 2, kIntxDisable = 1u << 10;
constexpr std::uint16_t kHasCapabilities = 1u << 4;
constexpr std::uint16_t kStartFlr = 1u << 15;
constexpr std::uint16_t kVfEnable = 1u << 0, kVfMemory = 1u << 3, kAriHierarchy = 1u << 4;
constexpr std::uint32_t kMsixTableBytes = 16 * 1024, kPbaOffset = 0x2000;
constexpr std::uint32_t kBar64Prefetch = 0xC;

}  // namespace

ConfigSpace ConfigSpace::physical(unsigned total_vfs) {
  ConfigSpace c;
  c.header(kPfId.device);
  c.bar64(0, pf::kBarSize);
  c.bar64(4, kMsixTableBytes);
  c.msix(pf::kMsixVectors, 4);
  c.express();
  c.put32(kAer, 0x0001u | 1u << 16 | static_cast<std::uint32_t>(kSriov) << 20);  // AER without a recorded error
  c.sriov(total_vfs);
  c.initial_ = c.bytes_;
  return c;
}

ConfigSpace ConfigSpace::virtual_function() {
  ConfigSpace c;
  c.header(kVfId.device);
  c.bar64(0, vf::kBarSize);
  c.bar64(3, kMsixTableBytes);
  c.msix(vf::kMsixVectors, 3);
  c.express();
  c.initial_ = c.bytes_;
  return c;
}

void ConfigSpace::header(std::uint16_t device_id) {
  put16(0x00, kPfId.vendor);
  put16(0x02, device_id);
  put16(kCommand, 0, kMemorySpace | kBusMaster | kIntxDisable | 1u | 1u << 6 | 1u << 8);  // I/O, parity, SERR stored
  put16(kStatus, kHasCapabilities);
  put8(kRevision, 1);
  put8(kClass + 2, 0x02);  // network controller, Ethernet: 0x020000
  put16(kSubsystemVendor, kPfId.vendor);
  put8(kCapabilities, kMsix);
  put8(kInterruptLine, 0, 0xff);  // the pin behind it stays 0: MSI-X only, and a VF has no pin at all
}

void ConfigSpace::bar64(unsigned index, std::uint64_t size) {
  const std::size_t at = kBar0 + 4 * index;
  put32(at, kBar64Prefetch, static_cast<std::uint32_t>(~(size - 1)));
  put32(at + 4, 0, static_cast<std::uint32_t>(~(size - 1) >> 32));
}

void ConfigSpace::msix(unsigned vectors, unsigned bar) {
  put8(kMsix, 0x11);
  put8(kMsix + 1, kExpress);
  put16(kMsix + 2, static_cast<std::uint16_t>(vectors - 1), 1u << 15 | 1u << 14);  // enable, function mask
  put32(kMsix + 4, bar);
  put32(kMsix + 8, kPbaOffset | bar);
}

void ConfigSpace::express() {
  put8(kExpress, 0x10);
  put8(kExpress + 1, 0);
  put16(kExpress + 2, 2);                             // version 2, endpoint
  put32(kExpress + 4, 1u << 28 | 1u << 15 | 2);       // FLR, role-based error reporting, 512-byte payloads
  put16(kDeviceControl, 0x2810, 0x7fff | kStartFlr);  // 512-byte reads, relaxed ordering, no snoop
  put32(kExpress + 0x0C, 0x82);                       // 5 GT/s, x8
  put16(kExpress + 0x12, 0x1082);
  put16(kExpress + 0x28, 0, 0x1f);  // device control 2: completion timeout
}

void ConfigSpace::sriov(unsigned total_vfs) {
  const auto total = static_cast<std::uint16_t>(total_vfs);
  put32(kSriov, 0x0010u | 1u << 16);
  put16(kVfControl, 0, kVfEnable | kVfMemory | kAriHierarchy);
  put16(kSriov + 0x0C, total);
  put16(kSriov + 0x0E, total);
  put16(kNumVfs, 0, 0xffff);
  put16(kSriov + 0x14, 128);  // first VF offset with ARI
  put16(kSriov + 0x16, 2);    // stride
  put16(kSriov + 0x1A, kVfId.device);
  put32(kSriov + 0x1C, 0x553);  // page sizes
  put32(kSriov + 0x20, 1, 0x553);
  for (const std::size_t bar : {0u, 3u}) {
    put32(kSriov + 0x24 + 4 * bar, kBar64Prefetch, ~(kMsixTableBytes - 1));
    put32(kSriov + 0x28 + 4 * bar, 0, ~0u);
  }
}

void ConfigSpace::read(std::size_t offset, std::span<std::byte> out) const {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::byte{bytes_[offset + i]};
}

ConfigSpace::Wish ConfigSpace::write(std::size_t offset, std::span<const std::byte> in) {
  const bool mastered = bus_master(), enabled = vfs_enabled();
  const std::uint16_t vfs = num_vfs();
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::uint8_t mask = writable_[offset + i];
    bytes_[offset + i] =
        static_cast<std::uint8_t>((bytes_[offset + i] & ~mask) | (std::to_integer<unsigned>(in[i]) & mask));
  }
  Wish wish;
  if ((word(kDeviceControl) & kStartFlr) != 0) {
    bytes_[kDeviceControl + 1] &= static_cast<std::uint8_t>(~(kStartFlr >> 8));
    wish.function_reset = true;
  }
  wish.bus_master_lost = mastered && !bus_master();
  wish.vfs_disabled = enabled && !vfs_enabled();
  wish.iov_changed = enabled != vfs_enabled() || vfs != num_vfs();
  return wish;
}

void ConfigSpace::reset() { bytes_ = initial_; }

bool ConfigSpace::bus_master() const { return (word(kCommand) & kBusMaster) != 0; }
// A VF has no SR-IOV capability: its words there are 0 and not writable.
bool ConfigSpace::vfs_enabled() const { return (word(kVfControl) & kVfEnable) != 0; }
std::uint16_t ConfigSpace::num_vfs() const { return word(kNumVfs); }

std::uint16_t ConfigSpace::word(std::size_t offset) const {
  return static_cast<std::uint16_t>(bytes_[offset] | bytes_[offset + 1] << 8);
}

void ConfigSpace::put8(std::size_t offset, std::uint8_t value, std::uint8_t writable) {
  bytes_[offset] = value;
  writable_[offset] = writable;
}

void ConfigSpace::put16(std::size_t offset, std::uint16_t value, std::uint16_t writable) {
  put8(offset, static_cast<std::uint8_t>(value), static_cast<std::uint8_t>(writable));
  put8(offset + 1, static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(writable >> 8));
}

void ConfigSpace::put32(std::size_t offset, std::uint32_t value, std::uint32_t writable) {
  put16(offset, static_cast<std::uint16_t>(value), static_cast<std::uint16_t>(writable));
  put16(offset + 2, static_cast<std::uint16_t>(value >> 16), static_cast<std::uint16_t>(writable >> 16));
}

}  // namespace vigia::softnic
