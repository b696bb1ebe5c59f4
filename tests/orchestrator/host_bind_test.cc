// SPDX-License-Identifier: Apache-2.0
// `vigia host bind` on a sysfs of our own making, with a kernel that binds by driver_override and id.
#include "orchestrator/host_bind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "hw/pci_sysfs.h"
#include "tests/temp_dir.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HostBind : public ::testing::Test {
 protected:
  HostBind() {
    fs::create_directories(folder_);
    set(folder_ / "driver_override", "(null)\n");
    driver("igbvf");
    host_.sys = dir_ / "sys";
    host_.remembered = dir_ / "run/bind";
    host_.write = [this](const fs::path& file, const std::string& text) { return written(file, text); };
    host_.load = [this](const std::string& name) -> Result<Done> {
      loaded_.push_back(name);
      if (missing_.contains(name)) return work_error("load the kernel module " + name + ": no");
      driver(name);
      return Done{};
    };
  }

  static void set(const fs::path& file, const std::string& text) { std::ofstream(file) << text; }
  void driver(const std::string& name) { fs::create_directories(drivers_ / name); }
  void hold(const std::string& name) {
    fs::remove(folder_ / "driver");
    if (!name.empty()) fs::create_symlink(drivers_ / name, folder_ / "driver");
  }
  std::string held() const { return hw::look_at(kAddress, dir_ / "sys").driver; }
  std::string override_now() const { return hw::read_small_file(folder_ / "driver_override"); }
  void interface(const std::string& name, const std::string& flags) {
    fs::create_directories(folder_ / "net" / name);
    set(folder_ / "net" / name / "flags", flags);
  }

  // The kernel.
  Result<Done> written(const fs::path& file, const std::string& text) {
    if (file == folder_ / "driver_override") set(file, text == "\n" ? "(null)\n" : text);
    if (file.filename() == "unbind") hold("");
    if (file.filename() == "drivers_probe") {
      EXPECT_EQ(text, kAddress.text());
      const std::string wanted = override_now();
      const std::string name = wanted == "(null)" ? "igbvf" : wanted;
      if (!refusing_.contains(name) && fs::exists(drivers_ / name)) hold(name);
    }
    return Done{};
  }

  static constexpr hw::PciAddress kAddress{0, 1, 0x10, 0};
  test::TempDir dir_;
  const fs::path drivers_ = dir_ / "sys/bus/pci/drivers", folder_ = dir_ / "sys/bus/pci/devices/0000:01:10.0";
  std::vector<std::string> loaded_;
  std::set<std::string> missing_, refusing_;
  DriverHost host_;
};

TEST_F(HostBind, ThereAndBackAgain) {
  hold("igbvf");
  const auto bound = bind_function(host_, kAddress, "vfio-pci", false);
  ASSERT_TRUE(bound) << bound.error().text;
  EXPECT_EQ(bound->before, "igbvf");
  EXPECT_EQ(bound->after, "vfio-pci");
  EXPECT_EQ(held(), "vfio-pci");
  EXPECT_EQ(override_now(), "vfio-pci");
  EXPECT_THAT(loaded_, ElementsAre("vfio-pci", "vfio_iommu_type1"));
  const auto back = restore_function(host_, kAddress, false);
  ASSERT_TRUE(back) << back.error().text;
  EXPECT_EQ(held(), "igbvf");
  EXPECT_EQ(override_now(), "(null)");
  const auto again = restore_function(host_, kAddress, false);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().exit_status(), 2);
  EXPECT_THAT(again.error().text, HasSubstr("no driver is remembered"));
}

TEST_F(HostBind, TheFirstDriverIsTheOneRemembered) {
  hold("igbvf");
  ASSERT_TRUE(bind_function(host_, kAddress, "vfio-pci", false));
  ASSERT_TRUE(bind_function(host_, kAddress, "uio_pci_generic", false));
  ASSERT_TRUE(bind_function(host_, kAddress, "uio_pci_generic", false)) << "already there";
  ASSERT_TRUE(restore_function(host_, kAddress, false));
  EXPECT_EQ(held(), "igbvf");
}

TEST_F(HostBind, ADeviceWithoutADriverHasNoneAgain) {
  ASSERT_TRUE(bind_function(host_, kAddress, "vfio-pci", false));
  const auto back = restore_function(host_, kAddress, false);
  ASSERT_TRUE(back) << back.error().text;
  EXPECT_EQ(held(), "") << "not probed: igbvf would have taken it";
}

TEST_F(HostBind, AnOverrideOfTheAdministratorComesBack) {
  hold("igbvf");
  set(folder_ / "driver_override", "igbvf\n");
  ASSERT_TRUE(bind_function(host_, kAddress, "vfio-pci", false));
  ASSERT_TRUE(restore_function(host_, kAddress, false));
  EXPECT_EQ(override_now(), "igbvf");
}

TEST_F(HostBind, ADriverThatDoesNotTakeItIsToldAndTheOldOneIsBack) {
  hold("igbvf");
  refusing_.insert("vfio-pci");
  const auto bound = bind_function(host_, kAddress, "vfio-pci", false);
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().exit_status(), 1);
  EXPECT_THAT(bound.error().text, HasSubstr("does not take this device"));
  EXPECT_EQ(held(), "igbvf");
  EXPECT_EQ(override_now(), "(null)");
  EXPECT_FALSE(restore_function(host_, kAddress, false)) << "nothing was changed, nothing is remembered";
}

TEST_F(HostBind, Refusals) {
  const auto nobody = bind_function(host_, hw::PciAddress{0, 9, 0, 0}, "vfio-pci", false);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().exit_status(), 2);
  EXPECT_THAT(nobody.error().text, HasSubstr("no such PCI device"));

  hold("igbvf");
  missing_.insert("vfio-pci");
  EXPECT_THAT(bind_function(host_, kAddress, "vfio-pci", false).error().text, HasSubstr("load the kernel module"));
  EXPECT_EQ(held(), "igbvf");

  missing_.clear();
  interface("eth7", "0x1003\n");
  const auto up = bind_function(host_, kAddress, "vfio-pci", false);
  ASSERT_FALSE(up);
  EXPECT_EQ(up.error().exit_status(), 2);
  EXPECT_THAT(up.error().text, HasSubstr("interface eth7 is up"));
  EXPECT_EQ(held(), "igbvf");
  EXPECT_TRUE(bind_function(host_, kAddress, "vfio-pci", true)) << "--force";
}

TEST_F(HostBind, AnInterfaceThatIsDownIsNoObstacle) {
  hold("igbvf");
  interface("eth7", "0x1002\n");
  EXPECT_TRUE(bind_function(host_, kAddress, "vfio-pci", false));
}

TEST_F(HostBind, NeighboursInTheWayAreNamed) {
  const fs::path group = dir_ / "sys/kernel/iommu_groups/7";
  for (const auto& [address, name] : {std::pair{"0000:01:10.2", "igbvf"}, std::pair{"0000:00:1c.0", "pcieport"}}) {
    const fs::path other = dir_ / "sys/bus/pci/devices" / address;
    fs::create_directories(other);
    driver(name);
    fs::create_symlink(drivers_ / name, other / "driver");
    fs::create_directories(group / "devices" / address);
  }
  fs::create_directories(group / "devices/0000:01:10.0");
  fs::create_symlink(group, folder_ / "iommu_group");
  const auto bound = bind_function(host_, kAddress, "vfio-pci", false);
  ASSERT_TRUE(bound);
  EXPECT_THAT(bound->neighbours, ElementsAre("0000:01:10.2 (igbvf)"));
  EXPECT_THAT(bind_function(host_, kAddress, "igbvf", false)->neighbours, IsEmpty());
}

}  // namespace
}  // namespace vigia::orch
