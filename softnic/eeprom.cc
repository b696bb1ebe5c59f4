// SPDX-License-Identifier: Apache-2.0
// Layout: 82599 datasheet chapter 6 (NVM map), as drivers use it.
#include "softnic/eeprom.h"

#include <array>

namespace vigia::softnic {
namespace {

using Words = std::array<std::uint16_t, kEepromWords>;

// Words 0x00 to 0x3f and what the pointers 0x03 to 0x0e name (nothing here) add up to this.
constexpr std::uint16_t kSum = 0xBABA;
constexpr std::uint32_t kChecksum = 0x3F;

constexpr std::uint32_t kFirmwarePointer = 0x0F, kFirmware = 0x60, kPatch = 0x70;
constexpr std::uint32_t kPatchPointerAt = 4, kPatchVersionAt = 7;
constexpr std::uint16_t kPatchVersion = 6;  // below, drivers warn of a pre-production adapter

constexpr std::uint32_t kCapabilities = 0x2C;
constexpr std::uint16_t kAnyModule = 1u << 0, kNoCrosstalkFix = 1u << 7;

// How each kind of SFP+ module is set up: pairs of kind and sequence, between a head word and the end mark.
constexpr std::uint32_t kModulesPointer = 0x2B, kModules = 0x40, kSequence = 0x50;
constexpr std::uint16_t kOpticalOnPort0 = 5, kOpticalOnPort1 = 6, kEnd = 0xFFFF;

constexpr Words make_words() {
  Words w{};
  w[kFirmwarePointer] = kFirmware;
  w[kFirmware + kPatchPointerAt] = kPatch;
  w[kPatch + kPatchVersionAt] = kPatchVersion;
  w[kCapabilities] = kAnyModule | kNoCrosstalkFix;
  w[kModulesPointer] = kModules;
  w[kModules + 1] = kOpticalOnPort0;
  w[kModules + 2] = kSequence;
  w[kModules + 3] = kOpticalOnPort1;
  w[kModules + 4] = kSequence;
  w[kModules + 5] = kEnd;
  w[kSequence + 1] = kEnd;  // a head word, and nothing to write
  std::uint16_t sum = 0;
  for (std::uint32_t i = 0; i < kChecksum; ++i) sum = static_cast<std::uint16_t>(sum + w[i]);
  w[kChecksum] = static_cast<std::uint16_t>(kSum - sum);
  return w;
}

constexpr unsigned kCommandBits = 8, kAddressBits = 16;
constexpr std::uint32_t kRead = 0x03, kReadStatus = 0x05;

constexpr Words kWords = make_words();

}  // namespace

void EepromPort::drive(bool select, bool clock, bool data) {
  const bool rises = clock && !clock_;
  clock_ = clock;
  if (select) {
    *this = EepromPort();
    clock_ = clock;
  } else if (rises) {
    take_bit(data);
  }
}

void EepromPort::take_bit(bool data) {
  if (phase_ == Phase::send) {
    const std::uint32_t word = eeprom_word(in_ / 2), byte = in_ % 2 == 0 ? word & 0xff : word >> 8;
    out_ = (byte >> (7 - bits_) & 1) != 0;
    if (++bits_ == 8) {
      bits_ = 0;
      ++in_;
    }
    return;
  }
  if (phase_ == Phase::status || phase_ == Phase::deaf) return;
  in_ = in_ << 1 | (data ? 1u : 0u);
  if (++bits_ < (phase_ == Phase::command ? kCommandBits : kAddressBits)) return;
  bits_ = 0;
  if (phase_ == Phase::address) {
    phase_ = Phase::send;
    return;
  }
  phase_ = in_ == kRead ? Phase::address : in_ == kReadStatus ? Phase::status : Phase::deaf;
  in_ = 0;
}

std::uint16_t eeprom_word(std::uint32_t address) { return address < kEepromWords ? kWords[address] : 0xFFFF; }

}  // namespace vigia::softnic
