// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_disks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "host_samples.h"
#include "orchestrator/images.h"
#include "tests/temp_dir.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::uint64_t kMi = 1u << 20;

class VmDisks : public testing::Test {
 protected:
  VmDisks() {
    fs::create_directories(dir_ / "folder");
    std::ofstream(dir_ / "four") << "x";
    fs::resize_file(dir_ / "four", 4 * kMi);
    std::ofstream(dir_ / "twenty") << "x";
    fs::resize_file(dir_ / "twenty", 20 * kMi);
  }
  VmSpec spec(const std::string& path, std::uint64_t size) {
    VmSpec out = probe_spec();
    out.storage = {StorageMode::virtio, (dir_ / path).string(), size};
    return out;
  }
  void write_program(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
    fs::permissions(file, fs::perms::owner_all);
  }

  const test::TempDir dir_;
};

TEST_F(VmDisks, StorageThatCannotBeHadIsRefusedWithTheReason) {
  struct Case {
    std::string path;
    std::uint64_t size;
    const char* reason;
  };
  for (const Case& c :
       {Case{"none", 0, "is not there; with vm.storage.size it is made"},
        Case{"nowhere/x.img", 64 * kMi, "its folder is not there"},
        Case{"four/x.img", 64 * kMi, "its folder is not there"},
        Case{"folder", 64 * kMi, "neither a file nor a block device"},
        Case{"twenty", 20 * kMi + 512, "less than vm.storage.size"}, Case{"four", 0, "too small to capture to"}}) {
    const auto verdict = check_storage(spec(c.path, c.size));
    ASSERT_FALSE(verdict) << c.path;
    EXPECT_EQ(verdict.error().exit_status(), 2);
    EXPECT_THAT(verdict.error().text,
                AllOf(HasSubstr("probe.yaml: vm.storage.path: " + (dir_ / c.path).string()), HasSubstr(c.reason)));
  }
}

TEST_F(VmDisks, StorageThatIsThereOrCanBeMadeIsTaken) {
  for (const std::uint64_t size : {std::uint64_t{0}, 16 * kMi, 20 * kMi})
    EXPECT_TRUE(check_storage(spec("twenty", size)));
  EXPECT_TRUE(check_storage(spec("new.img", 64 * kMi)));
  EXPECT_FALSE(fs::exists(dir_ / "new.img")) << "looking makes nothing";
  VmSpec without = probe_spec();
  EXPECT_TRUE(check_storage(without));
  without.storage = {StorageMode::passthrough, "0000:5e:00.0", 0};
  EXPECT_TRUE(check_storage(without));
}

TEST_F(VmDisks, StorageIsMadeWithAllItsSpaceAndNeverTwice) {
  const VmSpec wanted = spec("new.img", 32 * kMi);
  EXPECT_TRUE(makes_storage(wanted.storage));
  ASSERT_TRUE(make_storage(wanted.storage));
  struct stat there {};
  ASSERT_EQ(::stat(wanted.storage.path.c_str(), &there), 0);
  EXPECT_EQ(there.st_size, 32 * static_cast<off_t>(kMi));
  EXPECT_GE(there.st_blocks * 512, there.st_size);
  EXPECT_EQ(there.st_mode & 0777u, 0600u);
  EXPECT_FALSE(makes_storage(wanted.storage));
  ASSERT_TRUE(make_storage(spec("twenty", 64 * kMi).storage));
  EXPECT_EQ(fs::file_size(dir_ / "twenty"), 20 * kMi) << "what is there is left as it is";
}

TEST_F(VmDisks, StorageLargerThanTheHostsDiskIsRefusedAndNotLeft) {
  const VmSpec wanted = spec("huge.img", std::uint64_t{1024} << 40);
  const auto made = make_storage(wanted.storage);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().exit_status(), 1);
  EXPECT_THAT(made.error().text,
              AllOf(HasSubstr("make the disk image " + wanted.storage.path), HasSubstr("make room")));
  EXPECT_FALSE(fs::exists(wanted.storage.path));
}

TEST_F(VmDisks, AnOverlayIsMadeByTheEmulatorsOwnTool) {
  DomainFiles files;
  files.run_dir = dir_.path();
  files.emulator = dir_ / "bin/qemu-system-x86_64";
  ASSERT_TRUE(make_overlay(files, "p1")) << "an image without a disk needs none";
  files.disk = "/images/disk.qcow2";
  write_program(dir_ / "bin/qemu-img", "#!/bin/sh\necho \"$*\" >" + (dir_ / "words").string() + "\n");
  ASSERT_TRUE(make_overlay(files, "p1"));
  std::string words;
  std::getline(std::ifstream(dir_ / "words"), words);
  EXPECT_EQ(words, "create -q -f qcow2 -F qcow2 -b /images/disk.qcow2 " + (dir_ / "p1.qcow2").string());

  write_program(dir_ / "bin/qemu-img", "#!/bin/sh\necho no such format; exit 1\n");
  const auto refused = make_overlay(files, "p1");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, AllOf(HasSubstr("/images/disk.qcow2"), HasSubstr("no such format")));
}

TEST_F(VmDisks, AnImageWithADiskAloneBootsFromIt) {
  const HostDirs dirs{dir_ / "images", dir_ / "run"};
  write_program(dirs.images / "runtime/bin/qemu-system-x86_64", "");
  write_program(dirs.images / "probe-disk/disk.qcow2", "");
  const auto files = find_image(dirs, "probe-disk");
  ASSERT_TRUE(files) << files.error().text;
  EXPECT_TRUE(files->kernel.empty());
  EXPECT_EQ(files->disk, dirs.images / "probe-disk/disk.qcow2");
  EXPECT_EQ(files->overlay("p1"), dirs.run / "p1.qcow2");
}

}  // namespace
}  // namespace vigia::orch
