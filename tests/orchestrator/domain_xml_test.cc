// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/domain_xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <pugixml.hpp>

#include "../temp_dir.h"
#include "host_samples.h"

namespace vigia::orch {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Sample {
  VmSpec spec;
  Inventory host;
  DomainFiles files;
  Placement placement;
  std::string xml() {
    auto result = place(host, spec, {});
    EXPECT_TRUE(result.placement) << (result.refusals.empty() ? "" : result.refusals.front().text());
    if (!result.placement) return {};
    placement = *result.placement;
    return domain_xml(spec, placement, files, metadata_of(spec, placement, files));
  }
};

Sample sample(NetworkMode mode) {
  Sample out{probe_spec(), make_host(2, 4), {}, {}};
  add_nic(out.host, 1, mode == NetworkMode::pf ? 0 : 4);
  out.host.softnics.push_back({"/run/nic", {0, 1}});
  out.spec.network.mode = mode;
  if (mode == NetworkMode::softnic) out.spec.network.pf = "/run/nic";
  if (mode == NetworkMode::virtio) out.spec.network.bridge = "br0";
  out.spec.storage = {StorageMode::virtio, "/srv/p.img", k1G};
  out.files.emulator = "/opt/qemu";
  out.files.kernel = "/img/vmlinux";
  out.files.initrd = "/img/initrd.img";
  out.files.run_dir = "/run/vigia";
  return out;
}

// libvirt's own schema, where its tools are installed.
void expect_valid(const std::string& xml) {
  if (std::system("command -v virt-xml-validate >/dev/null 2>&1") != 0) return;
  const test::TempDir dir;
  std::ofstream(dir / "d.xml") << xml;
  const std::string command =
      fmt::format("virt-xml-validate {} domain >{} 2>&1", (dir / "d.xml").string(), (dir / "log").string());
  std::string log;
  const int status = std::system(command.c_str());
  std::getline(std::ifstream(dir / "log"), log, '\0');
  EXPECT_EQ(status, 0) << log << xml;
}

TEST(DomainXml, EveryModeIsValidToLibvirt) {
  for (const NetworkMode mode : {NetworkMode::vf, NetworkMode::pf, NetworkMode::virtio, NetworkMode::softnic}) {
    for (const PageSize pages : {PageSize::none, PageSize::m2}) {
      Sample s = sample(mode);
      s.spec.hugepages.size = pages;
      expect_valid(s.xml());
    }
  }
  Sample tenant = sample(NetworkMode::softnic);
  tenant.spec.kind = VmKind::tenant;
  tenant.spec.guest.emplace().script = "echo <&\"'";
  expect_valid(tenant.xml());
}

TEST(DomainXml, FollowsThePlacement) {
  Sample s = sample(NetworkMode::vf);
  const std::string xml = s.xml();
  for (const char* part :
       {"<domain type=\"kvm\"", "<vcpupin vcpu=\"0\" cpuset=\"4\" />", "<vcpupin vcpu=\"1\" cpuset=\"5\" />",
        "<emulatorpin cpuset=\"6-7,14-15\" />", "<iothreadpin iothread=\"1\" cpuset=\"6-7,14-15\" />",
        "<memory mode=\"strict\" nodeset=\"1\" />", "<page size=\"2048\" unit=\"KiB\" />", "<source type=\"memfd\" />",
        "memAccess=\"shared\"", "managed=\"yes\"",
        "<address domain=\"0x0000\" bus=\"0x3b\" slot=\"0x10\" function=\"0x0\" />", "<iommu model=\"intel\">",
        "caching_mode=\"on\"", "<ioapic driver=\"qemu\" />", "<memballoon model=\"none\" />",
        "cache=\"none\" io=\"native\"", "org.vigia.0", "intel_iommu=on"}) {
    EXPECT_THAT(xml, HasSubstr(part));
  }
  EXPECT_THAT(xml, Not(HasSubstr("vfio-user")));
  s.host.kvm = false;
  s.spec.hugepages.size = PageSize::none;
  s.files.io_uring = true;
  const std::string tcg = s.xml();
  EXPECT_THAT(tcg, HasSubstr("<domain type=\"qemu\""));
  EXPECT_THAT(tcg, HasSubstr("io=\"io_uring\""));
  EXPECT_THAT(tcg, Not(HasSubstr("hugepages>")));
}

TEST(DomainXml, ASystemsDiskIsAnOverlayThatNeedNotLast) {
  Sample s = sample(NetworkMode::vf);
  s.files.kernel.clear();
  s.files.initrd.clear();
  s.files.disk = "/img/disk.qcow2";
  const std::string xml = s.xml();
  expect_valid(xml);
  pugi::xml_document document;
  ASSERT_TRUE(document.load_string(xml.c_str()));
  const auto devices = document.child("domain").child("devices");
  const auto system = devices.child("disk"), storage = system.next_sibling("disk");
  EXPECT_STREQ(system.child("source").attribute("file").value(), "/run/vigia/probe1.qcow2");
  EXPECT_STREQ(system.child("driver").attribute("cache").value(), "unsafe");
  EXPECT_STREQ(system.child("target").attribute("dev").value(), "vda");
  EXPECT_STREQ(storage.child("source").attribute("file").value(), "/srv/p.img");
  EXPECT_STREQ(storage.child("driver").attribute("cache").value(), "none");
  EXPECT_STREQ(storage.child("driver").attribute("error_policy").value(), "report");
  EXPECT_STREQ(storage.child("target").attribute("dev").value(), "vdb");
  EXPECT_THAT(xml, Not(HasSubstr("<kernel>")));
}

TEST(DomainXml, SoftnicComesByTheCommandLineAndCommasAreDoubled) {
  Sample s = sample(NetworkMode::softnic);
  pugi::xml_document document;
  ASSERT_TRUE(document.load_string(s.xml().c_str()));
  std::vector<std::string> arguments;
  for (const auto node : document.child("domain").child("qemu:commandline"))
    arguments.push_back(node.attribute("value").value());
  ASSERT_EQ(arguments.size(), 6u);
  EXPECT_EQ(arguments[0], "-fw_cfg");
  std::string value = arguments[1].substr(std::string("name=opt/org.vigia/config,string=").size());
  std::string config = guest_config(s.spec);
  for (std::size_t at = 0; (at = config.find(',', at)) != config.npos; at += 2) config.insert(at, 1, ',');
  EXPECT_EQ(value, config);
  EXPECT_THAT(arguments[3], HasSubstr(R"("driver":"pcie-root-port","id":"nicport")"));
  EXPECT_EQ(
      arguments[5],
      R"({"driver":"vfio-user-pci","id":"vf0","bus":"nicport","addr":"0x0","socket":{"type":"unix","path":"/run/nic/vf0.sock"}})");
}

TEST(DomainXml, ATenantHasAShellAndNoIommu) {
  Sample s = sample(NetworkMode::softnic);
  s.spec.kind = VmKind::tenant;
  const std::string xml = s.xml();
  EXPECT_THAT(xml, HasSubstr("org.vigia.shell.0"));
  EXPECT_THAT(xml, Not(HasSubstr("org.vigia.0")));
  EXPECT_THAT(xml, Not(HasSubstr("iommu")));
}

VmMetadata full_metadata() {
  VmMetadata m;
  m.spec_text = "vm:\n  name: \"<&>]]>\"\n\t# \xc3\xa9 '\n";
  m.spec_file = "/x y/p.yaml";
  m.kind = "vnma";
  m.tap = "p1";
  m.control = "/run/c";
  m.pf = "0000:3b:00.0";
  m.vf = 3;
  m.mac = "02:00:00:00:00:01";
  m.channel = "/run/p1.channel";
  m.until = 1'900'000'000;
  m.files = {"/a", "/b"};
  m.undo = {"hugepages 0 2097152 4"};
  return m;
}

TEST(DomainMetadata, ComesBackAsItWas) {
  const VmMetadata m = full_metadata();
  const auto alone = parse_metadata(metadata_xml(m));
  ASSERT_TRUE(alone) << alone.error().text;
  EXPECT_EQ(*alone, m);
  Sample s = sample(NetworkMode::vf);
  s.xml();
  const auto whole = parse_metadata(domain_xml(s.spec, s.placement, s.files, m));
  ASSERT_TRUE(whole) << whole.error().text;
  EXPECT_EQ(*whole, m);
}

TEST(DomainMetadata, ForeignAndBrokenOnes) {
  EXPECT_FALSE(*parse_metadata("<domain><metadata><vigia:vm xmlns:vigia='http://else/'/></metadata></domain>"));
  EXPECT_FALSE(*parse_metadata("<domain><name>a</name></domain>"));
  for (const char* xml :
       {"", "<domain>", "<v:vm xmlns:v='https://vigia.dev/xmlns/1'/>",
        "<v:vm xmlns:v='https://vigia.dev/xmlns/1'><v:spec>a</v:spec><v:kind>vnp</v:kind><v:vf>x</v:vf></v:vm>",
        "<v:vm "
        "xmlns:v='https://vigia.dev/xmlns/1'><v:spec>a</v:spec><v:kind>vnp</v:kind><v:until>1s</v:until></v:vm>"}) {
    const auto m = parse_metadata(xml);
    ASSERT_FALSE(m) << xml;
    EXPECT_EQ(m.error().exit_status(), 1);
  }
  // Another prefix for the same namespace is still ours.
  EXPECT_TRUE(
      *parse_metadata("<v:vm xmlns:v='https://vigia.dev/xmlns/1'><v:spec>a</v:spec><v:kind>vnp</v:kind></v:vm>"));
}

TEST(DomainMetadata, TellsWhatTheDomainOccupies) {
  Sample s = sample(NetworkMode::vf);
  const auto placed = parse_placed_domain(s.xml());
  ASSERT_TRUE(placed) << placed.error().text;
  ASSERT_TRUE(*placed);
  const PlacedDomain& d = **placed;
  EXPECT_EQ(d.name, "probe1");
  EXPECT_EQ(d.kind, "vnp");
  EXPECT_EQ(d.node, 1u);
  EXPECT_EQ(d.vcpu_cpus, s.placement.vcpu_cpus);
  EXPECT_EQ(d.emulator_cpus, s.placement.emulator_cpus);
  EXPECT_EQ(d.page_size, k2M);
  EXPECT_EQ(d.pages, 512u);
  EXPECT_EQ(d.pf, "0000:3b:00.0");
  EXPECT_EQ(d.vf, 0u);
  s.spec.name = "probe2";
  const std::vector running{d};
  const auto next = place(s.host, s.spec, running);
  ASSERT_TRUE(next.placement);
  EXPECT_EQ(next.placement->vf, 1u);
  EXPECT_EQ(next.placement->vcpu_cpus, (std::vector<unsigned>{6, 7}));
}

}  // namespace
}  // namespace vigia::orch
