// SPDX-License-Identifier: Apache-2.0
// Advanced descriptors of the 82576 and the 82599 (82599 datasheet 7.1.6 and 7.2.3, 82576 datasheet 7.1.5 and 7.2.2),
// 16 bytes, little-endian: what is the same in both. The device stores the word that holds the done bit last; readers
// load it with acquire.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vigia::hw::intel {

struct RxDescriptor {
  // Read format, written by software: buffer IOVA, header buffer IOVA (0 in one-buffer mode; bit 0 must be 0).
  // Write-back format, written by the device: word0 = RSS type [3:0], packet type [16:4], hash [63:32];
  // word1 = status [19:0], error [31:20], length [47:32], VLAN tag [63:48].
  std::uint64_t word0, word1;
};
static_assert(sizeof(RxDescriptor) == 16 && offsetof(RxDescriptor, word1) == 8);

namespace RxStatus {
constexpr std::uint64_t dd = 1u << 0, eop = 1u << 1, vp = 1u << 3, udpcs = 1u << 4, l4cs = 1u << 5, ipcs = 1u << 6,
                        pif = 1u << 7, lb = 1u << 18;
constexpr unsigned length_shift = 32, vlan_shift = 48, nextp_shift = 4;
}  // namespace RxStatus

namespace RssType {  // as it stands in word0; 0: there is no hash
constexpr std::uint64_t mask = 0xf;
constexpr unsigned hash_shift = 32;
constexpr std::uint32_t none = 0, tcp_ipv4 = 1, ipv4 = 2, tcp_ipv6 = 3, ipv6 = 5, udp_ipv4 = 7, udp_ipv6 = 8;
}  // namespace RssType

struct TxDescriptor {
  // Written by software: word0 = buffer IOVA; word1 = DTALEN [15:0], DTYP [23:20], DCMD [31:24], STA [35:32],
  // CC [39], POPTS [45:40], PAYLEN [63:46]. The device sets DD (bit 32) when RS was set.
  std::uint64_t word0, word1;
};
static_assert(sizeof(TxDescriptor) == 16 && offsetof(TxDescriptor, word1) == 8);

namespace TxCommand {
constexpr std::uint64_t dtalen_mask = 0xffff, dtyp_mask = 0xfull << 20, dtyp_context = 2ull << 20,
                        dtyp_data = 3ull << 20, eop = 1ull << 24, ifcs = 1ull << 25, rs = 1ull << 27, dext = 1ull << 29,
                        vle = 1ull << 30, tse = 1ull << 31, dd = 1ull << 32;
constexpr unsigned paylen_shift = 46;
}  // namespace TxCommand
// Context descriptor: word0 bits [31:16] VLAN tag, [15:9] MACLEN, [8:0] IPLEN.

// Rings: base 128-byte aligned, length a multiple of 128 bytes (8 descriptors), at most 512 KiB by validation
// (8.2.3.8.3).
constexpr std::uint32_t kRingAlign = 128, kMaxRingBytes = 512 * 1024;

}  // namespace vigia::hw::intel
