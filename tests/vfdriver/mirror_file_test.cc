// SPDX-License-Identifier: Apache-2.0
// A file of mirror rules while others write it.
#include "vfdriver/mirror_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "tests/vfdriver/temp_dir.h"

namespace vigia::vf {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

// Mirrors "from>to" of what the VF `from` receives.
std::string port(const std::string& mirrors) {
  std::string list;
  std::istringstream words(mirrors);
  for (std::string word; words >> word;) {
    list += list.empty() ? "" : ",";
    list += std::string("{\"from\":") + word[0] + ",\"to\":" + word[2] + ",\"direction\":\"rx\"}";
  }
  return R"({"vfs":[{"index":0,"macs":["02:00:00:00:00:00"],"vlans":[],"port_vlan":null},
    {"index":1,"macs":["02:00:00:00:00:01"],"vlans":[],"port_vlan":null},
    {"index":2,"macs":["02:00:00:00:00:02"],"vlans":[],"port_vlan":null}],"rules":[],"mirrors":[)" +
         list + "]}";
}

class MirrorFileTest : public ::testing::Test {
 protected:
  // age: of the file when it is looked at.
  void write(const std::string& text, seconds age = seconds(60)) {
    std::ofstream(path_) << text;
    std::filesystem::last_write_time(path_, std::filesystem::file_time_type::clock::now() - age);
  }
  // What look() says: tenants, or why not; "as it was".
  std::string look() {
    const auto news = file_.look();
    if (!news) return "as it was";
    if (!*news) return (*news).error().text;
    std::string tenants;
    for (const MirroredTenant& tenant : (*news)->tenants) tenants += tenant.macs.front().text().back();
    return "tenants " + tenants;
  }

  TempDir dir_;
  const std::filesystem::path path_ = dir_ / "m.json";
  MirrorFile file_{path_, {}, {}};
};

TEST_F(MirrorFileTest, EachChangeIsSeenOnce) {
  write(port("0>2"));
  EXPECT_EQ(look(), "tenants 0");
  EXPECT_EQ(look(), "as it was");
  write(port("0>2 1>2"), seconds(50));
  EXPECT_EQ(look(), "tenants 01");
  write(port("0>2 1>2"), seconds(40));
  EXPECT_EQ(look(), "as it was") << "written anew, with the same in it";
  write(port("1>2"), seconds(30));
  EXPECT_EQ(look(), "tenants 1");
}

TEST_F(MirrorFileTest, NothingMirroredAnyMoreIsBelievedAndTheAgentStaysWhoItIs) {
  write(port("0>2"));
  EXPECT_EQ(look(), "tenants 0");
  write(port("1>0"), seconds(50));
  EXPECT_EQ(look(), "tenants ") << "not those of another agent, now the only one";
  write(port(""), seconds(40));
  EXPECT_EQ(look(), "tenants ");
  write(port("1>2 2>0"), seconds(30));
  EXPECT_EQ(look(), "tenants 1");
}

TEST_F(MirrorFileTest, AHalfWrittenFileChangesNothing) {
  write(port("0>2"));
  EXPECT_EQ(look(), "tenants 0");
  const std::string next = port("0>2 1>2");
  for (std::size_t n = 0; n < next.size(); n += 7) {
    write(next.substr(0, n), seconds(0));
    EXPECT_EQ(look(), "as it was") << n;
  }
  write(next, seconds(0));
  EXPECT_EQ(look(), "tenants 01");
}

TEST_F(MirrorFileTest, WhatStaysWrongIsSaidOnce) {
  EXPECT_THAT(look(), HasSubstr("m.json: cannot be read"));
  EXPECT_EQ(look(), "as it was");
  write(port("0>2"));
  EXPECT_EQ(look(), "tenants 0");
  write("{}", seconds(50));
  EXPECT_THAT(look(), HasSubstr("m.json: not what `vigia pf show --json`"));
  EXPECT_EQ(look(), "as it was");
  write("[]", seconds(40));
  EXPECT_THAT(look(), HasSubstr("m.json: not what")) << "it changed, and is wrong in another way";
  std::filesystem::remove(path_);
  EXPECT_THAT(look(), HasSubstr("m.json: cannot be read"));
  EXPECT_EQ(look(), "as it was");
  write(port("1>2"));
  EXPECT_EQ(look(), "tenants 1");
}

// Two writes of the same length within a tick of the file system's clock.
TEST_F(MirrorFileTest, AYoungFileIsReadAgainAlthoughItLooksTheSame) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto at_once = [&](const std::string& text) {
    std::ofstream(path_) << text;
    const timespec times[2] = {now, now};
    ASSERT_EQ(::utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  };
  at_once(port("0>2"));
  EXPECT_EQ(look(), "tenants 0");
  at_once(port("1>2"));
  EXPECT_EQ(look(), "tenants 1");
}

}  // namespace
}  // namespace vigia::vf
