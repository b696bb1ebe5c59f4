// SPDX-License-Identifier: Apache-2.0
// Faults of a host with a real NIC, on records of one: QEMU's 82576 under Debian's kernel, seen and recorded by the lab
// (tests/host). The records are of whole hosts; what differs from them is said in each fault.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "orchestrator/doctor_facts.h"
#include "tests/orchestrator/sysfs_record.h"

namespace vigia::orch {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kPci = "0000:01:00.0";
const std::string kPf = "sys/bus/pci/devices/0000:01:00.0/";
const std::string kVf0 = "sys/bus/pci/devices/0000:01:10.0/";

// As gather_facts() does it, without libvirt and ports.
Facts facts_of(const RecordedHost& host, const std::string& asked = kPci) {
  Facts facts;
  facts.host.inventory = *inventory_from_sysfs(host.root());
  facts.host.inventory->kvm = true;
  facts.host.nics = look_at_nics(*facts.host.inventory, asked, host.root());
  facts.host.kernel = look_at_kernel(host.root());
  return facts;
}

std::vector<std::string> codes(const Facts& facts) {
  std::vector<std::string> out;
  for (const Finding& finding : diagnose(facts)) out.push_back(finding.code);
  return out;
}

TEST(DoctorSriov, ASoundHostHasNoFindings) {
  const RecordedHost host("82576");
  for (const char* asked : {"", kPci, "eth0"}) EXPECT_THAT(codes(facts_of(host, asked)), IsEmpty()) << asked;
}

struct Fault {
  const char* code;
  const char* record;
  std::function<void(RecordedHost&)> make;
  std::vector<const char*> evidence;
  const char* remedy;
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {"no-iommu", "82576-no-iommu", [](RecordedHost&) {}, {"firmware describes one", "intel_iommu=off"}, "boot with"},
      {"no-iommu",
       "82576-no-iommu",
       [](RecordedHost& host) { host.remove("sys/firmware"); },
       {"firmware describes none"},
       "VT-d or AMD-Vi in the firmware"},
      {"no-vfio-pci",
       "82576",
       [](RecordedHost& host) {
         host.remove("sys/bus/pci/drivers/vfio-pci");
         host.remove("lib/modules/6.1.0-56-amd64/vfio-pci.ko");
       },
       {"/lib/modules/6.1.0-56-amd64/modules.dep"},
       "linux-image-amd64"},
      {"pf-driver",
       "82576",
       [](RecordedHost& host) { host.remove(kPf + "driver"); },
       {"driver is absent"},
       "modprobe igb"},
      {"pf-down",
       "82576",
       [](RecordedHost& host) { host.write(kPf + "net/eth0/flags", "0x1002"); },
       {"/sys/class/net/eth0/flags"},
       "ip link set eth0 up"},
      {"no-vfs",
       "82576",
       [](RecordedHost& host) {
         host.write(kPf + "sriov_numvfs", "0");
         host.remove(kPf + "virtfn0");
         host.remove(kPf + "virtfn1");
       },
       {"sriov_numvfs of 0000:01:00.0 is 0, of 7"},
       "sriov_numvfs"},
      {"group-not-viable",
       "82576-one-group",
       [](RecordedHost&) {},
       {"iommu_groups/7/devices: 0000:01:00.0 (igb)"},
       "ACS"},
      {"registers-closed",
       "82576-one-group",
       [](RecordedHost& host) {
         host.remove(kPf + "resource0");
         host.write(kPf + "resource0/cannot-be-mapped", "");
       },
       {"mmap of", "lockdown: none", "no iomem=relaxed"},
       "boot with iomem=relaxed"},
      {"registers-closed",
       "82576",
       [](RecordedHost& host) {
         host.remove(kPf + "resource0");
         host.write(kPf + "resource0/cannot-be-mapped", "");
         host.write("sys/kernel/security/lockdown", "none [integrity] confidentiality");
       },
       {"lockdown: integrity", "has iomem=relaxed"},
       "Secure Boot"},
      {"pf-no-carrier",
       "82576",
       [](RecordedHost& host) { host.write(kPf + "net/eth0/carrier", "0"); },
       {"carrier is not 1"},
       "cable"},
      {"vfs-on-host",
       "82576",
       [](RecordedHost& host) {
         host.link(kVf0 + "driver", "../../../../bus/pci/drivers/igbvf");
         host.write(kVf0 + "net/eth1/flags", "0x1003");
       },
       {"0000:01:10.0 (igbvf, eth1)"},
       "vigia host bind 0000:01:10.0 vfio-pci"},
  };
  return all;
}

TEST(DoctorSriov, EachFaultHasItsEvidenceAndRemedy) {
  for (const Fault& fault : faults()) {
    SCOPED_TRACE(fault.code);
    RecordedHost host(fault.record);
    fault.make(host);
    const Facts facts = facts_of(host);
    const auto findings = diagnose(facts);
    const auto at = std::find_if(findings.begin(), findings.end(), [&](const auto& f) { return f.code == fault.code; });
    ASSERT_NE(at, findings.end()) << testing::PrintToString(codes(facts));
    for (const char* text : fault.evidence) EXPECT_THAT(at->evidence, HasSubstr(text));
    EXPECT_THAT(at->remedy, HasSubstr(fault.remedy));
  }
}

TEST(DoctorSriov, AFaultBringsNoFindingsBesideItself) {
  for (const Fault& fault : faults()) {
    if (std::string_view(fault.record) == "82576-one-group") continue;  // two faults
    SCOPED_TRACE(fault.code);
    RecordedHost host(fault.record);
    fault.make(host);
    EXPECT_THAT(codes(facts_of(host)), ElementsAre(fault.code));
  }
}

// Others than the kernel's drivers may be in the group: bridges and what has no driver do not stand in the way.
TEST(DoctorSriov, AGroupIsViableWithoutHostDrivers) {
  RecordedHost host("82576-one-group");
  host.link(kPf + "driver", "../../../../bus/pci/drivers/vfio-pci");
  EXPECT_THAT(codes(facts_of(host)), Not(testing::Contains("group-not-viable")));
}

TEST(DoctorSriov, AModuleThatIsThereIsNotMissed) {
  RecordedHost host("82576");
  host.remove("sys/bus/pci/drivers/vfio-pci");
  EXPECT_EQ(look_at_kernel(host.root()).vfio_pci, Module::loadable);
  host.remove("lib/modules");
  EXPECT_EQ(look_at_kernel(host.root()).vfio_pci, Module::missing);
}

TEST(DoctorSriov, APfThatNobodyUsesIsLeftAlone) {
  RecordedHost host("82576");
  host.write(kPf + "sriov_numvfs", "0");
  host.write(kPf + "net/eth0/flags", "0x1002");
  EXPECT_THAT(codes(facts_of(host, "")), IsEmpty());
  EXPECT_THAT(codes(facts_of(host, "eth0")), ElementsAre("pf-down", "no-vfs"));
}

TEST(DoctorSriov, ARootWithNothingInItMakesNoFindings) {
  const test::TempDir empty;
  EXPECT_TRUE(look_at_nics(Inventory{}, kPci, empty.path()).empty());
  EXPECT_EQ(look_at_kernel(empty.path()).command_line, "");
}

}  // namespace
}  // namespace vigia::orch
