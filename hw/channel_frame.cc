// SPDX-License-Identifier: Apache-2.0
#include "hw/channel_frame.h"

#include <nmmintrin.h>

#include <bit>
#include <cstring>

#include "hw/result.h"

namespace vigia::hw::channel {
namespace {

static_assert(std::endian::native == std::endian::little, "headers are copied as they are");

struct Header {
  std::uint32_t magic = 0x48434756;  // "VGCH"
  std::uint8_t version = 1;
  std::uint8_t type = 0;
  std::uint16_t zero = 0;
  std::uint32_t id = 0;
  std::uint32_t length = 0;
  std::uint32_t check = 0;
};
static_assert(sizeof(Header) == kFrameHeader && offsetof(Header, check) == 16);

// SAFETY: plain integers without padding, looked at as bytes.
std::string_view bytes_of(const Header& header) { return {reinterpret_cast<const char*>(&header), sizeof(header)}; }

std::uint32_t check_of(const Header& header, std::string_view payload) {
  return crc32c(payload, crc32c(bytes_of(header).substr(0, offsetof(Header, check))));
}

bool possible(const Header& header, std::size_t max_payload) {
  const Header ours;
  return header.magic == ours.magic && header.version == ours.version && header.zero == 0 && header.type >= 1 &&
         header.type <= static_cast<std::uint8_t>(FrameType::data) && header.length <= max_payload;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t before) {
  std::uint64_t crc = before ^ 0xffffffffu;
  while (bytes.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof(word));
    crc = _mm_crc32_u64(crc, word);
    bytes.remove_prefix(8);
  }
  auto rest = static_cast<std::uint32_t>(crc);
  for (const char c : bytes) rest = _mm_crc32_u8(rest, static_cast<unsigned char>(c));
  return rest ^ 0xffffffffu;
}

void append_frame(std::string& out, const Frame& frame) {
  vigia::check(frame.payload.size() <= kMaxPayload);
  Header header;
  header.type = static_cast<std::uint8_t>(frame.type);
  header.id = frame.id;
  header.length = static_cast<std::uint32_t>(frame.payload.size());
  header.check = check_of(header, frame.payload);
  out.append(bytes_of(header)).append(frame.payload);
}

void FrameParser::add(std::string_view bytes) {
  if (at_ > 0) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  buffer_.append(bytes);
}

void FrameParser::pass(std::size_t bytes) {
  at_ += bytes;
  passed_over_ += bytes;
}

std::optional<Frame> FrameParser::next() {
  const Header ours;
  const std::string_view magic = bytes_of(ours).substr(0, sizeof(ours.magic));
  for (;;) {
    const std::string_view left = std::string_view(buffer_).substr(at_);
    const auto found = left.find(magic);
    if (found != 0) {
      // The magic may be cut at the end of what has come.
      std::size_t keep = found == left.npos ? std::min(left.size(), magic.size() - 1) : left.size() - found;
      while (found == left.npos && keep > 0 && !magic.starts_with(left.substr(left.size() - keep))) --keep;
      pass(left.size() - keep);
      if (found == left.npos) return std::nullopt;
      continue;
    }
    if (left.size() < kFrameHeader) return std::nullopt;
    Header header;
    std::memcpy(&header, left.data(), sizeof(header));
    if (!possible(header, max_payload_)) {
      pass(1);
      continue;
    }
    if (left.size() - kFrameHeader < header.length) return std::nullopt;
    const std::string_view payload = left.substr(kFrameHeader, header.length);
    if (header.check != check_of(header, payload)) {
      pass(1);
      continue;
    }
    at_ += kFrameHeader + header.length;
    return Frame{static_cast<FrameType>(header.type), header.id, payload};
  }
}

void FrameParser::give_up() {
  if (waiting()) pass(1);
}

void FrameParser::reset() {
  buffer_.clear();
  at_ = 0;
}

}  // namespace vigia::hw::channel
