// SPDX-License-Identifier: Apache-2.0
#include "hw/duplicate_options.h"

#include <fmt/core.h>

#include <array>

#include "hw/spelling.h"
#include "hw/values.h"

namespace vigia::hw {
namespace {

constexpr std::uint64_t kMinRecords = 8, kMaxRecords = 4u << 20, kMinBytes = 16, kMaxBytes = 256;
constexpr std::chrono::milliseconds kMaxWindow{60'000};

Error refused(std::string_view word, std::string_view why) { return input_error(fmt::format("\"{}\": {}", word, why)); }

Result<Done> read_word(std::string_view word, DuplicateOptions& options) {
  static const std::array<std::string, 4> kKeys{"records", "window", "bytes", "keep"};
  const auto equals = word.find('=');
  const std::string_view key = word.substr(0, equals);
  const std::string_view value = equals == word.npos ? std::string_view{} : word.substr(equals + 1);
  if (key == "records") {
    const auto n = parse_size(value);
    if (!n || *n < kMinRecords || *n > kMaxRecords) return refused(word, "want records=8 to records=4M");
    options.records = static_cast<std::uint32_t>(*n);
  } else if (key == "window") {
    const auto time = parse_duration(value);
    if (!time || *time > kMaxWindow) return refused(word, "want window=1ms to window=60s");
    options.window = *time;
  } else if (key == "bytes") {
    const auto n = parse_size(value);
    if (!n || *n < kMinBytes || *n > kMaxBytes) return refused(word, "want bytes=16 to bytes=256");
    options.bytes = static_cast<std::uint32_t>(*n);
  } else if (key == "keep") {
    if (value != "mark" && value != "drop") return refused(word, "want keep=mark or keep=drop");
    options.keep = value == "mark";
  } else {
    const std::string_view near = nearest(key, kKeys);
    return refused(word, "want on, off, or records=, window=, bytes=, keep=" +
                             (near.empty() ? "" : fmt::format("; did you mean {}=?", near)));
  }
  return Done{};
}

}  // namespace

Result<std::optional<DuplicateOptions>> parse_duplicate_options(std::string_view text) {
  DuplicateOptions options;
  if (text == "off") return std::optional<DuplicateOptions>();
  if (text == "on") return std::optional(options);
  for (;;) {
    const auto comma = text.find(',');
    if (auto ok = read_word(text.substr(0, comma), options); !ok) return ok.error();
    if (comma == text.npos) return std::optional(options);
    text.remove_prefix(comma + 1);
  }
}

std::string text_of(const DuplicateOptions& options) {
  return fmt::format("records={},window={}ms,bytes={},keep={}", options.records, options.window.count(), options.bytes,
                     options.keep ? "mark" : "drop");
}

}  // namespace vigia::hw
