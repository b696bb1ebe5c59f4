// SPDX-License-Identifier: Apache-2.0
// Bad input and a bad disk: a clear sentence, the right exit status, nothing half done, nothing left running.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "lab.h"

namespace vigia::system_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RefusalsTest : public LabTest {
 protected:
  // Refused as wrong input: status 2, the sentence, and not even the folder made.
  void expect_refused(const std::string& body, const std::string& sentence) const {
    const auto r = run_lab(body);
    EXPECT_EQ(r.status, 2) << r.err;
    EXPECT_THAT(r.err, HasSubstr(sentence));
    EXPECT_THAT(r.json["error"].get<std::string>(), HasSubstr(sentence));
    EXPECT_FALSE(fs::exists(out_)) << "something was made before the input was known to be good";
  }
  static std::string lab(const std::string& traffic,
                         const std::string& agent = "{name: agent, vf: 3, tap: {tenants: [web]}}") {
    return "  vfs: 4\n  traffic: {file: \"" + traffic + "\"}\n" +
           "  tenants:\n    - {name: web, vf: 0, mac: \"02:00:00:00:00:01\", match: \"tcp port 80\"}\n" +
           "    - {name: dns, vf: 1, mac: \"02:00:00:00:00:02\", match: \"udp port 53\"}\n  agent: " + agent + "\n";
  }
};

TEST_F(RefusalsTest, TruncatedCapture) {
  fs::copy_file(demo_capture(), dir_ / "cut.pcap");
  fs::resize_file(dir_ / "cut.pcap", fs::file_size(dir_ / "cut.pcap") - 10);
  expect_refused(lab(dir_ / "cut.pcap"), "record 1945: truncated dump file");
}

TEST_F(RefusalsTest, WrongLinkType) {
  std::ofstream out(dir_ / "raw.pcap", std::ios::binary);
  out << std::string("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x65\x00\x00\x00",
                     24);
  out.close();
  expect_refused(lab(dir_ / "raw.pcap"), "not Ethernet");
}

TEST_F(RefusalsTest, MissingCapture) { expect_refused(lab(dir_ / "gone.pcap"), "No such file or directory"); }

TEST_F(RefusalsTest, UnknownKey) { expect_refused(lab(demo_capture()) + "  tenans: []\n", "lab.yaml:8: lab.tenans"); }

TEST_F(RefusalsTest, DuplicateMac) {
  std::string body = lab(demo_capture());
  body.replace(body.find("00:00:02"), 8, "00:00:01");
  expect_refused(body, "lab.tenants[1].mac: 02:00:00:00:00:01 is \"web\"'s already");
}

TEST_F(RefusalsTest, VfOutOfRange) {
  expect_refused(lab(demo_capture(), "{name: agent, vf: 4, tap: {tenants: [web]}}"), "VF 4 does not exist");
}

TEST_F(RefusalsTest, TapToItself) {
  expect_refused(lab(demo_capture(), "{name: agent, vf: 3, tap: {tenants: [agent]}}"), "would tap itself");
}

TEST_F(RefusalsTest, TapThatWouldShowOthers) {
  // The 82599 cannot mirror what one VF sends; the alternative is named.
  expect_refused(lab(demo_capture(), "{name: agent, vf: 3, tap: {tenants: [web], direction: tx}}"), "allow_port_scope");
}

TEST_F(RefusalsTest, FiveRulesOnANicOfFour) {
  std::string body = "  vfs: 10\n  traffic: {file: \"" + demo_capture().string() + "\"}\n  tenants:\n";
  for (int i = 0; i < 5; ++i) body += "    - {name: t" + std::to_string(i) + ", vf: " + std::to_string(i) + "}\n";
  body += "  agents:\n";
  for (int i = 0; i < 5; ++i) {
    body += "    - {name: a" + std::to_string(i) + ", vf: " + std::to_string(5 + i) + ", tap: {tenants: [t" +
            std::to_string(i) + "]}}\n";
  }
  expect_refused(body, "rule");
}

TEST_F(RefusalsTest, MissingLabFile) {
  const auto done = run({program("vigia"), "lab", "run", dir_ / "gone.yaml", "--out", out_});
  EXPECT_EQ(done.status, 2);
  EXPECT_THAT(done.err, HasSubstr("gone.yaml"));
  EXPECT_EQ(done.out, "");
}

TEST_F(RefusalsTest, CommandLine) {
  EXPECT_EQ(run({program("vigia")}).status, 2);
  EXPECT_EQ(run({program("vigia"), "lab"}).status, 2);
  EXPECT_EQ(run({program("vigia"), "lab", "run"}).status, 2);
  EXPECT_EQ(run({program("vigia"), "ledger", dir_}).status, 2);
  EXPECT_EQ(run({program("vigia"), "completion", "tcsh"}).status, 2);
  EXPECT_EQ(run({program("vigia"), "--help"}).status, 0);
  EXPECT_EQ(run({program("vigia"), "--version"}).status, 0);
  EXPECT_EQ(run({program("vigia"), "explain", "lab"}).status, 0);
}

// A tmpfs of that many KiB at out_, for root only.
class SmallDisk {
 public:
  SmallDisk(fs::path at, unsigned kib) : at_(std::move(at)) {
    fs::create_directory(at_);
    mounted_ = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, ("size=" + std::to_string(kib) + "k").c_str()) == 0;
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }

 private:
  fs::path at_;
  bool mounted_ = false;
};

class FullDiskTest : public RefusalsTest {};

TEST_F(FullDiskTest, CaptureThatDoesNotFit) {
  const SmallDisk disk(out_, 2048);
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED, NOT PASSED: mounting a tmpfs needs root: " << std::strerror(errno);
  const auto r = run_lab(
      "  vfs: 2\n  traffic: {gen: {size: 512, flows: 16, count: 50000}}\n  tenants: [{name: web, vf: 0}]\n"
      "  agent: {name: agent, vf: 1, tap: {tenants: [web]}}\n");
  ASSERT_TRUE(r.json.contains("ledger")) << r.json.dump(2) << r.err;
  EXPECT_EQ(r.status, 1);
  EXPECT_THAT(r.err, HasSubstr("No space left on device"));
  EXPECT_THAT(r.json["problems"].dump(), HasSubstr("agent"));
  EXPECT_TRUE(r.json["ledger"]["balanced"]) << r.json["ledger"].dump(2);
  EXPECT_GT(r.json["ledger"]["accounts"]["agent.store.disk_dropped"], 0);
  EXPECT_EQ(r.json["tenants"][0]["frames"], 50000);  // the tenant notices nothing
  EXPECT_GT(r.json["agent"]["frames"], 0);
  EXPECT_TRUE(r.json["died"].empty());
}

TEST_F(FullDiskTest, TrafficThatDoesNotFit) {
  const SmallDisk disk(out_, 256);
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED, NOT PASSED: mounting a tmpfs needs root: " << std::strerror(errno);
  const auto r = run_lab(lab(demo_capture()));
  EXPECT_EQ(r.status, 1);
  EXPECT_THAT(r.err, HasSubstr("No space left on device"));
}

TEST_F(RefusalsTest, NoHugepagesIsARemarkNotAFailure) {
  std::ifstream pages("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
  int number = 0;
  pages >> number;
  if (number != 0) GTEST_SKIP() << "SKIPPED, NOT PASSED: this machine has " << number << " hugepages of 2 MiB";
  const auto r = run_lab(lab(demo_capture()));
  EXPECT_EQ(r.status, 0) << r.err;
  std::ifstream log(out_ / "agent.log");
  const std::string text((std::istreambuf_iterator<char>(log)), std::istreambuf_iterator<char>());
  EXPECT_THAT(text, HasSubstr("ordinary pages"));
}

TEST_F(RefusalsTest, LongFolderNamesStillHaveSockets) {
  const fs::path deep = dir_ / std::string(120, 'd');
  write_lab(lab(demo_capture()));
  const auto done = run({program("vigia"), "lab", "run", dir_ / "lab.yaml", "--out", deep, "--json"});
  EXPECT_EQ(done.status, 0) << done.err;
  expect_nobody_left();
  const auto json = nlohmann::json::parse(done.out, nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_TRUE(fs::exists(json["agent"]["file"].get<std::string>()));
}

}  // namespace
}  // namespace vigia::system_test
