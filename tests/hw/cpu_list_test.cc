// SPDX-License-Identifier: Apache-2.0
#include "hw/cpu_list.h"

#include <gtest/gtest.h>

namespace vigia::hw {
namespace {

TEST(CpuList, BothWays) {
  EXPECT_EQ(parse_cpu_list("0-3,8\n"), (std::vector<unsigned>{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_cpu_list("\n"), std::vector<unsigned>{});
  for (const char* text : {"3-1", "a", "1-", "-1", "1,,2", "1,", "0-4096", "4294967296"})
    EXPECT_FALSE(parse_cpu_list(text)) << text;
  EXPECT_EQ(cpu_list_text({8, 0, 2, 1}), "0-2,8");
  EXPECT_EQ(cpu_list_text({}), "");
}

}  // namespace
}  // namespace vigia::hw
