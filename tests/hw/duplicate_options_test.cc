// SPDX-License-Identifier: Apache-2.0
#include "hw/duplicate_options.h"

#include <gtest/gtest.h>

namespace vigia::hw {
namespace {

using std::chrono::milliseconds;

TEST(DuplicateOptions, Words) {
  struct Row {
    const char* text;
    std::optional<DuplicateOptions> wanted;
  };
  const Row rows[] = {
      {"off", std::nullopt},
      {"on", DuplicateOptions{}},
      {"records=8", DuplicateOptions{.records = 8}},
      {"records=4M", DuplicateOptions{.records = 4u << 20}},
      {"window=1ms,keep=mark", DuplicateOptions{.window = milliseconds(1), .keep = true}},
      {"window=1m", DuplicateOptions{.window = milliseconds(60'000)}},
      {"bytes=256,keep=mark,keep=drop", DuplicateOptions{.bytes = 256}},
      {"bytes=16", DuplicateOptions{.bytes = 16}},
  };
  for (const Row& row : rows) {
    const auto got = parse_duplicate_options(row.text);
    ASSERT_TRUE(got) << row.text << ": " << got.error().text;
    EXPECT_EQ(*got, row.wanted) << row.text;
    if (!*got) continue;
    const auto again = parse_duplicate_options(text_of(**got));
    ASSERT_TRUE(again) << text_of(**got);
    EXPECT_EQ(*again, *got);
  }
}

TEST(DuplicateOptions, RefusalsNameTheWordAndWhatItMayBe) {
  const std::pair<const char*, const char*> rows[] = {
      {"", "\"\": want on, off, or"},         {"on,", "\"on\""},
      {"window=1s,", "\"\": want on"},        {"records=7", "records=8 to"},
      {"records=4194305", "to records=4M"},   {"records", "\"records\": want records=8"},
      {"window=0", "want window=1ms"},        {"window=61s", "to window=60s"},
      {"bytes=15", "want bytes=16"},          {"bytes=257", "to bytes=256"},
      {"keep=yes", "keep=mark or keep=drop"}, {"windows=1s", "did you mean window=?"},
  };
  for (const auto& [text, wanted] : rows) {
    const auto got = parse_duplicate_options(text);
    ASSERT_FALSE(got) << text;
    EXPECT_NE(got.error().text.find(wanted), std::string::npos) << text << ": " << got.error().text;
    EXPECT_EQ(got.error().exit_status(), 2);
  }
}

}  // namespace
}  // namespace vigia::hw
