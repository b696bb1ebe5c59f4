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

}  // namespace vigia::softnic
