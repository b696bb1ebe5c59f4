// SPDX-License-Identifier: Apache-2.0
#include "softnic/tx_offload.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace vigia::softnic {
namespace {

constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40;
constexpr std::size_t kIpv4Length = 2, kIpv4Id = 4, kIpv4Checksum = 10, kIpv6Length = 4;
constexpr std::size_t kTcpHeader = 20, kTcpSequence = 4, kTcpFlags = 13, kTcpChecksum = 16;
constexpr std::size_t kUdpHeader = 8, kUdpLength = 4, kUdpChecksum = 6;
constexpr std::size_t kSctpHeader = 12, kSctpChecksum = 8;
constexpr unsigned kFin = 0x01, kPush = 0x08, kCongestionReduced = 0x80;

std::uint32_t get16(std::span<const std::byte> b, std::size_t at) {
  return std::to_integer<std::uint32_t>(b[at]) << 8 | std::to_integer<std::uint32_t>(b[at + 1]);
}

void put16(std::span<std::byte> b, std::size_t at, std::uint32_t value) {
  b[at] = static_cast<std::byte>(value >> 8);
  b[at + 1] = static_cast<std::byte>(value);
}

// One's complement sum in network order, folded. An odd last byte counts as if a zero followed.
std::uint32_t sum16(std::span<const std::byte> b, std::uint64_t sum) {
  std::size_t i = 0;
  for (; i + 1 < b.size(); i += 2) sum += get16(b, i);
  if (i < b.size()) sum += std::to_integer<std::uint32_t>(b[i]) << 8;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint32_t>(sum);
}

std::size_t l4_header(L4 l4) { return l4 == L4::tcp ? kTcpHeader : l4 == L4::udp ? kUdpHeader : kSctpHeader; }

// Completes the L4 checksum whose field holds a seed. extra is added: the L4 length when the seed lacks it (TSO).
void fill_l4(const TxOffload& o, std::span<std::byte> frame, std::uint32_t extra) {
  const std::span<std::byte> l4 = frame.subspan(o.mac_bytes + o.ip_bytes);
  if (o.l4 == L4::sctp) {
    std::memset(l4.data() + kSctpChecksum, 0, 4);
    const std::uint32_t crc = crc32c(l4);
    std::memcpy(l4.data() + kSctpChecksum, &crc, 4);  // little-endian on the wire
    return;
  }
  std::uint32_t sum = ~sum16(l4, extra) & 0xffff;
  if (o.l4 == L4::udp && sum == 0) sum = 0xffff;  // 0 means "no checksum" in UDP
  put16(l4, o.l4 == L4::tcp ? kTcpChecksum : kUdpChecksum, sum);
}

void fill_ip(const TxOffload& o, std::span<std::byte> frame) {
  const std::span<std::byte> ip = frame.subspan(o.mac_bytes, o.ip_bytes);
  put16(ip, kIpv4Checksum, 0);
  put16(ip, kIpv4Checksum, ~sum16(ip, 0) & 0xffff);
}

}  // namespace

std::string_view offload_error(const TxOffload& o, std::size_t frame_bytes) {
  if (!o.any()) return {};
  const std::size_t l4_at = std::size_t{o.mac_bytes} + o.ip_bytes;
  if (o.ip_checksum && (!o.ipv4 || o.ip_bytes < kIpv4Header || l4_at > frame_bytes)) {
    return "IPv4 checksum asked for a frame that has no room for an IPv4 header";
  }
  if (o.l4_checksum || o.segment) {
    if (o.l4 == L4::unknown) return "checksum or segmentation asked for a reserved L4 type";
    if (l4_at + l4_header(o.l4) > frame_bytes) return "L4 checksum asked beyond the end of the frame";
  }
  if (!o.segment) return {};
  if (o.l4 == L4::sctp) return "segmentation asked for SCTP";
  if (o.mss == 0) return "segmentation asked with MSS 0";
  if (o.ip_bytes < (o.ipv4 ? kIpv4Header : kIpv6Header)) return "segmentation asked with a short IP header";
  if (o.l4_bytes < l4_header(o.l4)) return "segmentation asked with a short L4 header";
  if (l4_at + o.l4_bytes > frame_bytes) return "segmentation asked with headers longer than the data";
  return {};
}

void apply_checksums(const TxOffload& o, std::span<std::byte> frame) {
  if (o.l4_checksum) fill_l4(o, frame, 0);
  if (o.ip_checksum) fill_ip(o, frame);
}

Segmenter::Segmenter(const TxOffload& offload, std::span<const std::byte> large)
    : offload_(offload), large_(large), header_(offload.mac_bytes + offload.ip_bytes + offload.l4_bytes) {}

bool Segmenter::next(std::vector<std::byte>& out, std::size_t headroom) {
  const std::size_t left = large_.size() - header_ - sent_;
  if (left == 0 && number_ != 0) return false;
  const std::size_t payload = std::min<std::size_t>(left, offload_.mss);
  out.resize(headroom + header_ + payload);
  const std::span<std::byte> frame = std::span(out).subspan(headroom);
  std::memcpy(frame.data(), large_.data(), header_);
  if (payload != 0) std::memcpy(frame.data() + header_, large_.data() + header_ + sent_, payload);
  adapt_ip(frame);
  adapt_l4(frame, payload, payload == left);
  sent_ += payload;
  ++number_;
  return true;
}

void Segmenter::adapt_ip(std::span<std::byte> frame) const {
  const std::span<std::byte> ip = frame.subspan(offload_.mac_bytes);
  if (!offload_.ipv4) {
    put16(ip, kIpv6Length, static_cast<std::uint32_t>(ip.size() - kIpv6Header));
    return;
  }
  put16(ip, kIpv4Length, static_cast<std::uint32_t>(ip.size()));
  put16(ip, kIpv4Id, get16(ip, kIpv4Id) + number_);
  fill_ip(offload_, frame);
}

void Segmenter::adapt_l4(std::span<std::byte> frame, std::size_t payload, bool last) const {
  const std::span<std::byte> l4 = frame.subspan(offload_.mac_bytes + offload_.ip_bytes);
  if (offload_.l4 == L4::tcp) {
    const std::uint32_t sequence =
        (get16(l4, kTcpSequence) << 16 | get16(l4, kTcpSequence + 2)) + static_cast<std::uint32_t>(sent_);
    put16(l4, kTcpSequence, sequence >> 16);
    put16(l4, kTcpSequence + 2, sequence);
    unsigned flags = std::to_integer<unsigned>(l4[kTcpFlags]);
    if (!last) flags &= ~(kFin | kPush);
    if (number_ != 0) flags &= ~kCongestionReduced;
    l4[kTcpFlags] = static_cast<std::byte>(flags);
  } else {
    put16(l4, kUdpLength, static_cast<std::uint32_t>(offload_.l4_bytes + payload));
  }
  fill_l4(offload_, frame, static_cast<std::uint32_t>(offload_.l4_bytes + payload));
}

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < t.size(); ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) != 0 ? 0x82F63B78u : 0);
      t[i] = c;
    }
    return t;
  }();
  std::uint32_t crc = ~0u;
  for (const std::byte b : bytes) crc = (crc >> 8) ^ table[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff];
  return ~crc;
}

}  // namespace vigia::softnic
