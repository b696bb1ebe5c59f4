// SPDX-License-Identifier: Apache-2.0
// The generator dpdk with a shell script for testpmd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "pfdriver/dpdk/manager.h"
#include "tests/pfdriver/fake_host.h"
#include "tests/temp_dir.h"

namespace vigia::pf {
namespace {

using testing::HasSubstr;

class DpdkTest : public testing::Test {
 protected:
  // answer: shell text for `set vf mac addr`; end: for quit.
  std::string program(const std::string& answer, const std::string& before = "") {
    const auto path = dir_ / "testpmd";
    std::ofstream(path) << "#!/bin/sh\n"
                        << before << "\necho \"$@\" >" << (dir_ / "arguments").string()
                        << "\nprintf 'EAL: hello\\ntestpmd> '\nwhile read -r line; do case $line in\n"
                           "'show port info 0') printf 'Driver name: net_e1000_igb\\nLink status: up\\n';;\n"
                           "'set vf mac addr'*) "
                        << answer << ";;\nquit) exit 0;; esac; printf 'testpmd> '; done\n";
    ::chmod(path.c_str(), 0755);
    return path.string();
  }
  Result<std::unique_ptr<DpdkManager>> start(const std::string& yaml, const std::string& testpmd) {
    auto config = parse_config("pf:\n  generator: dpdk\n  vfs: 2\n" + yaml, "pf.yaml");
    EXPECT_TRUE(config) << config.error().text;
    return DpdkManager::start(*Sriov::find("pci:0000:01:00.0", dir_ / "sys"), *config, testpmd);
  }

  vigia::test::TempDir dir_;
  test::FakeHost host_{dir_ / "sys", "0x10c9", "vfio-pci"};
};

TEST_F(DpdkTest, MakesVfsThenStartsTestpmdWithATokenAndSetsMacs) {
  auto started = start("  vf: [{index: 1, mac: \"02:00:00:00:00:02\"}]\n", program(":"));
  ASSERT_TRUE(started) << started.error().text;
  EXPECT_EQ(host_.get("sriov_numvfs"), "2");
  EXPECT_THAT(hw::read_small_file(dir_ / "arguments"), HasSubstr("-a 0000:01:00.0 --vfio-vf-token="));
  const PortView view = started.value()->show();
  EXPECT_TRUE(view.up && view.link);
  EXPECT_EQ(view.vfs.size(), 2u);
  EXPECT_TRUE(started.value()->alive());
  started.value()->stop();
  EXPECT_FALSE(started.value()->alive());
  EXPECT_EQ(host_.get("sriov_numvfs"), "0");
}

TEST_F(DpdkTest, WhatDpdksDriverCannotIsAnErrorInItsWords) {
  const auto started =
      start("  vf: [{index: 0, mac: \"02:00:00:00:00:01\"}]\n", program("echo 'function not implemented'"));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, HasSubstr("set vf mac addr 0 0 02:00:00:00:00:01: DPDK's net_e1000_igb says: "
                                              "function not implemented; remove the mac"));
  EXPECT_EQ(host_.get("sriov_numvfs"), "0") << "the VFs have no PF";
}

TEST_F(DpdkTest, RefusesTapsAndAllItCannotTell) {
  EXPECT_THAT(start("  taps: [{name: t, from: [0], to: 1}]\n", "/nonexistent").error().text,
              HasSubstr("tap t: DPDK has no mirror rules since 21.11; use generator: native or kernel"));
  EXPECT_THAT(start("  vf: [{index: 0, trust: true}]\n", "/nonexistent").error().text,
              HasSubstr("only the MAC is told"));
  EXPECT_THAT(start("  loopback: false\n", "/nonexistent").error().text, HasSubstr("remove mtu, default_pool"));
  EXPECT_EQ(host_.get("sriov_numvfs"), "0");
}

TEST_F(DpdkTest, ATestpmdThatEndsOrIsNotThereIsAnErrorWithWhatItSaid) {
  EXPECT_THAT(start("", program("", "echo EAL: no hugepages; exit 1")).error().text,
              HasSubstr("it ended; it said: EAL: no hugepages"));
  EXPECT_THAT(start("", "/nonexistent/testpmd").error().text, HasSubstr("cannot be started; is the package dpdk-dev"));
  EXPECT_EQ(host_.get("sriov_numvfs"), "0");
}

TEST_F(DpdkTest, WantsVfioPciOnThePort) {
  vigia::test::TempDir other;
  const test::FakeHost igb(other / "sys");
  auto config = parse_config("pf:\n  generator: dpdk\n  vfs: 2\n", "pf.yaml");
  const auto started = DpdkManager::start(*Sriov::find("pci:0000:01:00.0", other / "sys"), *config, "x");
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, HasSubstr("it has driver igb; generator dpdk needs vfio-pci on it, loaded with"));
}

}  // namespace
}  // namespace vigia::pf
