// SPDX-License-Identifier: Apache-2.0
#include "hw/pci_address.h"

#include <fmt/format.h>

#include <charconv>

namespace vigia::hw {
namespace {

// The hexadecimal number before the separator (or the end, for '\0'), of that many digits at most; cuts it off text.
std::optional<std::uint32_t> take_hex(std::string_view& text, char separator, std::size_t fewest, std::size_t most,
                                      std::uint32_t limit) {
  const std::size_t n = separator == '\0' ? text.size() : text.find(separator);
  if (n == std::string_view::npos || n < fewest || n > most) return std::nullopt;
  std::uint32_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + n, value, 16);
  if (failure != std::errc() || end != text.data() + n || value > limit) return std::nullopt;
  text.remove_prefix(separator == '\0' ? n : n + 1);
  return value;
}

}  // namespace

std::optional<PciAddress> PciAddress::parse(std::string_view text) {
  constexpr std::uint32_t kLastBus = 0xff, kLastDevice = 0x1f, kLastFunction = 7;
  PciAddress a;
  // Domains of hypervisors have up to eight digits.
  if (text.find(':') != text.rfind(':')) {
    const auto domain = take_hex(text, ':', 4, 8, ~0u);
    if (!domain) return std::nullopt;
    a.domain = *domain;
  }
  const auto bus = take_hex(text, ':', 2, 2, kLastBus);
  if (!bus) return std::nullopt;
  const auto device = take_hex(text, '.', 2, 2, kLastDevice);
  if (!device) return std::nullopt;
  const auto function = take_hex(text, '\0', 1, 1, kLastFunction);
  if (!function) return std::nullopt;
  a.bus = static_cast<std::uint8_t>(*bus);
  a.device = static_cast<std::uint8_t>(*device);
  a.function = static_cast<std::uint8_t>(*function);
  return a;
}

std::string PciAddress::text() const { return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, device, function); }

}  // namespace vigia::hw
