// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace vigia::hw {

// An Ethernet address, in wire order.
struct Mac {
  std::array<std::uint8_t, 6> bytes{};

  // As the 82599's RAL/RAH and mailbox words hold it: byte 0 in bits 7:0.
  constexpr std::uint64_t packed() const {
    std::uint64_t v = 0;
    for (unsigned i = 6; i-- > 0;) v = v << 8 | bytes[i];
    return v;
  }
  static constexpr Mac unpack(std::uint64_t v) {
    Mac m;
    for (unsigned i = 0; i < 6; ++i) m.bytes[i] = static_cast<std::uint8_t>(v >> (8 * i));
    return m;
  }
  constexpr bool multicast() const { return (bytes[0] & 1) != 0; }  // broadcast included
  constexpr bool broadcast() const { return packed() == 0xffff'ffff'ffffull; }
  constexpr bool zero() const { return packed() == 0; }
  std::string text() const;  // "02:00:00:00:00:01"
  // Six hex pairs divided by ':' or '-'; anything else is nullopt.
  static std::optional<Mac> parse(std::string_view text);

  friend bool operator==(const Mac&, const Mac&) = default;
};

}  // namespace vigia::hw
