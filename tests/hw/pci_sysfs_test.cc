// SPDX-License-Identifier: Apache-2.0
// A sysfs of our own making, what is read from it, and the sentences that follow.
#include "hw/pci_sysfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "hw/vfio_refusal.h"
#include "tests/temp_dir.h"

namespace vigia::hw {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(PciAddress, Table) {
  struct Row {
    const char* text;
    std::optional<PciAddress> address;
  };
  const Row rows[] = {
      {"0000:01:00.0", PciAddress{0, 1, 0, 0}},
      {"0000:3B:1f.7", PciAddress{0, 0x3b, 0x1f, 7}},
      {"01:10.2", PciAddress{0, 1, 0x10, 2}},
      {"10000:01:00.0", PciAddress{0x10000, 1, 0, 0}},
      {"", {}},
      {"0000:01:00", {}},
      {"0000:01:00.8", {}},
      {"0000:01:20.0", {}},
      {"0000:1:00.0", {}},
      {"0000:01:00.0 ", {}},
      {"0000:01:00.00", {}},
      {"0000:01:-1.0", {}},
      {"0x00:01:00.0", {}},
      {"000:01:00.0", {}},
      {"123456789:01:00.0", {}},
      {"0000:01:00.0/..", {}},
      {"0000:00:01:00.0", {}},
  };
  for (const Row& row : rows) EXPECT_EQ(PciAddress::parse(row.text), row.address) << row.text;
  EXPECT_EQ((PciAddress{0, 0x3b, 0x1f, 7}.text()), "0000:3b:1f.7");
}

TEST(BarSizes, Table) {
  const std::string two =
      "0x00000000fea00000 0x00000000fea03fff 0x000000000014220c\n"
      "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
      "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
      "0x00000000fea04000 0x00000000fea07fff 0x000000000014220c\n"
      "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
      "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
      "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
  const auto sizes = parse_bar_sizes(two);
  ASSERT_TRUE(sizes);
  EXPECT_THAT(*sizes, ::testing::ElementsAre(0x4000, 0, 0, 0x4000, 0, 0)) << "I/O ports count as none";
  EXPECT_FALSE(parse_bar_sizes(""));
  EXPECT_FALSE(parse_bar_sizes(two.substr(0, 200))) << "too few lines";
  EXPECT_FALSE(parse_bar_sizes("0x2 0x1 0x200\n" + two)) << "ends before it begins";
  EXPECT_FALSE(parse_bar_sizes("0xzz 0x1 0x200\n" + two));
  EXPECT_FALSE(parse_bar_sizes("1 2 3\n" + two));
}

class Sysfs : public ::testing::Test {
 protected:
  void device(const std::string& address, const std::string& driver = "", const std::string& group = "") {
    const fs::path folder = dir_ / ("bus/pci/devices/" + address);
    fs::create_directories(folder);
    if (!driver.empty()) {
      fs::create_directories(dir_ / ("bus/pci/drivers/" + driver));
      fs::create_symlink("../../../../bus/pci/drivers/" + driver, folder / "driver");
    }
    if (group.empty()) return;
    fs::create_directories(dir_ / ("kernel/iommu_groups/" + group + "/devices/" + address));
    fs::create_symlink("../../../../kernel/iommu_groups/" + group, folder / "iommu_group");
  }
  void group_type(const std::string& group, const std::string& type) {
    std::ofstream(dir_ / ("kernel/iommu_groups/" + group + "/type")) << type << "\n";
  }
  PciFacts facts() { return look_at(kAddress, dir_ / ""); }

  static constexpr PciAddress kAddress{0, 1, 0, 0};
  test::TempDir dir_;
};

TEST_F(Sysfs, NoSuchDevice) {
  const auto no = why_not_vfio(facts());
  ASSERT_TRUE(no);
  EXPECT_EQ(no->exit_status(), 2);
  EXPECT_THAT(no->text, HasSubstr("vfio:0000:01:00.0: this machine has no such PCI device; `lspci -D`"));
  EXPECT_THAT(why_not_uio(facts())->text, HasSubstr("uio:0000:01:00.0"));
}

TEST_F(Sysfs, HeldByAnotherDriver) {
  device("0000:01:00.0", "ixgbevf", "3");
  const auto no = why_not_vfio(facts());
  ASSERT_TRUE(no);
  EXPECT_EQ(no->exit_status(), 1);
  for (const char* part :
       {"held by the driver ixgbevf, not by vfio-pci", "modprobe vfio-pci;",
        "echo vfio-pci > /sys/bus/pci/devices/0000:01:00.0/driver_override", "/driver/unbind", "drivers_probe"}) {
    EXPECT_THAT(no->text, HasSubstr(part));
  }
}

TEST_F(Sysfs, HeldByNobodyAndTheModuleIsThere) {
  device("0000:01:00.0", "", "3");
  device("0000:02:00.0", "vfio-pci");
  const auto no = why_not_vfio(facts());
  ASSERT_TRUE(no);
  EXPECT_THAT(no->text, HasSubstr("held by no driver"));
  EXPECT_THAT(no->text, Not(HasSubstr("modprobe")));
  EXPECT_THAT(no->text, Not(HasSubstr("unbind")));
}

TEST_F(Sysfs, NoGroup) {
  device("0000:01:00.0", "vfio-pci");
  const auto no = why_not_vfio(facts());
  ASSERT_TRUE(no);
  EXPECT_THAT(no->text, HasSubstr("intel_iommu=on"));
  EXPECT_THAT(no->text, HasSubstr("uio:0000:01:00.0"));
}

TEST_F(Sysfs, WithoutAnIommuOnlyByName) {
  device("0000:01:00.0", "vfio-pci");
  EXPECT_THAT(why_not_no_iommu(facts())->text, HasSubstr("enable_unsafe_noiommu_mode"));
  fs::remove_all(dir_ / "bus/pci/devices/0000:01:00.0");
  device("0000:01:00.0", "vfio-pci", "0");
  EXPECT_THAT(why_not_no_iommu(facts())->text, HasSubstr("it is behind an IOMMU (group 0); use vfio:0000:01:00.0"));
  std::ofstream(dir_ / "kernel/iommu_groups/0/name") << "vfio-noiommu\n";
  EXPECT_TRUE(facts().no_iommu);
  EXPECT_FALSE(why_not_no_iommu(facts()));
  const auto no = why_not_vfio(facts());
  ASSERT_TRUE(no);
  EXPECT_THAT(no->text, HasSubstr("say vfio-noiommu:0000:01:00.0"));
  device("0000:02:00.0", "igbvf");
  EXPECT_THAT(why_not_no_iommu(look_at({0, 2, 0, 0}, dir_ / ""))->text, HasSubstr("held by the driver igbvf"));
}

TEST_F(Sysfs, CharacterDeviceOfTheFunction) {
  device("0000:01:00.0", "vfio-pci", "3");
  EXPECT_EQ(facts().vfio_device, "");
  fs::create_directories(dir_ / "bus/pci/devices/0000:01:00.0/vfio-dev/vfio2");
  EXPECT_EQ(facts().vfio_device, "vfio2");
}

TEST_F(Sysfs, NothingSpeaksAgainstIt) {
  device("0000:01:00.0", "vfio-pci", "12");
  group_type("12", "DMA-FQ");
  const PciFacts seen = facts();
  EXPECT_FALSE(why_not_vfio(seen));
  EXPECT_EQ(seen.group, 12u);
  EXPECT_EQ(seen.group_type, "DMA-FQ");
  EXPECT_TRUE(seen.neighbours.empty());
}

TEST_F(Sysfs, NeighboursAreNamedWhenTheGroupIsNotViable) {
  device("0000:01:00.0", "vfio-pci", "12");
  device("0000:00:1c.0", "pcieport", "12");
  device("0000:01:00.1", "ixgbe", "12");
  device("0000:01:00.2", "", "12");
  const PciFacts seen = facts();
  ASSERT_EQ(seen.neighbours.size(), 3u);
  const std::string text = vfio_group_not_viable(seen).text;
  EXPECT_THAT(text, HasSubstr("IOMMU group 12 is not viable"));
  EXPECT_THAT(text, HasSubstr("0000:01:00.1 (driver ixgbe);"));
  EXPECT_THAT(text, Not(HasSubstr("1c.0"))) << "bridges do no harm";
  EXPECT_THAT(text, Not(HasSubstr("01:00.2"))) << "nor do devices without a driver";
}

TEST_F(Sysfs, UioUnderATranslatingIommuIsRefused) {
  struct Row {
    const char* type;
    bool refused;
  };
  for (const Row& row : {Row{"identity", false}, Row{"DMA", true}, Row{"DMA-FQ", true}, Row{"", true}}) {
    PciFacts seen;
    seen.address = kAddress;
    seen.present = true;
    seen.driver = "uio_pci_generic";
    seen.uio = "uio0";
    EXPECT_FALSE(why_not_uio(seen)) << "no group at all";
    seen.group = 3;
    seen.group_type = row.type;
    const auto no = why_not_uio(seen);
    EXPECT_EQ(no.has_value(), row.refused) << row.type;
    if (row.refused) {
      EXPECT_THAT(no->text, HasSubstr("use vfio:0000:01:00.0"));
    }
  }
}

TEST_F(Sysfs, UioDeviceOfTheFunction) {
  device("0000:01:00.0", "uio_pci_generic");
  EXPECT_THAT(why_not_uio(facts())->text, HasSubstr("shows no uio device"));
  fs::create_directories(dir_ / "bus/pci/devices/0000:01:00.0/uio/uio4");
  EXPECT_EQ(facts().uio, "uio4");
  EXPECT_FALSE(why_not_uio(facts()));
}

TEST(VfioRefusal, EveryErrnoNamesItsRemedy) {
  PciFacts facts;
  facts.address = {0, 1, 0, 0};
  facts.group = 7;
  facts.driver = "vfio-pci";
  struct Row {
    Error error;
    const char* says;
  };
  constexpr std::uint64_t kMiB = 1u << 20;
  const Row rows[] = {
      {vfio_container_refused(facts, ENOENT), "modprobe vfio_iommu_type1"},
      {vfio_container_refused(facts, EACCES), "chmod 666 /dev/vfio/vfio"},
      {vfio_group_refused(facts, EACCES), "chown USER /dev/vfio/7"},
      {vfio_group_refused(facts, EBUSY), "fuser -v /dev/vfio/7"},
      {vfio_group_refused(facts, ENOENT), "drivers_probe"},
      {vfio_cdev_refused(facts, "/dev/vfio/devices/vfio0", EACCES), "chown USER /dev/vfio/devices/vfio0"},
      {vfio_cdev_refused(facts, "/dev/vfio/devices/vfio0", EBUSY), "/dev/vfio/devices/vfio0 /dev/vfio/7"},
      {vfio_iommu_refused(facts, EPERM), "allow_unsafe_interrupts=1"},
      {vfio_iommu_refused(facts, ENODEV), "modprobe vfio_iommu_type1"},
      {vfio_map_refused("vfio:x", 4 * kMiB, kMiB, 65536, ENOMEM), "may lock 65536 bytes"},
      {vfio_map_refused("vfio:x", 4 * kMiB, kMiB, 65536, ENOMEM), "ulimit -l unlimited"},
      {vfio_map_refused("vfio:x", 4 * kMiB, kMiB, 65536, ENOSPC), "dma_entry_limit"},
  };
  for (const Row& row : rows) {
    EXPECT_THAT(row.error.text, HasSubstr(row.says));
    EXPECT_EQ(row.error.exit_status(), 1);
  }
}

}  // namespace
}  // namespace vigia::hw
