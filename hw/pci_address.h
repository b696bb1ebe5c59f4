// SPDX-License-Identifier: Apache-2.0
// Where a PCI function sits: "0000:01:00.0".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vigia::hw {

struct PciAddress {
  std::uint32_t domain = 0;
  std::uint8_t bus = 0, device = 0, function = 0;

  // "0000:01:00.0" or, in domain 0, "01:00.0". Hexadecimal, as sysfs and lspci write it; empty: not an address.
  static std::optional<PciAddress> parse(std::string_view text);
  // As sysfs names it: "0000:01:00.0".
  std::string text() const;
  friend bool operator==(const PciAddress&, const PciAddress&) = default;
};

}  // namespace vigia::hw
