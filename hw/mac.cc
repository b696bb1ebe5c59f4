// SPDX-License-Identifier: Apache-2.0
#include "hw/mac.h"

#include <fmt/format.h>

namespace vigia::hw {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string Mac::text() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                     bytes[5]);
}

std::optional<Mac> Mac::parse(std::string_view text) {
  constexpr std::size_t kLength = 17;  // "xx:xx:xx:xx:xx:xx"
  if (text.size() != kLength || (text[2] != ':' && text[2] != '-')) return std::nullopt;
  Mac mac;
  for (std::size_t i = 0; i < mac.bytes.size(); ++i) {
    const int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    if (i > 0 && text[3 * i - 1] != text[2]) return std::nullopt;
    mac.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return mac;
}

}  // namespace vigia::hw
