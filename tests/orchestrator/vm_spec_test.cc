// SPDX-License-Identifier: Apache-2.0
#include "orchestrator/vm_spec.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vigia::orch {
namespace {

using ::testing::HasSubstr;

std::string fault(std::string_view text) {
  const auto spec = parse_vm(text, "vm.yaml");
  if (spec) return "accepted";
  EXPECT_EQ(spec.error().exit_status(), 2);
  return spec.error().text;
}
// A probe with more keys.
std::string probe(std::string_view keys, std::string_view network = "{pf: \"0000:3b:00.0\"}") {
  return fmt::format("vm:\n  name: p1\n  network: {}\n{}", network, keys);
}

TEST(VmSpec, AProbeIsFiveLines) {
  const auto spec = parse_vm(probe("  kind: vnp\n  storage: {path: /srv/p.img, size: 1G}\n"), "vm.yaml");
  ASSERT_TRUE(spec) << spec.error().text;
  EXPECT_EQ(spec->image, "probe");
  EXPECT_EQ(spec->vcpus, 2u);
  EXPECT_EQ(spec->storage.mode, StorageMode::virtio);
  EXPECT_EQ(spec->hugepages.size, PageSize::m2);
  EXPECT_EQ(spec->control_socket(), "/run/vigia/0000:3b:00.0.control");
  EXPECT_EQ(spec->network.mac->bytes[0], 2);
  EXPECT_EQ(parse_vm(probe("  vcpus: 3\n"), "b.yaml")->network.mac, spec->network.mac) << "made from the name";
}

TEST(VmSpec, FaultsNameFileLineAndKey) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "vm.yaml:1: the file is empty"},
      {"vm: {network: {pf: a}}", "vm.yaml:1: vm.name: is missing"},
      {"vm: {name: a}", "vm.network: is missing"},
      {probe("  vcpu: 2\n"), "vm.yaml:4: vm.vcpu: unknown key; did you mean vcpus?"},
      {probe("  vcpus: 0\n"), "vm.yaml:4: vm.vcpus: 0 is not a whole number from 1 to 64"},
      {probe("  vcpus: 65\n"), "65 is not"},
      {probe("  memory: 127M\n"), "127M is not a size from 128M to 1T"},
      {probe("  memory: lots\n"), "lots is not a size"},
      {probe("  memory: 1G1\n"), "not a size"},
      {probe("  numa: some\n"), "vm.numa: some is not a whole number"},
      {probe("  kind: probe\n"), "probe is none of: tenant, vnp, vnma"},
      {probe("  for: 0s\n"), "vm.for"},
      {probe("  hugepages: {size: 4K}\n"), "4K is none of: none, 2M, 1G"},
      {probe("  memory: 1500M\n  hugepages: {size: 1G}\n"), "1500M is not a whole number of 1G hugepages; say 2G"},
      {probe("  memory: 129M\n  hugepages: {guest: 0}\n"), "is not a whole number of 2M hugepages; say 130M"},
      {probe("  hugepages: {guest: 385}\n"), "more than three quarters"},
      {probe("  tap: {port: true}\n"), "a vnp watches the whole port"},
      {probe("  tap: {direction: rx, tenants: [a]}\n"), "takes its direction alone"},
      {probe("  tap: {direction: rx}\n", "{mode: pf, pf: a}"), "mode pf sees what there is"},
      {probe("  kind: vnma\n"), "vm.tap: is missing"},
      {probe("  kind: vnma\n  tap: {}\n"), "say one of tenants"},
      {probe("  kind: vnma\n  tap: {tenants: [p1]}\n"), "cannot tap itself"},
      {probe("  kind: vnma\n  tap: {tenants: [a, a]}\n"), "names a tenant twice"},
      {probe("  kind: vnma\n  tap: {port: true}\n", "{mode: virtio, bridge: br0}"), "copies frames to VFs only"},
      {probe("", "{mode: virtio}"), "virtio needs the name of a bridge"},
      {probe("", "{mode: virtio, bridge: b, pf: a}"), "a virtio card has no PF"},
      {probe("", "{mode: pf, pf: a, vf: 1, trust: true}"), "mode pf takes no VF; remove it"},
      {probe("", "{pf: a, bridge: b}"), "only mode virtio has a bridge"},
      {probe("", "{pf: a, vf: 63}"), "63 is not a whole number from 0 to 62"},
      {probe("", "{pf: a, mac: \"01:00:00:00:00:01\"}"), "no address of a single station"},
      {probe("", "{mode: softnic, pf: /" + std::string(110, 'x') + "}"), "too long for a socket"},
      {probe("  storage: {mode: virtio}\n"), "vm.storage.path: is missing"},
      {probe("  storage: {mode: none, path: /x}\n"), "mode none has no disk"},
      {probe("  storage: {mode: passthrough, path: /dev/sda}\n"), "PCI address of the disk controller"},
      {probe("  capture: {ring: 1G}\n"), "more than half of the guest's 1G"},
      {probe("  capture: {rotate: often}\n"), "capture.rotate"},
      {probe("  capture: {quota: 100M}\n"), "must hold at least two files of max_file, 128M"},
      {probe("  guest: {mtu: 1500}\n"), "only a tenant has it"},
      {probe("  kind: tenant\n  guest: {address: 10.0.0.1}\n"), "no address with a prefix length"},
      {probe("  kind: tenant\n  guest: {address: 10.0.0.1/33}\n"), "no address with a prefix length"},
      {probe("  kind: tenant\n  guest: {address: 10.0.0.1/24, gateway: \"fe80::1\"}\n"), "same family"},
      {probe("  kind: tenant\n  guest: {script: \"\\x01\"}\n"), "control characters"},
      {"vm: {name: \"a b\", network: {pf: a}}", "vm.name: \"a b\": use 1 to 40 letters"},
      {"vm: {name: " + std::string(41, 'a') + ", network: {pf: a}}", "use 1 to 40"},
      {"vm: {name: a, network: {pf: \"\xff\"}}", "not UTF-8"},
  };
  for (const auto& [text, words] : cases) EXPECT_THAT(fault(text), HasSubstr(words)) << text;
}

TEST(VmSpec, ListsEveryFaultAtOnce) {
  const std::string text = fault(probe("  vcpus: 0\n  memory: x\n  nmua: 1\n"));
  for (const char* words : {"vm.yaml:4:", "vm.yaml:5:", "vm.yaml:6:"}) EXPECT_THAT(text, HasSubstr(words));
}

TEST(VmSpec, BoundariesThatAreAllowed) {
  for (const std::string& text :
       {probe("  vcpus: 64\n"), probe("  memory: 128M\n  hugepages: {guest: 48}\n"),
        probe("  hugepages: {guest: 384}\n"), probe("  capture: {quota: 128M, ring: 512M}\n"), probe("  numa: auto\n"),
        probe("  for: 10m\n"), probe("", "{pf: a, vf: auto}"), probe("", "{pf: a, vf: 62}"),
        probe("  kind: tenant\n  guest: {address: \"fd00::1/128\", gateway: \"fd00::2\"}\n")}) {
    EXPECT_EQ(fault(text), "accepted") << text;
  }
}

TEST(VmSpec, RelativePathsCountFromTheFile) {
  const auto spec = parse_vm(probe("", "{mode: softnic, pf: nic}"), "/etc/lab/vm.yaml");
  ASSERT_TRUE(spec) << spec.error().text;
  EXPECT_EQ(spec->network.pf, "/etc/lab/nic");
  EXPECT_EQ(spec->control_socket(), "/etc/lab/nic/pf.control");
}

TEST(VmSpec, TenantAndItsGuestConfiguration) {
  const auto spec = parse_vm(probe("  kind: tenant\n  guest: {address: 10.0.0.11/24, gateway: 10.0.0.1, vlan: 7, "
                                   "script: \"a, b\\n\\\"c\\\"\"}\n",
                                   "{mode: softnic, pf: /nic, mac: \"02:00:00:00:00:05\"}"),
                             "t.yaml");
  ASSERT_TRUE(spec) << spec.error().text;
  EXPECT_EQ(spec->image, "tenant");
  EXPECT_EQ(spec->hugepages.size, PageSize::none);
  const auto config = nlohmann::json::parse(guest_config(*spec));
  EXPECT_EQ(config["role"], "tenant");
  EXPECT_EQ(config["address"], "10.0.0.11/24");
  EXPECT_EQ(config["vlan"], 7);
  EXPECT_EQ(config["mac"], "02:00:00:00:00:05");
  EXPECT_EQ(config["script"], "a, b\n\"c\"");
  EXPECT_FALSE(config.contains("capture"));
}

TEST(VmSpec, ProbeConfiguration) {
  const auto spec = parse_vm(probe("  capture: {quota: 1G, rotate: 10m}\n"), "p.yaml");
  const auto config = nlohmann::json::parse(guest_config(*spec));
  EXPECT_EQ(config["role"], "probe");
  EXPECT_EQ(config["capture"]["ring"], "64M");
  EXPECT_EQ(config["capture"]["quota"], "1G");
  EXPECT_EQ(config["capture"]["rotate"], "600000ms");
  EXPECT_EQ(config["hugepages"], 128);
}

TEST(VmSpec, ExplainShowsEveryKeyAndItsExampleParses) {
  const std::string text = explain_spec();
  for (const char* key : {"name:", "hugepages:", "affinity:", "allow_port_scope:", "max_file:", "gateway:", "for:"}) {
    EXPECT_THAT(text, HasSubstr(key));
  }
  const auto begin = text.find("  vm:\n    name: probe1");
  ASSERT_NE(begin, text.npos);
  EXPECT_EQ(fault(text.substr(begin, text.find("\n\n", begin) - begin)), "accepted");
}

}  // namespace
}  // namespace vigia::orch
