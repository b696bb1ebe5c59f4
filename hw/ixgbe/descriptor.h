// SPDX-License-Identifier: Apache-2.0
// 82599 advanced descriptors (datasheet 7.1.6 and 7.2.3): what the 82576 has too, and what it has not.
#pragma once

#include <cstdint>

#include "hw/intel/descriptor.h"

namespace vigia::hw::ixgbe {

using intel::RxDescriptor;
using intel::TxDescriptor;
namespace RssType = intel::RssType;
using intel::kMaxRingBytes;
using intel::kRingAlign;

namespace RxStatus {
using namespace intel::RxStatus;
constexpr std::uint64_t rxe = 1u << 29;
}  // namespace RxStatus
namespace PacketType {  // bits as they stand in word0
constexpr std::uint32_t ipv4 = 0x0010, ipv4_options = 0x0020, ipv6 = 0x0040, ipv6_ext = 0x0080, tcp = 0x0100,
                        udp = 0x0200, sctp = 0x0400, etqf = 0x8000;
}

namespace TxCommand {
using namespace intel::TxCommand;
constexpr std::uint64_t cc = 1ull << 39;
}  // namespace TxCommand

}  // namespace vigia::hw::ixgbe
