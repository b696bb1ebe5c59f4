// SPDX-License-Identifier: Apache-2.0
// What a context descriptor asks for: checksums and segmentation (82599 datasheet 7.2.4 and 7.2.5). Pure functions on
// bytes; nothing here trusts a length that a guest gave.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace vigia::softnic {

enum class L4 : std::uint8_t { udp, tcp, sctp, unknown };

struct TxOffload {
  bool ip_checksum = false;  // POPTS.IXSM: IPv4 header checksum
  bool l4_checksum = false;  // POPTS.TXSM: the field holds the pseudo-header's sum
  bool segment = false;      // DCMD.TSE
  bool ipv4 = false;
  L4 l4 = L4::unknown;
  std::uint32_t mac_bytes = 0, ip_bytes = 0, l4_bytes = 0;  // header lengths; the last only for segmentation
  std::uint32_t mss = 0;                                    // payload of a segment

  bool any() const { return ip_checksum || l4_checksum || segment; }
};

// Why the request makes no sense for a frame of so many bytes, or empty if it does.
std::string_view offload_error(const TxOffload& offload, std::size_t frame_bytes);

// Fills in the checksums of one frame. The request has passed offload_error().
void apply_checksums(const TxOffload& offload, std::span<std::byte> frame);

// Cuts a large frame into frames of at most mss payload bytes: headers copied, IP length and identification, TCP
// sequence number and flags or UDP length adapted, checksums computed.
class Segmenter {
 public:
  // The request has passed offload_error(); large stays valid until the last next().
  Segmenter(const TxOffload& offload, std::span<const std::byte> large);

  // The next frame, written to out (replaced) behind `headroom` bytes, or false when there is none.
  bool next(std::vector<std::byte>& out, std::size_t headroom);

 private:
  void adapt_ip(std::span<std::byte> frame) const;
  void adapt_l4(std::span<std::byte> frame, std::size_t payload, bool last) const;

  TxOffload offload_;
  std::span<const std::byte> large_;
  std::size_t header_, sent_ = 0;
  std::uint16_t number_ = 0;
};

// CRC-32C as SCTP uses it (RFC 4960 appendix B).
std::uint32_t crc32c(std::span<const std::byte> bytes);

}  // namespace vigia::softnic
