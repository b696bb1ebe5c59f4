// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/clock_notes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

namespace vigia::vf {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kClock = "clock: ";
// Numbers of draft-ietf-opsawg-pcapng, sections 3.5 and 4; blocks of the byte order in which we write.
constexpr std::uint32_t kSection = 0x0a0d0d0a, kByteOrder = 0x1a2b3c4d, kStatistics = 5;
constexpr std::uint16_t kCommentOption = 1;
constexpr std::size_t kBlockHead = 8, kSectionBody = 16, kStatisticsBody = 12;
// Larger blocks are not ours.
constexpr std::uint32_t kMaxBlock = 1 << 20;
constexpr std::uintmax_t kMaxNotes = 1 << 20;

std::uint32_t word_at(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  if (at + sizeof(value) <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

// What the file holds from there on, at most n bytes.
std::string bytes_at(std::ifstream& in, std::uint64_t offset, std::size_t n) {
  std::string bytes(n, '\0');
  in.clear();
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(bytes.data(), static_cast<std::streamsize>(n));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return bytes;
}

// The clock's line in the comments among a block's options, which begin at `at`.
std::string line_in_options(const std::string& block, std::size_t at) {
  std::string line;
  while (at + 4 <= block.size()) {
    const std::uint32_t head = word_at(block, at);
    const std::size_t length = head >> 16;
    at += 4;
    if ((head & 0xffff) == 0 || at + length > block.size()) break;
    if ((head & 0xffff) == kCommentOption) {
      if (auto found = clock_line(std::string_view(block).substr(at, length)); !found.empty()) line = std::move(found);
    }
    at += (length + 3) & ~std::size_t{3};
  }
  return line;
}

}  // namespace

std::string clock_line(std::string_view comment) {
  for (std::size_t at = 0; at < comment.size();) {
    const std::size_t end = std::min(comment.find('\n', at), comment.size());
    const std::string_view line = comment.substr(at, end - at);
    if (line.starts_with(kClock)) return std::string(line);
    at = end + 1;
  }
  return {};
}

fs::path notes_path(const fs::path& raw_file) { return fs::path(raw_file).replace_extension(".json"); }

Result<Done> write_notes(const fs::path& raw_file, const CaptureDescription& description) {
  const nlohmann::ordered_json notes{{"clock", clock_line(description.comment)},
                                     {"hardware", description.hardware},
                                     {"interface", description.interface},
                                     {"tap", description.tap}};
  const fs::path path = notes_path(raw_file);
  fs::path half = path;
  half += ".part";
  std::ofstream out(half);
  // Names come from outside: what is no UTF-8 is replaced, not refused.
  out << notes.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
  out.close();
  std::error_code failed;
  if (!out) {
    const Error error = os_error("write " + half.string());
    fs::remove(half, failed);
    return error;
  }
  fs::rename(half, path, failed);
  if (failed) return os_error("rename " + half.string(), failed.value());
  return Done{};
}

std::string read_raw_clock(const fs::path& raw_file) {
  const fs::path path = notes_path(raw_file);
  std::error_code failed;
  if (const auto size = fs::file_size(path, failed); failed || size > kMaxNotes) return {};
  std::ifstream in(path);
  const auto notes = nlohmann::json::parse(in, nullptr, false);
  if (!notes.is_object() || !notes.contains("clock") || !notes["clock"].is_string()) return {};
  return clock_line(notes["clock"].get<std::string>());
}

std::string read_pcapng_clock(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string head = bytes_at(in, 0, kBlockHead + sizeof(kByteOrder));
  if (word_at(head, 0) != kSection || word_at(head, kBlockHead) != kByteOrder) return {};
  const auto options = [&](std::uint64_t at, std::uint32_t length, std::size_t body) -> std::string {
    if (length < kBlockHead + body + 4 || length > kMaxBlock) return {};
    return line_in_options(bytes_at(in, at, length - 4), kBlockHead + body);
  };
  // The last block is found from behind: a block ends with its length.
  std::error_code failed;
  const auto size = fs::file_size(file, failed);
  if (!failed && size > kBlockHead) {
    const std::uint32_t length = word_at(bytes_at(in, size - 4, 4), 0);
    if (length <= size && word_at(bytes_at(in, size - length, kBlockHead), 0) == kStatistics) {
      if (auto line = options(size - length, length, kStatisticsBody); !line.empty()) return line;
    }
  }
  return options(0, word_at(head, 4), kSectionBody);
}

}  // namespace vigia::vf
