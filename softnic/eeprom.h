// SPDX-License-Identifier: Apache-2.0
// The words that EERD reads: what PF drivers insist on before they accept the device.
#pragma once

#include <cstdint>

namespace vigia::softnic {

// EEC.SIZE: 2^(kEepromSize + 6) words.
constexpr unsigned kEepromSize = 4;
constexpr std::uint32_t kEepromWords = 1u << (kEepromSize + 6);

// The word at an address; all ones behind the end. Words that mean nothing here are 0, which drivers take as "absent".
std::uint16_t eeprom_word(std::uint32_t address);

// The same words through the four lines in EEC, by which DPDK reads its first word: a serial EEPROM (SPI) that knows
// the commands "read" with a 16-bit byte address, low byte of a word first, and "read status" (always ready).
class EepromPort {
 public:
  // The levels of select (active: low), clock and data in, each time they may have changed.
  void drive(bool select, bool clock, bool data);
  bool data_out() const { return out_; }

 private:
  enum class Phase : std::uint8_t { command, address, send, status, deaf };
  void take_bit(bool data);

  Phase phase_ = Phase::command;
  bool clock_ = false, out_ = false;
  unsigned bits_ = 0;
  std::uint32_t in_ = 0;  // bits so far; while sending the address of the byte
};

}  // namespace vigia::softnic
