// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "../temp_dir.h"
#include "host_samples.h"

namespace vigia::orch {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder that looks like /sys and /proc of a host with two nodes, one 82599 with two VFs, one disk.
class FakeSys : public ::testing::Test {
 protected:
  void write(const std::string& path, std::string_view text) {
    fs::create_directories((dir_ / path).parent_path());
    std::ofstream(dir_ / path) << text << '\n';
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories((dir_ / path).parent_path());
    fs::create_symlink(target, dir_ / path);
  }
  void pci(const std::string& address, const std::string& pci_class, const std::string& node) {
    const std::string base = "sys/bus/pci/devices/" + address;
    write(base + "/class", pci_class);
    write(base + "/vendor", "0x8086");
    write(base + "/device", "0x10fb");
    write(base + "/numa_node", node);
  }
  FakeSys() {
    for (const std::string node : {"0", "1"}) {
      const std::string base = "sys/devices/system/node/node" + node;
      write(base + "/cpulist", node == "0" ? "0-1,4-5" : "2-3,6-7");
      write(base + "/meminfo", "Node " + node + " MemTotal:    1048576 kB");
      write(base + "/hugepages/hugepages-2048kB/nr_hugepages", "10");
      write(base + "/hugepages/hugepages-2048kB/free_hugepages", node == "0" ? "10" : "4");
    }
    write("sys/devices/system/cpu/online", "0-6");
    write("sys/devices/system/cpu/isolated", "2");
    write("sys/devices/system/cpu/nohz_full", "3");
    for (unsigned i = 0; i < 8; ++i)
      write(fmt::format("sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", i),
            fmt::format("{},{}", i % 4, i % 4 + 4));
    write("proc/meminfo", "MemTotal:  4194304 kB\nMemAvailable:  2097152 kB");
    pci("0000:3b:00.0", "0x020000", "1");
    const std::string pf = "sys/bus/pci/devices/0000:3b:00.0/";
    write(pf + "sriov_totalvfs", "63");
    write(pf + "sriov_numvfs", "2");
    write(pf + "net/ens5f0/speed", "10000");
    link(pf + "driver", "../../../bus/pci/drivers/ixgbe");
    link(pf + "iommu_group", "../../../kernel/iommu_groups/40");
    write("sys/kernel/iommu_groups/40/type", "DMA");
    link(pf + "virtfn0", "../0000:3b:10.0");
    link(pf + "virtfn1", "../0000:3b:10.2");
    for (const std::string vf : {"0000:3b:10.0", "0000:3b:10.2"}) {
      pci(vf, "0x020000", "1");
      link("sys/bus/pci/devices/" + vf + "/physfn", "../0000:3b:00.0");
      link("sys/bus/pci/devices/" + vf + "/driver", "../../../bus/pci/drivers/vfio-pci");
    }
    pci("0000:00:1f.2", "0x010601", "-1");
    write("sys/devices/pci0000:00/0000:00:1f.2/ata1/block/sda/size", "2048");
    link("sys/block/sda", "../devices/pci0000:00/0000:00:1f.2/ata1/block/sda");
    write("sys/devices/virtual/block/loop0/size", "8");
    link("sys/block/loop0", "../devices/virtual/block/loop0");
  }
  test::TempDir dir_;
};

TEST_F(FakeSys, IsRead) {
  const auto found = inventory_from_sysfs(dir_.path());
  ASSERT_TRUE(found) << found.error().text;
  ASSERT_EQ(found->nodes.size(), 2u);
  EXPECT_EQ(found->nodes[1].huge.at(k2M).free, 4u);
  EXPECT_EQ(found->nodes[1].memory, k1G);
  ASSERT_EQ(found->cpus.size(), 8u);
  EXPECT_FALSE(found->cpus[7].online);
  EXPECT_TRUE(found->cpus[2].isolated && found->cpus[3].isolated && !found->cpus[0].isolated);
  EXPECT_THAT(found->cpus[5].siblings, ElementsAre(1, 5));
  EXPECT_EQ(found->cpus[6].node, 1u);
  EXPECT_EQ(found->memory, 4 * k1G);
  EXPECT_EQ(found->memory_available, 2 * k1G);
  EXPECT_TRUE(found->iommu);
  EXPECT_FALSE(found->kvm);
  const NetDevice* nic = found->nic("ens5f0");
  ASSERT_TRUE(nic);
  EXPECT_EQ(nic->pci, "0000:3b:00.0");
  EXPECT_EQ(nic->driver, "ixgbe");
  EXPECT_EQ(nic->vendor, 0x8086);
  EXPECT_EQ(nic->node, 1u);
  EXPECT_EQ(nic->iommu_group, 40u);
  EXPECT_EQ(nic->link_mbps, 10000u);
  ASSERT_EQ(nic->vfs.size(), 2u);
  EXPECT_EQ(nic->vfs[1].pci, "0000:3b:10.2");
  EXPECT_EQ(nic->vfs[1].driver, "vfio-pci");
  EXPECT_EQ(found->nic("0000:3b:10.2")->pf, "0000:3b:00.0");
  ASSERT_EQ(found->disks.size(), 1u);
  EXPECT_EQ(found->disks[0].pci, "0000:00:1f.2");
  EXPECT_EQ(found->disks[0].size, k2M / 2);
  EXPECT_FALSE(found->disks[0].node);
  const auto again = parse_inventory_json(inventory_json(*found), "x");
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ(inventory_json(*again), inventory_json(*found));
}

TEST_F(FakeSys, WithoutCpusIsAnError) {
  const test::TempDir empty;
  const auto found = inventory_from_sysfs(empty.path());
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().text, HasSubstr("no online CPU"));
}

TEST(Inventory, OfThisMachine) {
  const auto found = inventory_from_sysfs("/");
  ASSERT_TRUE(found) << found.error().text;
  EXPECT_GT(found->memory, 0u);
  EXPECT_FALSE(found->nodes.empty());
}

constexpr std::string_view kCapabilities = R"(<capabilities><host><iommu support='yes'/><topology><cells num='2'>
 <cell id='0'><memory unit='KiB'>1048576</memory><pages unit='KiB' size='4'>200000</pages><pages unit='KiB' size='2048'>16</pages>
  <cpus num='2'><cpu id='0' socket_id='0' core_id='0' siblings='0,2'/><cpu id='2' socket_id='0' core_id='0' siblings='0,2'/></cpus></cell>
 <cell id='1'><memory unit='KiB'>1048576</memory>
  <cpus num='1'><cpu id='1' socket_id='1' core_id='0' siblings='1'/></cpus></cell></cells></topology></host></capabilities>)";
constexpr const char* kPf =
    R"(<device><name>pci_0000_5e_00_0</name><driver><name>ixgbe</name></driver><capability type='pci'>
 <class>0x020000</class><domain>0</domain><bus>94</bus><slot>0</slot><function>0</function><product id='0x10fb'/><vendor id='0x8086'/>
 <capability type='virt_functions' maxCount='63'><address domain='0x0000' bus='0x5e' slot='0x10' function='0x2'/></capability>
 <iommuGroup number='40'/><numa node='1'/></capability></device>)";
constexpr const char* kVf =
    R"(<device><name>pci_0000_5e_10_2</name><driver><name>vfio-pci</name></driver><capability type='pci'>
 <class>0x020000</class><domain>0</domain><bus>94</bus><slot>16</slot><function>2</function><product id='0x10ed'/><vendor id='0x8086'/>
 <capability type='phys_function'><address domain='0x0000' bus='0x5e' slot='0x00' function='0x0'/></capability>
 <iommuGroup number='41'/><numa node='1'/></capability></device>)";
constexpr const char* kNet = R"(<device><name>net_ens5f0</name><parent>pci_0000_5e_00_0</parent>
 <capability type='net'><interface>ens5f0</interface><link speed='10000' state='up'/></capability></device>)";

TEST(InventoryFromLibvirt, IsRead) {
  const std::vector<std::string> devices{kNet, kVf, kPf};
  const auto found = inventory_from_libvirt(kCapabilities, devices);
  ASSERT_TRUE(found) << found.error().text;
  ASSERT_EQ(found->nodes.size(), 2u);
  EXPECT_EQ(found->nodes[0].huge.size(), 1u);
  EXPECT_EQ(found->nodes[0].huge.at(k2M).total, 16u);
  EXPECT_THAT(found->cpu(2)->siblings, ElementsAre(0, 2));
  EXPECT_EQ(found->cpu(1)->node, 1u);
  const NetDevice* nic = found->nic("ens5f0");
  ASSERT_TRUE(nic);
  EXPECT_EQ(nic->node, 1u);
  EXPECT_EQ(nic->link_mbps, 10000u);
  ASSERT_EQ(nic->vfs.size(), 1u);
  EXPECT_EQ(nic->vfs[0].pci, "0000:5e:10.2");
  EXPECT_EQ(nic->vfs[0].iommu_group, 41u);
  EXPECT_EQ(nic->vfs[0].driver, "vfio-pci");
  EXPECT_EQ(found->nic("0000:5e:10.2")->pf, "0000:5e:00.0");
  EXPECT_TRUE(found->iommu);
}

TEST(InventoryFromLibvirt, RefusesOtherTexts) {
  for (const char* text : {"", "<a/>", "<capabilities><host/></capabilities>", "<capabilities"}) {
    EXPECT_FALSE(inventory_from_libvirt(text, {})) << text;
  }
  const std::vector<std::string> devices{"<device"};
  EXPECT_THAT(inventory_from_libvirt(kCapabilities, devices).error().text, HasSubstr("not XML"));
}

TEST(InventoryJson, RefusesOtherTexts) {
  for (const char* text : {"", "[]", "{\"nodes\": 3}", "{\"cpus\": [{}]}"}) {
    const auto found = parse_inventory_json(text, "inv.json");
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().exit_status(), 2);
  }
}

TEST(SoftNic, IsFoundByItsSockets) {
  const test::TempDir dir;
  EXPECT_FALSE(read_softnic(dir.path()));
  for (const char* name : {"pf.sock", "vf0.sock", "vf10.sock", "vf2.sock", "vfx.sock", "vf1.log"})
    std::ofstream(dir / name) << "";
  EXPECT_THAT(read_softnic(dir.path())->vfs, ElementsAre(0, 2, 10));
}

}  // namespace
}  // namespace vigia::orch
