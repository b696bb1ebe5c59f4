// SPDX-License-Identifier: Apache-2.0
#include "hw/meminfo.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/temp_dir.h"

namespace vigia::hw {
namespace {

using test::TempDir;

TEST(Meminfo, FieldsOfTheMachineAndOfANode) {
  TempDir dir;
  std::ofstream(dir / "meminfo") << "MemTotal:       16384 kB\nMemFree:  x kB\nMemAvailable: 0 kB\n";
  std::ofstream(dir / "node") << "Node 0 MemTotal:     2048 kB\n";
  EXPECT_EQ(memory_field(dir / "meminfo", "MemTotal:"), 16u << 20);
  EXPECT_EQ(memory_field(dir / "meminfo", "MemAvailable:"), 0u);
  EXPECT_EQ(memory_field(dir / "node", "MemTotal:"), 2u << 20);
  EXPECT_EQ(memory_field(dir / "meminfo", "MemFree:"), std::nullopt) << "not a number";
  EXPECT_EQ(memory_field(dir / "meminfo", "SwapFree:"), std::nullopt);
  EXPECT_EQ(memory_field(dir / "none", "MemTotal:"), std::nullopt);
}

}  // namespace
}  // namespace vigia::hw
