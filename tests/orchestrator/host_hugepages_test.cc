// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/host_hugepages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/temp_dir.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uint64_t k2M = 2u << 20, k1G = 1u << 30;

class Hugepages : public testing::Test {
 protected:
  Hugepages() {
    fs::create_directories(pool());
    std::ofstream(pool() / "nr_hugepages") << "7\n";
    std::ofstream(pool() / "free_hugepages") << "3\n";
  }
  fs::path pool() const { return dir_ / "sys/devices/system/node/node1/hugepages/hugepages-2048kB"; }
  test::TempDir dir_;
};

TEST_F(Hugepages, AreWrittenAndReadBack) {
  const auto done = set_hugepages(dir_.path(), 1, k2M, 12);
  ASSERT_TRUE(done) << done.error().text;
  EXPECT_EQ(done->before, 7u);
  EXPECT_EQ(done->after, 12u);
  EXPECT_EQ(done->free, 3u);
  std::string text;
  std::ifstream(pool() / "nr_hugepages") >> text;
  EXPECT_EQ(text, "12");
}

TEST_F(Hugepages, WhatTheHostHasNotIsAnInputErrorThatSaysWhatThereIs) {
  const auto node = set_hugepages(dir_.path(), 0, k2M, 1);
  ASSERT_FALSE(node);
  EXPECT_EQ(node.error().exit_status(), 2);
  EXPECT_THAT(node.error().text, HasSubstr("has node1"));
  const auto size = set_hugepages(dir_.path(), 1, k1G, 1);
  ASSERT_FALSE(size);
  EXPECT_EQ(size.error().exit_status(), 2);
  EXPECT_THAT(size.error().text, HasSubstr("it has hugepages-2048kB"));
}

TEST_F(Hugepages, AKernelThatGivesOtherThanAskedIsReadNotBelieved) {
  fs::remove(pool() / "nr_hugepages");
  fs::create_symlink("/proc/version", pool() / "nr_hugepages");  // nobody may write there
  const auto done = set_hugepages(dir_.path(), 1, k2M, 12);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().exit_status(), 1);
  fs::remove(pool() / "nr_hugepages");
  fs::create_symlink("/dev/null", pool() / "nr_hugepages");  // takes every number, keeps none
  const auto none = set_hugepages(dir_.path(), 1, k2M, 12);
  ASSERT_TRUE(none) << none.error().text;
  EXPECT_EQ(none->after, 0u);
}

}  // namespace
}  // namespace vigia::orch
