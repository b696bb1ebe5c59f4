// SPDX-License-Identifier: Apache-2.0
#include "hw/accounts.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vigia::hw::accounts {
namespace {

TEST(Accounts, NamesOfLanes) {
  EXPECT_EQ(of_lane("engine.taken", std::nullopt), "engine.taken");
  EXPECT_EQ(of_lane("engine.taken", 0), "engine@0.taken");
  EXPECT_EQ(of_lane("store.stored_bytes", 13), "store@13.stored_bytes");
}

TEST(Accounts, EachEngineAndStoreHasItsOwn) {
  const auto has = [](const std::vector<std::string>& names, const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const auto one = capture_names();
  EXPECT_TRUE(has(one, "engine.taken") && has(one, "store.read"));
  const auto merged = capture_names(2, 1);
  EXPECT_TRUE(has(merged, "engine@0.taken") && has(merged, "engine@1.taken") && has(merged, "store.read"));
  EXPECT_FALSE(has(merged, "engine.taken")) << "readers add the sum";
  const auto apart = capture_names(2, 2);
  EXPECT_TRUE(has(apart, "store@1.read"));
  EXPECT_EQ(apart.size(), 2 * one.size());
}

TEST(Accounts, EveryNameHasAMeaning) {
  for (const unsigned lanes : {1u, 4u}) {
    for (const std::string& name : capture_names(lanes, lanes)) EXPECT_FALSE(meaning_of(name).empty()) << name;
  }
  for (const Account& a : kCopies) EXPECT_EQ(meaning_of(of_lane(a.name, 1)), a.meaning);
  EXPECT_EQ(meaning_of("engine@1.taken"), meaning_of("engine.taken"));
  for (const char* none : {"", "@", "engine@1", "engine@.nothing", "x@1.y"}) EXPECT_TRUE(meaning_of(none).empty());
}

}  // namespace
}  // namespace vigia::hw::accounts
