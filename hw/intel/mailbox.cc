// SPDX-License-Identifier: Apache-2.0
#include "hw/intel/mailbox.h"

#include "hw/result.h"

namespace vigia::hw::intel::mbx {

void put_mac(Message& m, const Mac& mac) {
  m[1] = static_cast<std::uint32_t>(mac.packed());
  m[2] = static_cast<std::uint32_t>(mac.packed() >> 32);
}

Mac get_mac(const Message& m) { return Mac::unpack(std::uint64_t{m[2]} << 32 | m[1]); }

unsigned multicast_count(const Message& m) {
  const std::uint32_t count = argument_of(m[0]);
  return count < kMaxMulticastHashes ? count : kMaxMulticastHashes;
}

std::uint16_t multicast_hash_at(const Message& m, unsigned i) {
  check(i < kMaxMulticastHashes);
  return static_cast<std::uint16_t>(m[1 + i / 2] >> (16 * (i % 2)));
}

void put_multicast_hash(Message& m, unsigned i, std::uint16_t hash) {
  check(i < kMaxMulticastHashes);
  std::uint32_t& word = m[1 + i / 2];
  const unsigned shift = 16 * (i % 2);
  word = (word & ~(0xffffu << shift)) | static_cast<std::uint32_t>(hash) << shift;
}

std::uint16_t multicast_hash(const Mac& mac, unsigned mo) {
  // MO 0..3 select address bits 47:36, 46:35, 45:34, 43:32, counted with byte 0 in bits 7:0 (datasheet, MCSTCTRL).
  constexpr std::array<unsigned, 4> kLowestBit{36, 35, 34, 32};
  return static_cast<std::uint16_t>(mac.packed() >> kLowestBit[mo & 3] & 0xfff);
}

}  // namespace vigia::hw::intel::mbx
